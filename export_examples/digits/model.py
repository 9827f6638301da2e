"""A small classifier whose two middle layers learn where to look."""

from __future__ import annotations

from torch import Tensor, nn

from dcn_deploy import DeformConv2d

STEM_STRIDE = 2
"""Image pixels from one pixel of the first deformable layer's input to the next."""


class Block(nn.Module):
    """A convolution, batch normalisation, ReLU."""

    def __init__(self, conv: nn.Conv2d | DeformConv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.norm(self.conv(x)))


class DigitNet(nn.Module):
    """[N, 1, H, W] images to [N, 10] logits.

    Args:
        deformable: False puts plain convolutions in the place of the two modulated deformable ones
    """

    def __init__(self, deformable: bool = True) -> None:
        super().__init__()

        def layer(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d | DeformConv2d:
            if not deformable:
                return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
            return DeformConv2d(in_channels, out_channels, 3, stride, padding=1, modulated=True)

        self.stem = Block(nn.Conv2d(1, 16, 3, STEM_STRIDE, padding=1))
        self.first = Block(layer(16, 32, stride=2))
        self.second = Block(layer(32, 64, stride=1))
        self.classify = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.second(self.first(self.stem(x)))
        logits: Tensor = self.classify(features.mean(dim=(2, 3)))
        return logits
