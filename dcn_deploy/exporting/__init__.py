"""From a PyTorch model to an ONNX file."""

from contextlib import suppress

from .export import export
from .node import ExportError
from .report import ExportReport

__all__ = ["ExportError", "ExportReport", "export"]

# For the user's own torch.onnx.export. What this hooks into is not torch's public API: in a version
# that has moved it, `export` above may still work, and dcn_deploy must still be importable.
with suppress(Exception):
    from . import dynamo

    dynamo.register()
with suppress(Exception):
    from . import torchscript

    torchscript.register()
