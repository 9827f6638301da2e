"""Deformable convolution for PyTorch: the function that users call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._native import MissingLibraryError
from .contract import contract

# Without its library the op is refused when it is called, not here: the command line must live to
# say what is missing.
_missing: MissingLibraryError | None = None
try:
    from . import torch_op  # noqa: F401
except MissingLibraryError as error:
    _missing = error


def onnx_attributes(
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    offset_groups: int,
) -> dict[str, Any]:
    """The op's arguments under their ONNX names, every attribute explicit."""
    values: tuple[Any, ...] = (weight.shape[2:], stride, padding, dilation, groups, offset_groups)
    return {
        name: [int(v) for v in value] if isinstance(value, Sequence) else int(value)
        for name, value in zip(contract().attributes, values, strict=True)
    }


def _pair(name: str, value: int | Sequence[int]) -> list[int]:
    values = [value, value] if isinstance(value, int) else list(value)
    if len(values) != 2:
        raise ValueError(f"deform_conv2d: {name} has {len(values)} values, expected 1 or 2 (h, w)")
    return values


def four_pads(padding: int | Sequence[int]) -> list[int]:
    """Padding as top, left, bottom, right, from one value, (h, w) or all four."""
    if not isinstance(padding, int) and len(padding) == 4:
        return list(padding)
    if not isinstance(padding, int) and len(padding) != 2:
        raise ValueError(
            f"deform_conv2d: padding has {len(padding)} values, expected 1, 2 (h, w) or 4 "
            "(top, left, bottom, right)"
        )
    return _pair("padding", padding) * 2


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution, v1 or (with a mask) v2; a drop-in for ``torchvision.ops``'.

    The groups of the convolution and of the offsets follow from the shapes. It is differentiable in
    all five tensors, compiles, and exports to ONNX. Operation: ONNX DeformConv, opset 22; papers:
    arXiv 1703.06211 (v1), 1811.11168 (v2).

    Args:
        input: [N, C, H, W], float32, float16, bfloat16 or float64
        offset: [N, 2*offset_groups*kH*kW, oH, oW], channels ordered (group, tap, (y, x)), in input
            pixels; of input's dtype, or float32 beside a half-precision input. A sample that an
            offset takes out of the image counts as zero, and so does one whose offset is NaN.
        weight: [O, C/groups, kH, kW], of input's dtype
        bias: [O], of input's dtype
        stride: one value or (h, w)
        padding: one value, (h, w) or (top, left, bottom, right)
        dilation: one value or (h, w)
        mask: [N, offset_groups*kH*kW, oH, oW], of offset's dtype

    Returns:
        [N, O, oH, oW], of input's dtype

    Raises:
        RuntimeError: a tensor does not fit the others; the message names it, what was expected and
            what was given (ValueError while torch traces with fake tensors).
        MissingLibraryError: the torch library was left out when dcn_deploy was built.
    """
    kernel_h, kernel_w = (weight.shape[2], weight.shape[3]) if weight.dim() == 4 else (1, 1)
    in_channels, offset_channels = (t.shape[1] if t.dim() > 1 else 1 for t in (input, offset))
    group_channels = weight.shape[1] if weight.dim() > 1 else 1
    # Where the shapes do not divide, the op's check says so.
    groups = in_channels // max(group_channels, 1)
    offset_groups = offset_channels // max(2 * kernel_h * kernel_w, 1)
    if _missing is not None:
        raise _missing
    result: Tensor = torch.ops.dcn_deploy.deform_conv2d(
        input,
        weight,
        offset,
        bias,
        mask,
        _pair("stride", stride),
        four_pads(padding),
        _pair("dilation", dilation),
        max(groups, 1),
        max(offset_groups, 1),
    )
    return result
