"""Deploy PyTorch models with deformable convolutions: one ONNX file, every runtime."""

from __future__ import annotations

from . import reference
from ._native import MissingLibraryError
from .converting import ConvertedLayer, convert, convertible_layers
from .errors import ConversionError
from .exporting import ExportError, ExportReport, export
from .inspection import inspect_model
from .model_inputs import InputError
from .modules import DeformConv2d
from .onnx_graph import ModelFileError
from .ops import deform_conv2d
from .rewriting import ConversionReport, convert_onnx
from .runtimes.onnxruntime import onnxruntime_library, ort_session
from .verification import VerificationError, VerificationReport, verify

__all__ = [
    "ConversionError",
    "ConversionReport",
    "ConvertedLayer",
    "DeformConv2d",
    "ExportError",
    "ExportReport",
    "InputError",
    "MissingLibraryError",
    "ModelFileError",
    "VerificationError",
    "VerificationReport",
    "convert",
    "convert_onnx",
    "convertible_layers",
    "deform_conv2d",
    "export",
    "inspect_model",
    "onnxruntime_library",
    "ort_session",
    "reference",
    "verify",
]
