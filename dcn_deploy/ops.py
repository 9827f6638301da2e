"""The torch op ``dcn_deploy::deform_conv2d``: shapes, gradients and autocast around the compiled
kernel, and the function that users call.

The kernel is ``plugins/torch/op.cpp``; the op's inputs are in ONNX order (input, weight, offset,
bias, mask), the public function's in torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._native import library
from .contract import UNKNOWN_DIM, TensorSpec, check, contract

torch.ops.load_library(str(library("torch")))

_OP = torch.ops.dcn_deploy.deform_conv2d.default
_BACKWARD_OP = torch.ops.dcn_deploy.deform_conv2d_backward.default


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


def _spec(tensor: Tensor | None) -> TensorSpec | None:
    if tensor is None:
        return None
    shape = [size if isinstance(size, int) else UNKNOWN_DIM for size in tensor.shape]
    return TensorSpec(str(tensor.dtype).removeprefix("torch."), shape)


@torch.library.register_fake("dcn_deploy::deform_conv2d")  # type: ignore[untyped-decorator]
def _fake(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    offset_groups: int = 1,
) -> Tensor:
    tensors = (input, weight, offset, bias, mask)
    attributes = (stride, padding, dilation, groups, offset_groups)
    names = list(contract().attributes)[1:]
    check(dict(zip(names, attributes, strict=True)), [_spec(tensor) for tensor in tensors])
    required = (input, weight, offset)
    return input.new_empty([required[source].shape[dim] for source, dim in contract().output_shape])


@torch.library.register_fake("dcn_deploy::deform_conv2d_backward")  # type: ignore[untyped-decorator]
def _fake_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    offset_groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    return tuple(
        tensor.new_empty(tensor.shape) if want and tensor is not None else input.new_empty([0])
        for tensor, want in zip((input, weight, offset, bias, mask), wanted, strict=True)
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tensors, ctx.attributes = inputs[:5], inputs[5:]
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    # torch 2.10 leaves out trailing arguments that have their default values.
    wanted = [*ctx.needs_input_grad[: len(tensors)]]
    wanted += [False] * (len(tensors) - len(wanted))
    gradients = _BACKWARD_OP(grad_output, *tensors, *ctx.attributes, wanted)
    asked = [grad if want else None for grad, want in zip(gradients, wanted, strict=True)]
    return (*asked, *[None] * len(ctx.attributes))


torch.library.register_autograd(
    "dcn_deploy::deform_conv2d", _gradients, setup_context=_setup_context
)


def _no_double_backward(ctx: Any, *grads: Tensor) -> None:
    raise NotImplementedError(
        "deform_conv2d: gradients of gradients are not available (create_graph=True through a "
        "deformable convolution); dcn_deploy.reference.deform_conv2d has them"
    )


torch.library.register_autograd(
    "dcn_deploy::deform_conv2d_backward",
    _no_double_backward,
    setup_context=lambda ctx, inputs, output: None,
)


def _autocast(device_type: str) -> Any:
    """Data in autocast's dtype; float32 offsets and mask stay as exact as they came."""

    def kernel(
        input: Tensor,
        weight: Tensor,
        offset: Tensor,
        bias: Tensor | None = None,
        mask: Tensor | None = None,
        *attributes: Any,
    ) -> Tensor:
        dtype = torch.get_autocast_dtype(device_type)
        coordinates = [offset] if mask is None else [offset, mask]
        exact = any(tensor.dtype == torch.float32 for tensor in coordinates)
        coordinate_dtype = torch.float32 if exact else dtype

        def data(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(dtype)

        with torch.autocast(device_type, enabled=False):
            result: Tensor = _OP(
                data(input),
                data(weight),
                offset.to(coordinate_dtype),
                data(bias),
                None if mask is None else mask.to(coordinate_dtype),
                *attributes,
            )
        return result

    return kernel


for _device_type, _key in (("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")):
    torch.library.impl("dcn_deploy::deform_conv2d", _key, func=_autocast(_device_type))


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
    """
    kernel_h, kernel_w = (weight.shape[2], weight.shape[3]) if weight.dim() == 4 else (1, 1)
    in_channels, offset_channels = (t.shape[1] if t.dim() > 1 else 1 for t in (input, offset))
    group_channels = weight.shape[1] if weight.dim() > 1 else 1
    # Where the shapes do not divide, the op's check says so.
    groups = in_channels // max(group_channels, 1)
    offset_groups = offset_channels // max(2 * kernel_h * kernel_w, 1)
    result: Tensor = _OP(
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
