"""The torch op ``dcn_deploy::deform_conv2d``: loads the compiled kernel (``plugins/torch/op.cpp``)
and gives it shapes while tracing, gradients and autocast. Its inputs are in ONNX order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._native import library
from .contract import UNKNOWN_DIM, TensorSpec, check, contract

torch.ops.load_library(str(library("torch")))

OP = torch.ops.dcn_deploy.deform_conv2d.default
_BACKWARD_OP = torch.ops.dcn_deploy.deform_conv2d_backward.default


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
            result: Tensor = OP(
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
