"""From a PyTorch model to an ONNX file."""

from . import dynamo, torchscript
from .export import export
from .node import ExportError
from .report import ExportReport

__all__ = ["ExportError", "ExportReport", "export"]

dynamo.register()
torchscript.register()
