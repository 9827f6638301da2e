"""dcn_v2.py, as the forks of DCNv2 have it: CharlesShang's, jinfagang's (DCNv2_latest), lbin's."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.utils import _pair

from stand_ins.kernel import convolve


class _DCNv2(Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        offset: Tensor,
        mask: Tensor,
        weight: Tensor,
        bias: Tensor,
        stride: Any,
        padding: Any,
        dilation: Any,
        deformable_groups: int,
    ) -> Tensor:
        geometry = (stride, padding, dilation, 1, deformable_groups)
        return convolve(input, offset, mask, weight, bias, *geometry)


dcn_v2_conv = _DCNv2.apply


class DCNv2(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any = 1,
        deformable_groups: int = 1,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.dilation = _pair(dilation)
        self.deformable_groups = deformable_groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        limit = 1 / math.sqrt(in_channels * self.kernel_size[0] * self.kernel_size[1])
        nn.init.uniform_(self.weight, -limit, limit)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        taps = self.deformable_groups * self.kernel_size[0] * self.kernel_size[1]
        assert 2 * taps == offset.shape[1]
        assert taps == mask.shape[1]
        return dcn_v2_conv(
            input,
            offset,
            mask,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.deformable_groups,
        )


class DCN(DCNv2):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taps = self.kernel_size[0] * self.kernel_size[1]
        # Without dilation, whatever the layer's is.
        self.conv_offset_mask = nn.Conv2d(
            self.in_channels,
            self.deformable_groups * 3 * taps,
            self.kernel_size,
            self.stride,
            self.padding,
        )

    def forward(self, input: Tensor) -> Tensor:
        o1, o2, mask = torch.chunk(self.conv_offset_mask(input), 3, dim=1)
        return dcn_v2_conv(
            input,
            torch.cat((o1, o2), dim=1),
            torch.sigmoid(mask),
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.deformable_groups,
        )
