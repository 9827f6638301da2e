"""Detection as in CenterNet: DLA-34, whose levels are joined on the way up by layers of DCNv2."""

from __future__ import annotations

import torch
from stand_ins.dcnv2 import DCN
from torch import Tensor, nn

_LEVELS = (1, 1, 1, 2, 2, 1)
_CHANNELS = (4, 6, 8, 10, 12, 16)
_FIRST, _LAST = 2, 5
"""The levels that the heads look at: of a quarter of the image's size, up to the one before the
smallest."""


def _convolution(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight)  # what is small after thirty layers is not seen
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


class Block(nn.Module):
    """Two convolutions beside a shortcut that the caller may give."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, out_channels, 3, stride)
        self.conv2 = _convolution(out_channels, out_channels, 3)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        residual = x if residual is None else residual
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + residual)


class Tree(nn.Module):
    """A binary tree of blocks; its root joins the last blocks and what the trees above pass on."""

    def __init__(
        self,
        levels: int,
        in_channels: int,
        out_channels: int,
        stride: int,
        root_channels: int = 0,
        level_root: bool = False,
    ) -> None:
        super().__init__()
        root_channels = root_channels or 2 * out_channels
        root_channels += in_channels if level_root else 0
        self.level_root = level_root
        self.levels = levels
        if levels == 1:
            self.tree1: nn.Module = Block(in_channels, out_channels, stride)
            self.tree2: nn.Module = Block(out_channels, out_channels, 1)
            self.root = _convolution(root_channels, out_channels, 1)
        else:
            self.tree1 = Tree(levels - 1, in_channels, out_channels, stride)
            self.tree2 = Tree(
                levels - 1, out_channels, out_channels, 1, root_channels + out_channels
            )
        self.downsample = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        self.project = (
            _convolution(in_channels, out_channels, 1)
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(
        self, x: Tensor, residual: Tensor | None = None, children: list[Tensor] | None = None
    ) -> Tensor:
        children = [] if children is None else children
        bottom = self.downsample(x)
        residual = self.project(bottom)
        if self.level_root:
            children.append(bottom)
        x1 = self.tree1(x, residual)
        if self.levels > 1:
            children.append(x1)
            return self.tree2(x1, children=children)
        return torch.relu(self.root(torch.cat((self.tree2(x1), x1, *children), dim=1)))


class DeformConv(nn.Module):
    """CenterNet's name for a layer of DCNv2 with its normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.actf = nn.Sequential(nn.BatchNorm2d(out_channels), nn.ReLU())
        self.conv = DCN(in_channels, out_channels, kernel_size=(3, 3), stride=1, padding=1)
        nn.init.kaiming_normal_(self.conv.weight)
        nn.init.normal_(self.conv.conv_offset_mask.weight, std=0.002)  # of pixels, not of images
        nn.init.uniform_(self.conv.conv_offset_mask.bias, -1.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.actf(self.conv(x))


class IDAUp(nn.Module):
    """Each level is projected, enlarged to the first one's size, and joined to the one before."""

    def __init__(self, out_channels: int, in_channels: list[int], factors: list[int]) -> None:
        super().__init__()
        levels = list(zip(in_channels, factors, strict=True))[1:]
        self.proj = nn.ModuleList(DeformConv(channels, out_channels) for channels, _ in levels)
        self.node = nn.ModuleList(DeformConv(out_channels, out_channels) for _ in levels)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(
                out_channels, out_channels, 2 * f, f, f // 2, groups=out_channels, bias=False
            )
            for _, f in levels
        )
        for up in self.up:
            nn.init.constant_(up.weight, 0.25)

    def forward(self, layers: list[Tensor]) -> list[Tensor]:
        layers = list(layers)
        for i, (proj, up, node) in enumerate(zip(self.proj, self.up, self.node, strict=True), 1):
            layers[i] = node(up(proj(layers[i])) + layers[i - 1])
        return layers


class Detector(nn.Module):
    """[N, 3, H, W] with H, W multiples of 32 -> heat maps [N, 2, H/4, W/4], sizes and offsets, both
    [N, 2, H/4, W/4]"""

    def __init__(self) -> None:
        super().__init__()
        channels = list(_CHANNELS)
        self.base_layer = _convolution(3, channels[0], 7)
        self.level0 = _convolution(channels[0], channels[0], 3)
        self.level1 = _convolution(channels[0], channels[1], 3, 2)
        self.trees = nn.ModuleList(
            Tree(_LEVELS[i], channels[i - 1], channels[i], 2, level_root=i > 2) for i in range(2, 6)
        )
        self.dla_up = nn.ModuleList()
        inputs = channels[_FIRST:]
        factors = [1, 2, 4, 8]
        for j in (2, 1, 0):
            own = [factor // factors[j] for factor in factors[j:]]
            self.dla_up.append(IDAUp(channels[_FIRST + j], inputs[j:], own))
            factors[j + 1 :] = [factors[j]] * len(factors[j + 1 :])
            inputs[j + 1 :] = [channels[_FIRST + j]] * len(inputs[j + 1 :])
        self.ida_up = IDAUp(channels[_FIRST], channels[_FIRST:_LAST], [1, 2, 4])
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Conv2d(channels[_FIRST], 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 2, 1)
                )
                for name in ("hm", "wh", "reg")
            }
        )
        for head in self.heads.values():
            nn.init.zeros_(head[2].bias)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = torch.relu(self.base_layer(image))
        x = torch.relu(self.level1(torch.relu(self.level0(x))))
        levels = []
        for tree in self.trees:
            x = tree(x)
            levels.append(x)
        up = [levels[-1]]
        for start, ida in zip((2, 1, 0), self.dla_up, strict=True):
            levels[start:] = ida(levels[start:])
            up.insert(0, levels[-1])
        features = self.ida_up(up[: _LAST - _FIRST])[-1]
        return tuple(head(features) for head in self.heads.values())
