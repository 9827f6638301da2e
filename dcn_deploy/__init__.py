"""Deploy PyTorch models with deformable convolutions: one ONNX file, every runtime."""

from __future__ import annotations

from . import reference
from ._native import MissingLibraryError
from .benchmarking import BenchReport, bench
from .building import BuildReport, build
from .converting import ConvertedLayer, convert, convertible_layers
from .diagnosis import DoctorReport, doctor
from .errors import ConversionError, RunError
from .exporting import ExportError, ExportReport, export
from .inspection import ModelReport
from .inspection import inspect_model as inspect
from .model_inputs import InputError
from .modules import DeformConv2d
from .onnx_graph import ModelFileError
from .ops import deform_conv2d
from .precision import PrecisionError, to_precision
from .reporting import Report, report
from .rewriting import ConversionReport, convert_onnx
from .running import run
from .runtimes.onnxruntime import onnxruntime_library, ort_session
from .runtimes.tensorrt import (
    BuildError,
    EngineError,
    TensorRTRunner,
    build_engine,
    register_tensorrt_plugin,
    tensorrt_plugin_library,
)
from .sampling import plot_sampling
from .verification import VerificationError, VerificationReport, verify

__all__ = [
    "BenchReport",
    "BuildError",
    "BuildReport",
    "ConversionError",
    "ConversionReport",
    "ConvertedLayer",
    "DeformConv2d",
    "DoctorReport",
    "EngineError",
    "ExportError",
    "ExportReport",
    "InputError",
    "MissingLibraryError",
    "ModelFileError",
    "ModelReport",
    "PrecisionError",
    "Report",
    "RunError",
    "TensorRTRunner",
    "VerificationError",
    "VerificationReport",
    "bench",
    "build",
    "build_engine",
    "convert",
    "convert_onnx",
    "convertible_layers",
    "deform_conv2d",
    "doctor",
    "export",
    "inspect",
    "onnxruntime_library",
    "ort_session",
    "plot_sampling",
    "reference",
    "register_tensorrt_plugin",
    "report",
    "run",
    "tensorrt_plugin_library",
    "to_precision",
    "verify",
]
