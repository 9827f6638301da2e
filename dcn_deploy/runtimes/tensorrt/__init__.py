"""TensorRT and TensorRT-RTX with this project's plugin: find it, build engines, run them."""

from .build import EngineReport, build_engine
from .failure import BuildError
from .plugin import register_tensorrt_plugin, tensorrt_plugin_library
from .runner import EngineError, TensorRTRunner

__all__ = [
    "BuildError",
    "EngineError",
    "EngineReport",
    "TensorRTRunner",
    "build_engine",
    "register_tensorrt_plugin",
    "tensorrt_plugin_library",
]
