"""Deploy PyTorch models with deformable convolutions: one ONNX file, every runtime."""

from __future__ import annotations

from . import reference
from .modules import DeformConv2d
from .ops import deform_conv2d

__all__ = ["DeformConv2d", "deform_conv2d", "reference"]
