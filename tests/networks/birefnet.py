"""Segmentation as in BiRefNet: an ASPP of deformable branches, kernels 1, 1, 3 and 7, whose masks
are 2*sigmoid; torchvision's function, without bias."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision_stand_in import deform_conv2d


class DeformableConv2d(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
    ) -> None:
        super().__init__()
        self.stride = (stride, stride)
        self.padding = padding
        taps = kernel_size * kernel_size
        geometry = (kernel_size, stride, padding)
        self.offset_conv = nn.Conv2d(in_channels, 2 * taps, *geometry)
        self.modulator_conv = nn.Conv2d(in_channels, taps, *geometry)
        # Only its weight is used.
        self.regular_conv = nn.Conv2d(in_channels, out_channels, *geometry, bias=False)
        nn.init.uniform_(self.offset_conv.bias, 0.4, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        offset = self.offset_conv(x)
        modulator = 2.0 * torch.sigmoid(self.modulator_conv(x))
        return deform_conv2d(
            input=x,
            offset=offset,
            weight=self.regular_conv.weight,
            bias=self.regular_conv.bias,
            padding=self.padding,
            mask=modulator,
            stride=self.stride,
        )


class Branch(nn.Module):
    def __init__(self, in_channels: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.atrous_conv = DeformableConv2d(
            in_channels, channels, kernel_size, padding=kernel_size // 2
        )
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.atrous_conv(x)))


class ASPPDeformable(nn.Module):
    def __init__(self, in_channels: int, channels: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.aspp1 = Branch(in_channels, channels, 1)
        self.aspp_deforms = nn.ModuleList(Branch(in_channels, channels, k) for k in kernels)
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Conv2d(in_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.conv1 = nn.Conv2d(channels * (2 + len(kernels)), in_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        first = self.aspp1(x)
        rest = [branch(x) for branch in self.aspp_deforms]
        pooled = self.global_avg_pool(x)
        pooled = F.interpolate(pooled, first.shape[2:], mode="bilinear", align_corners=True)
        return torch.relu(self.bn1(self.conv1(torch.cat((first, *rest, pooled), dim=1))))


class Segmenter(nn.Module):
    """An encoder that halves twice, the ASPP, and a decoder that goes back with a skip.

    [N, 3, H, W] with H, W multiples of 4 -> [N, 1, H, W] before the sigmoid
    """

    def __init__(self) -> None:
        super().__init__()
        self.encode1 = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.encode2 = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.aspp = ASPPDeformable(16, 12, (1, 3, 7))
        self.lateral = nn.Conv2d(8, 16, 1)
        self.decode = DeformableConv2d(16, 8)
        self.out = nn.Conv2d(8, 1, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        half = self.encode1(image)
        deep = self.aspp(self.encode2(half))
        up = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=True)
        mixed = torch.relu(self.decode(up + self.lateral(half)))
        full = F.interpolate(mixed, scale_factor=2, mode="bilinear", align_corners=True)
        return self.out(full)
