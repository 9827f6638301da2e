"""A layer that learns its own offsets."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .ops import deform_conv2d, four_pads

OffsetActivation = Callable[[Tensor], Tensor]


def _as_pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class DeformConv2d(nn.Module):
    """Deformable convolution whose offsets (and mask) come from a convolution of its own input.

    ``offset_conv`` starts at zero, so that a fresh layer equals the plain convolution of the same
    weights; with ``modulated=True`` it equals that convolution times 0.5 (bias excepted), because a
    mask of sigmoid(0) = 0.5 multiplies every sample, as in DCNv2 (arXiv 1811.11168).

    Args:
        in_channels, out_channels: as of ``torch.nn.Conv2d``
        kernel_size, stride, dilation: one value or (h, w)
        padding: one value, (h, w) or (top, left, bottom, right)
        groups: groups of the convolution
        deformable_groups: groups of input channels that share an offset
        bias: whether the layer has one
        modulated: also learn a mask in (0, 1) for every sample (DCNv2)
        offset_activation: what to apply to the offsets before use, [N, 2*deformable_groups*kH*kW,
            oH, oW] to the same shape: a callable, or "bounded", which takes the first kH*kW
            channels of each group through 2*sigmoid - 1 into (-1, 1) and the last kH*kW through
            sigmoid into (0, 1)

    Raises:
        ValueError: channels do not divide into groups, or an unknown offset_activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | tuple[int, int, int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = True,
        *,
        modulated: bool = False,
        offset_activation: str | OffsetActivation | None = None,
    ) -> None:
        super().__init__()
        for name, channels, parts_name, parts in (
            ("in_channels", in_channels, "groups", groups),
            ("out_channels", out_channels, "groups", groups),
            ("in_channels", in_channels, "deformable_groups", deformable_groups),
        ):
            if parts < 1 or channels < 1 or channels % parts:
                raise ValueError(
                    f"DeformConv2d: {name} is {channels}, expected a positive multiple of "
                    f"{parts_name} = {parts}"
                )
        if isinstance(offset_activation, str) and offset_activation != "bounded":
            raise ValueError(
                f'DeformConv2d: offset_activation is "{offset_activation}", expected "bounded", a '
                "callable or None"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _as_pair(kernel_size)
        self.stride = _as_pair(stride)
        self.padding = four_pads(padding)
        self.dilation = _as_pair(dilation)
        self.groups = groups
        self.deformable_groups = deformable_groups
        self.modulated = modulated
        self.offset_activation = offset_activation

        kernel_h, kernel_w = self.kernel_size
        self.taps = kernel_h * kernel_w
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, kernel_h, kernel_w)
        )
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.offset_conv = nn.Conv2d(
            in_channels,
            deformable_groups * (3 if modulated else 2) * self.taps,
            self.kernel_size,
            self.stride,
            dilation=self.dilation,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise weight and bias as ``torch.nn.Conv2d`` does, and offset_conv to zero."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_channels // self.groups * self.taps)
            nn.init.uniform_(self.bias, -bound, bound)
        nn.init.zeros_(self.offset_conv.weight)
        assert self.offset_conv.bias is not None
        nn.init.zeros_(self.offset_conv.bias)

    def learned(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The offsets and the mask (None unless modulated) that the layer learnt for ``x``.

        Args:
            x: [N, C, H, W]

        Returns:
            offset [N, 2*deformable_groups*kH*kW, oH, oW] in pixels, channels (group, tap, (y, x));
            mask [N, deformable_groups*kH*kW, oH, oW] or None
        """
        top, left, bottom, right = self.padding
        out = self.offset_conv(nn.functional.pad(x, (left, right, top, bottom)))
        offset_channels = 2 * self.deformable_groups * self.taps
        offset = self._activate(out[:, :offset_channels])
        mask = torch.sigmoid(out[:, offset_channels:]) if self.modulated else None
        return offset, mask

    def _activate(self, offset: Tensor) -> Tensor:
        if self.offset_activation is None:
            return offset
        if callable(self.offset_activation):
            return self.offset_activation(offset)
        halves = offset.unflatten(1, (self.deformable_groups, 2, self.taps))
        bounded = torch.stack(
            (2 * torch.sigmoid(halves[:, :, 0]) - 1, torch.sigmoid(halves[:, :, 1])), dim=2
        )
        return bounded.flatten(1, 3)

    def forward(
        self, x: Tensor, offset: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """[N, C, H, W] to [N, O, oH, oW]: with learnt offsets, or with the ones given."""
        if offset is None:
            if mask is not None:
                raise ValueError("DeformConv2d: a mask was given without an offset")
            offset, mask = self.learned(x)
        return deform_conv2d(
            x, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask
        )

    def extra_repr(self) -> str:
        """The arguments, as ``torch.nn.Conv2d`` shows its own."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={tuple(self.padding)}, dilation={self.dilation}, "
            f"groups={self.groups}, deformable_groups={self.deformable_groups}, "
            f"bias={self.bias is not None}, modulated={self.modulated}"
        )
