"""Whole networks around deformable layers, small enough to build and run in a test."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import dcn_deploy


class Bottleneck(nn.Module):
    """A residual block whose 3x3 layer may be deformable."""

    def __init__(self, channels: int, width: int, stride: int, deformable: bool) -> None:
        super().__init__()
        out = 2 * channels if stride == 2 else channels
        self.reduce = nn.Conv2d(channels, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.spatial: nn.Module
        if deformable:
            self.spatial = dcn_deploy.DeformConv2d(
                width, width, 3, stride=stride, padding=1, bias=False, modulated=True
            )
            nn.init.normal_(self.spatial.offset_conv.weight, std=0.02)
        else:
            self.spatial = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.expand = nn.Conv2d(width, out, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.reduce(x)))
        y = torch.relu(self.norm2(self.spatial(y)))
        return torch.relu(self.norm3(self.expand(y)) + self.shortcut(x))


class DeformableResNet(nn.Module):
    """A ResNet with deformable convolutions in its last two stages, as detectors have them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 7, 2, 3, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        stages = []
        for index, channels in enumerate((16, 16, 32)):
            stride, deformable = (1 if index == 0 else 2), index > 0
            out = 2 * channels if stride == 2 else channels
            stages.append(
                nn.Sequential(
                    Bottleneck(channels, channels, stride, deformable),
                    Bottleneck(out, channels, 1, deformable),
                )
            )
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(64, 5)
        self.levels = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(image)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        merged = torch.cat([features[1], self.levels(features[2])], 1)
        return self.head(x.mean((2, 3))), merged
