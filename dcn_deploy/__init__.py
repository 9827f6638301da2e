"""Deploy PyTorch models with deformable convolutions: one ONNX file, every runtime."""

from __future__ import annotations

from . import reference
from ._native import MissingLibraryError
from .benchmarking import BenchReport, bench
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
from .reporting import Report, report
from .rewriting import ConversionReport, convert_onnx
from .running import run
from .runtimes.onnxruntime import onnxruntime_library, ort_session
from .sampling import plot_sampling
from .verification import VerificationError, VerificationReport, verify

__all__ = [
    "BenchReport",
    "ConversionError",
    "ConversionReport",
    "ConvertedLayer",
    "DeformConv2d",
    "DoctorReport",
    "ExportError",
    "ExportReport",
    "InputError",
    "MissingLibraryError",
    "ModelFileError",
    "ModelReport",
    "Report",
    "RunError",
    "VerificationError",
    "VerificationReport",
    "bench",
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
    "report",
    "run",
    "verify",
]
