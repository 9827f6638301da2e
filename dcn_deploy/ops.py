"""Deformable convolution for PyTorch: the function that users call."""

from __future__ import annotations

import operator
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


def from_torchvision(*arguments: int) -> tuple[Any, ...]:
    """stride, padding, dilation, groups, offset_groups, as ``onnx_attributes`` takes them.

    Args:
        arguments: the same as torchvision's op takes them: stride_h, stride_w, pad_h, pad_w,
            dilation_h, dilation_w, groups, offset_groups
    """
    stride, padding, dilation = (list(arguments[i : i + 2]) for i in (0, 2, 4))
    return stride, padding * 2, dilation, *arguments[6:]


def pair(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """A height and a width, from one value or from both.

    Raises:
        ValueError: another number of values, or something that is not an integer.
    """
    height, width = _repeated(name, value, (2,))
    return height, width


def four_pads(padding: int | Sequence[int]) -> list[int]:
    """Padding as top, left, bottom, right, from one value, (h, w) or all four.

    Raises:
        ValueError: another number of values, or something that is not an integer.
    """
    return _repeated("padding", padding, (2, 4))


def _repeated(name: str, value: Any, counts: tuple[int, ...]) -> list[int]:
    """One integer, or as many as ``counts`` allows, repeated to the largest of them."""
    is_list = isinstance(value, (list, tuple))
    values = list(value) if is_list else [value]
    try:
        if is_list and len(values) not in counts:
            raise TypeError
        return [operator.index(number) for number in values] * (counts[-1] // len(values))
    except TypeError:
        allowed = " or ".join(map(str, counts))
        raise ValueError(f"{name} is {value!r}, expected an integer or {allowed} of them") from None


def _require_all_tensors(input: Any, offset: Any, weight: Any, bias: Any, mask: Any) -> None:
    required = {"input": input, "offset": offset, "weight": weight}
    optional = {"bias": bias, "mask": mask}
    given = required | {name: value for name, value in optional.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"deform_conv2d: {name} is a {type(value).__name__}, expected a Tensor")


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
        ValueError: stride, padding or dilation is not made of one, two (padding: or four) integers.
        TypeError: something that must be a tensor is none.
        MissingLibraryError: the torch library was left out when dcn_deploy was built.
    """
    _require_all_tensors(input, offset, weight, bias, mask)
    kernel_h, kernel_w = (weight.shape[2], weight.shape[3]) if weight.dim() == 4 else (1, 1)
    in_channels, offset_channels = (t.shape[1] if t.dim() > 1 else 1 for t in (input, offset))
    group_channels = weight.shape[1] if weight.dim() > 1 else 1
    # Where the shapes do not divide, the op's check says so.
    groups = in_channels // max(group_channels, 1)
    offset_groups = offset_channels // max(2 * kernel_h * kernel_w, 1)
    return _run(
        input,
        weight,
        offset,
        bias,
        mask,
        pair("stride", stride),
        four_pads(padding),
        pair("dilation", dilation),
        max(groups, 1),
        max(offset_groups, 1),
    )


def deform_conv2d_of_groups(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
    mask: Tensor | None,
    *,
    groups: int,
    offset_groups: int,
) -> Tensor:
    """``deform_conv2d`` for callers that state the groups; shapes that say otherwise are refused.

    Args and errors are those of ``deform_conv2d``.
    """
    _require_all_tensors(input, offset, weight, bias, mask)
    return _run(
        input,
        weight,
        offset,
        bias,
        mask,
        pair("stride", stride),
        four_pads(padding),
        pair("dilation", dilation),
        groups,
        offset_groups,
    )


def _run(*arguments: Any) -> Tensor:
    """The op, on its arguments in its order."""
    if _missing is not None:
        raise _missing
    result: Tensor = torch.ops.dcn_deploy.deform_conv2d(*arguments)
    return result
