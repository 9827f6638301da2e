"""detectron2.layers: its two layers and functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.utils import _pair

from stand_ins.kernel import convolve


class _DeformConv(Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        offset: Tensor,
        weight: Tensor,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        im2col_step: int = 64,
    ) -> Tensor:
        geometry = (stride, padding, dilation, groups, deformable_groups)
        return convolve(input, offset, None, weight, None, *geometry)


class _ModulatedDeformConv(Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        offset: Tensor,
        mask: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deformable_groups: int = 1,
    ) -> Tensor:
        geometry = (stride, padding, dilation, groups, deformable_groups)
        return convolve(input, offset, mask, weight, bias, *geometry)


deform_conv = _DeformConv.apply
modulated_deform_conv = _ModulatedDeformConv.apply


class _Layer(nn.Module):
    """What detectron2 writes out in both layers."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        groups: int,
        deformable_groups: int,
        norm: nn.Module | None,
        activation: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.groups = groups
        self.deformable_groups = deformable_groups
        self.norm = norm
        self.activation = activation
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, *self.kernel_size)
        )
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def _finish(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x

    def _empty(self, x: Tensor) -> Tensor:
        geometry = (self.padding, self.dilation, self.kernel_size, self.stride)
        pairs = zip(x.shape[-2:], *map(_pair, geometry), strict=True)
        size = [(i + 2 * p - (d * (k - 1) + 1)) // s + 1 for i, p, d, k, s in pairs]
        return x.new_empty(x.shape[0], self.out_channels, *size)


class DeformConv(_Layer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = False,
        norm: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        assert not bias
        super().__init__(
            in_channels, out_channels, kernel_size, groups, deformable_groups, norm, activation
        )
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.dilation = _pair(dilation)
        self.bias = None

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        if x.numel() == 0:
            return self._empty(x)
        x = deform_conv(
            x,
            offset,
            self.weight,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.deformable_groups,
        )
        return self._finish(x)


class ModulatedDeformConv(_Layer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = True,
        norm: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, groups, deformable_groups, norm, activation
        )
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.with_bias = bias
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        if x.numel() == 0:
            return self._empty(x)
        x = modulated_deform_conv(
            x,
            offset,
            mask,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.deformable_groups,
        )
        return self._finish(x)
