"""From an ONNX file that somebody else wrote to one that runs."""

from .convert import convert_onnx
from .report import ConversionReport

__all__ = ["ConversionReport", "convert_onnx"]
