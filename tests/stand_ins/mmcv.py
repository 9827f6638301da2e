"""mmcv.ops, of mmcv 2: its four layers and two functions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.utils import _pair

from stand_ins.kernel import convolve


class DeformConv2dFunction(Function):
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
        deform_groups: int = 1,
        bias: bool = False,
        im2col_step: int = 32,
    ) -> Tensor:
        assert bias is False
        step = min(im2col_step, input.size(0))
        assert input.size(0) % step == 0, "batch size must be divisible by im2col_step"
        input, weight = input.type_as(offset), weight.type_as(offset)
        geometry = (stride, padding, dilation, groups, deform_groups)
        return convolve(input, offset, None, weight, None, *geometry)


class ModulatedDeformConv2dFunction(Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        offset: Tensor,
        mask: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        deform_groups: int = 1,
    ) -> Tensor:
        input, mask, weight = (tensor.type_as(offset) for tensor in (input, mask, weight))
        bias = None if bias is None else bias.type_as(offset)
        geometry = (stride, padding, dilation, groups, deform_groups)
        return convolve(input, offset, mask, weight, bias, *geometry)


deform_conv2d = DeformConv2dFunction.apply
modulated_deform_conv2d = ModulatedDeformConv2dFunction.apply


class _Layer(nn.Module):
    """What mmcv writes out in both of its base layers."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        deform_groups: int = 1,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.dilation = _pair(dilation)
        self.groups = groups
        self.deform_groups = deform_groups
        self.transposed = False
        self.output_padding = (0,)
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, *self.kernel_size)
        )
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def _offset_conv(self, channels_per_tap: int) -> nn.Conv2d:
        taps = self.kernel_size[0] * self.kernel_size[1]
        return nn.Conv2d(
            self.in_channels,
            self.deform_groups * channels_per_tap * taps,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
        )


class DeformConv2d(_Layer):
    def __init__(self, *args: Any, bias: bool = False, im2col_step: int = 32, **kw: Any) -> None:
        assert not bias
        super().__init__(*args, **kw)
        self.im2col_step = im2col_step

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """An image that is smaller than the kernel is padded to its size, and the result cut."""
        input_pad = x.size(2) < self.kernel_size[0] or x.size(3) < self.kernel_size[1]
        if input_pad:
            pad_h = max(self.kernel_size[0] - x.size(2), 0)
            pad_w = max(self.kernel_size[1] - x.size(3), 0)
            x = F.pad(x, (0, pad_w, 0, pad_h))
            offset = F.pad(offset, (0, pad_w, 0, pad_h))
        out = deform_conv2d(
            x,
            offset,
            self.weight,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.deform_groups,
            False,
            self.im2col_step,
        )
        if input_pad:
            out = out[:, :, : out.size(2) - pad_h, : out.size(3) - pad_w].contiguous()
        return out


class DeformConv2dPack(DeformConv2d):
    _version = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conv_offset = self._offset_conv(2)

    def forward(self, x: Tensor) -> Tensor:
        return deform_conv2d(
            x,
            self.conv_offset(x),
            self.weight,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.deform_groups,
            False,
            self.im2col_step,
        )


class ModulatedDeformConv2d(_Layer):
    def __init__(self, *args: Any, bias: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if bias:
            self.bias = nn.Parameter(torch.zeros(self.out_channels))
        else:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return modulated_deform_conv2d(
            x,
            offset,
            mask,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.deform_groups,
        )


class ModulatedDeformConv2dPack(ModulatedDeformConv2d):
    _version = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conv_offset = self._offset_conv(3)

    def forward(self, x: Tensor) -> Tensor:
        o1, o2, mask = torch.chunk(self.conv_offset(x), 3, dim=1)
        return modulated_deform_conv2d(
            x,
            torch.cat((o1, o2), dim=1),
            torch.sigmoid(mask),
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.deform_groups,
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, *args: Any
    ) -> None:
        """Checkpoints of before version 2 have the offsets' convolution beside the layer."""
        if (local_metadata.get("version") or 0) < 2:
            for name in ("weight", "bias"):
                old = f"{prefix[:-1]}_offset.{name}"
                if old in state_dict:
                    state_dict[f"{prefix}conv_offset.{name}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
