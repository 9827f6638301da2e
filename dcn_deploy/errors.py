"""What both conversions raise, of PyTorch models and of ONNX files."""

from __future__ import annotations


class ConversionError(RuntimeError):
    """A layer or a node cannot be converted exactly; nothing was changed, nothing written."""
