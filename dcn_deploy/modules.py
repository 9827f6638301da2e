"""A layer that learns its own offsets."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .contract import UNKNOWN_DIM, TensorSpec, check, contract
from .ops import deform_conv2d, four_pads, pair

OffsetActivation = Callable[[Tensor], Tensor]


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
        ValueError: an argument that the op would refuse for any input, or an unknown
            offset_activation.
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
        if not (offset_activation in (None, "bounded") or callable(offset_activation)):
            raise ValueError(
                f"DeformConv2d: offset_activation is {offset_activation!r}, expected 'bounded', a "
                "callable or None"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", stride)
        self.padding = four_pads(padding)
        self.dilation = pair("dilation", dilation)
        self.groups = groups
        self.deformable_groups = deformable_groups
        self.modulated = modulated
        self.offset_activation = offset_activation

        self._check()

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

    def _check(self) -> None:
        values = (self.kernel_size, self.stride, self.padding, self.dilation, self.groups)
        names = contract().attributes
        attributes = dict(zip(names, (*values, self.deformable_groups), strict=True))
        group_channels = self.in_channels // max(self.groups, 1)
        shapes = (
            (UNKNOWN_DIM, self.in_channels, UNKNOWN_DIM, UNKNOWN_DIM),
            (self.out_channels, group_channels, *self.kernel_size),
            None,
        )
        known = [TensorSpec("float32", shape) for shape in shapes]
        try:
            check(attributes, [*known, None, None])
        except ValueError as error:
            raise ValueError(f"DeformConv2d: {error}") from None

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
        """Convolve, at the places that the layer learnt or at the ones given.

        Args:
            x: [N, C, H, W], of the parameters' dtype
            offset: [N, 2*offset_groups*kH*kW, oH, oW], as of ``dcn_deploy.deform_conv2d``; replaces
                the learnt one, and the learnt mask too. Its offset groups follow from its shape.
            mask: [N, offset_groups*kH*kW, oH, oW], beside a given offset only

        Returns:
            [N, O, oH, oW]

        Raises:
            ValueError: a mask without an offset.
            RuntimeError: tensors that do not fit, as of ``dcn_deploy.deform_conv2d``.
        """
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
            f"bias={self.bias is not None}, modulated={self.modulated}, "
            f"offset_activation={self.offset_activation!r}"
        )
