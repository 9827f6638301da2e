"""torchvision's deformable convolution, or an op of its name and signature where it is missing.

torchvision cannot be installed beside a CPU build of torch. The stand-in is defined from the
signature that torchvision's documentation and its ``torch.ops.torchvision.deform_conv2d`` state;
it computes with the reference, so that nothing of dcn_deploy's op takes part.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from dcn_deploy import reference

try:
    from torchvision.ops import DeformConv2d, deform_conv2d

    IS_REAL = True
except (ImportError, RuntimeError):  # RuntimeError: built for another torch
    IS_REAL = False

_SCHEMA = (
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, "
    "SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor"
)


def _kernel(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *geometry: int
) -> Tensor:
    *sizes, groups, offset_groups, use_mask = geometry
    stride, (top, left), dilation = (tuple(sizes[i : i + 2]) for i in (0, 2, 4))
    output = reference.deform_conv2d(
        input.double(),
        offset.double(),
        weight.double(),
        bias.double(),
        stride,
        (top, left, top, left),
        dilation,
        mask.double() if use_mask else None,
        groups=groups,
        offset_groups=offset_groups,
    )
    return output.to(input.dtype)


def _fake(input: Tensor, weight: Tensor, offset: Tensor, *rest: object) -> Tensor:
    return input.new_empty(input.shape[0], weight.shape[0], *offset.shape[2:])


if not IS_REAL:
    _library = torch.library.Library("torchvision", "FRAGMENT")
    _library.define(_SCHEMA)
    _library.impl("deform_conv2d", _kernel, "CPU")
    torch.library.register_fake("torchvision::deform_conv2d", _fake, lib=_library)

    def deform_conv2d(  # type: ignore[no-redef]
        input: Tensor,
        offset: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = (1, 1),
        padding: int | Sequence[int] = (0, 0),
        dilation: int | Sequence[int] = (1, 1),
        mask: Tensor | None = None,
    ) -> Tensor:
        """torchvision's function: an absent bias is zeros, an absent mask an empty tensor."""
        taps = weight.shape[2] * weight.shape[3]
        return torch.ops.torchvision.deform_conv2d(
            input,
            weight,
            offset,
            input.new_zeros(input.shape[0], 0) if mask is None else mask,
            input.new_zeros(weight.shape[0]) if bias is None else bias,
            *_pair(stride),
            *_pair(padding),
            *_pair(dilation),
            input.shape[1] // weight.shape[1],
            offset.shape[1] // (2 * taps),
            mask is not None,
        )

    class DeformConv2d(nn.Module):  # type: ignore[no-redef]
        """torchvision's layer: its offsets and masks are inputs."""

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: int | Sequence[int],
            stride: int | Sequence[int] = 1,
            padding: int | Sequence[int] = 0,
            dilation: int | Sequence[int] = 1,
            groups: int = 1,
            bias: bool = True,
        ) -> None:
            super().__init__()
            self.in_channels = in_channels
            self.out_channels = out_channels
            self.kernel_size = _pair(kernel_size)
            self.stride = _pair(stride)
            self.padding = _pair(padding)
            self.dilation = _pair(dilation)
            self.groups = groups
            shape = (out_channels, in_channels // groups, *self.kernel_size)
            self.weight = nn.Parameter(torch.empty(shape))
            nn.init.kaiming_uniform_(self.weight, a=5**0.5)
            if bias:
                self.bias = nn.Parameter(torch.zeros(out_channels))
            else:
                self.register_parameter("bias", None)

        def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
            return deform_conv2d(
                input,
                offset,
                self.weight,
                self.bias,
                stride=self.stride,
                padding=self.padding,
                dilation=self.dilation,
                mask=mask,
            )

    for _named in (deform_conv2d, DeformConv2d):  # by their module they are recognised
        _named.__module__ = "torchvision.ops.deform_conv"
