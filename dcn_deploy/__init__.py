"""Deploy PyTorch models with deformable convolutions: one ONNX file, every runtime."""

from __future__ import annotations

from . import reference
from ._native import MissingLibraryError
from .building import BuildReport, build
from .exporting import ExportError, ExportReport, export
from .inspection import inspect_model
from .model_inputs import InputError
from .modules import DeformConv2d
from .onnx_graph import ModelFileError
from .ops import deform_conv2d
from .precision import PrecisionError, to_precision
from .runtimes.onnxruntime import onnxruntime_library, ort_session
from .runtimes.tensorrt import (
    BuildError,
    EngineError,
    TensorRTRunner,
    build_engine,
    register_tensorrt_plugin,
    tensorrt_plugin_library,
)
from .verification import VerificationError, VerificationReport, verify

__all__ = [
    "BuildError",
    "BuildReport",
    "DeformConv2d",
    "EngineError",
    "ExportError",
    "ExportReport",
    "InputError",
    "MissingLibraryError",
    "ModelFileError",
    "PrecisionError",
    "TensorRTRunner",
    "VerificationError",
    "VerificationReport",
    "build",
    "build_engine",
    "deform_conv2d",
    "export",
    "inspect_model",
    "onnxruntime_library",
    "ort_session",
    "reference",
    "register_tensorrt_plugin",
    "tensorrt_plugin_library",
    "to_precision",
    "verify",
]
