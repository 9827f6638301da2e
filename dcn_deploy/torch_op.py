"""The torch op ``dcn_deploy::deform_conv2d``: loads the compiled kernel (``plugins/torch/op.cpp``)
and gives it shapes while tracing, gradients, autocast and torch's switches. Its inputs are in ONNX
order."""

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


def _require_one_device(*tensors: Tensor | None) -> None:
    """Without this, one meta tensor among others would make the result of nothing."""
    devices = {tensor.device for tensor in tensors if tensor is not None}
    if len(devices) > 1:
        raise ValueError(
            f"deform_conv2d: tensors on {', '.join(sorted(map(str, devices)))}, expected one device"
        )


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
    _require_one_device(*tensors)
    attributes = (stride, padding, dilation, groups, offset_groups)
    names = list(contract().attributes)[1:]
    check(dict(zip(names, attributes, strict=True)), [_spec(tensor) for tensor in tensors])
    required = (input, weight, offset)
    batch, channels, height, width = (
        required[source].shape[dim] for source, dim in contract().output_shape
    )
    # The result lies in memory as the input does: plugins/torch/op.cpp, is_channels_last.
    if not input.is_contiguous() and input.is_contiguous(memory_format=torch.channels_last):
        return input.new_empty([batch, height, width, channels]).permute(0, 3, 1, 2)
    return input.new_empty([batch, channels, height, width])


@torch.library.register_fake("dcn_deploy::deform_conv2d_backward")  # type: ignore[untyped-decorator]
def _fake_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    offset_groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    _require_one_device(grad_output, input, weight, offset, mask)
    bias = input.new_empty([weight.shape[0]])
    return tuple(
        tensor.new_empty(tensor.shape) if want and tensor is not None else input.new_empty([0])
        for tensor, want in zip((input, weight, offset, bias, mask), wanted, strict=True)
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, weight, offset, _, mask, *ctx.attributes = inputs
    ctx.save_for_backward(input, weight, offset, mask)


def _gradients(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    count = len(contract().inputs)
    # torch 2.10 leaves out trailing arguments that have their default values.
    wanted = [*ctx.needs_input_grad[:count]]
    wanted += [False] * (count - len(wanted))
    gradients = _BACKWARD_OP(grad_output, *ctx.saved_tensors, *ctx.attributes, wanted)
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
    """Data in autocast's dtype, and offsets and mask in it or in float32, as exact as they came.

    As in torch's own operators, float64 stays what it is, and so does what is no floating-point
    tensor: the op's check speaks of it.
    """

    def lower(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        if tensor is None or tensor.dtype == torch.float64 or not tensor.is_floating_point():
            return tensor
        return tensor.to(dtype)

    def kernel(
        input: Tensor,
        weight: Tensor,
        offset: Tensor,
        bias: Tensor | None = None,
        mask: Tensor | None = None,
        *attributes: Any,
    ) -> Tensor:
        dtype = torch.get_autocast_dtype(device_type)
        dtypes = {tensor.dtype for tensor in (offset, mask) if tensor is not None}
        coordinate = torch.float32 if torch.float32 in dtypes else dtype
        with torch.autocast(device_type, enabled=False):
            result: Tensor = OP(
                lower(input, dtype),
                lower(weight, dtype),
                lower(offset, coordinate),
                lower(bias, dtype),
                lower(mask, coordinate),
                *attributes,
            )
        return result

    return kernel


def _switches() -> tuple[bool, bool]:
    """Whether torch may multiply float32 matrices in TF32, and whether it must be deterministic.

    By default neither. Warnings in place of errors (``warn_only``) make no difference: there are
    deterministic kernels.
    """
    allow_tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
    return allow_tf32, torch.are_deterministic_algorithms_enabled()


def _cuda_options() -> int:
    """The switches as they are while a CUDA kernel is called: ``plugins/torch/options.cpp``."""
    allow_tf32, deterministic = _switches()
    return allow_tf32 | deterministic << 1


torch.library.impl("dcn_deploy::_cuda_options", "BackendSelect", func=_cuda_options)


for _device_type, _key in (("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")):
    torch.library.impl("dcn_deploy::deform_conv2d", _key, func=_autocast(_device_type))
