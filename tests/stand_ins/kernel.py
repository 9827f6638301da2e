"""What stands at the bottom of every stand-in."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.modules.utils import _pair

from dcn_deploy import reference


def convolve(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    deform_groups: int,
) -> Tensor:
    """The float64 reference, in input's dtype; arguments as the kernels have them."""
    taps = weight.shape[2] * weight.shape[3]
    if offset.shape[1] != 2 * deform_groups * taps:
        raise RuntimeError(f"invalid offset: {tuple(offset.shape)}, {deform_groups} groups")
    if input.dtype != offset.dtype or input.dtype != weight.dtype:
        raise RuntimeError(f"expected one scalar type, not {input.dtype} and {offset.dtype}")
    top, left = _pair(padding)
    output = reference.deform_conv2d(
        input.double(),
        offset.double(),
        weight.double(),
        None if bias is None else bias.double(),
        _pair(stride),
        (top, left, top, left),
        _pair(dilation),
        None if mask is None else mask.double(),
        groups=groups,
        offset_groups=deform_groups,
    )
    return output.to(input.dtype)
