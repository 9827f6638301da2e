"""The layers that are measured, and their inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcn_deploy.contract import contract


@dataclass(frozen=True)
class Layer:
    """A deformable convolution with a square kernel, padded by half of it, and a bias.

    ``size`` is (height, width) of the input.
    """

    in_channels: int
    out_channels: int
    size: tuple[int, int]
    kernel: int = 3
    stride: int = 1
    group: int = 1
    offset_group: int = 1
    mask: bool = True

    @property
    def name(self) -> str:
        parts = [f"{self.in_channels}→{self.out_channels}", "{}x{}".format(*self.size)]
        if self.kernel != 3:
            parts.append(f"k{self.kernel}")
        if self.stride != 1:
            parts.append(f"stride {self.stride}")
        if self.group != 1:
            parts.append(f"group {self.group}")
        if self.offset_group != 1:
            parts.append(f"og {self.offset_group}")
        if not self.mask:
            parts.append("no mask")
        return " ".join(parts)

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def out_size(self) -> tuple[int, int]:
        height, width = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1 for size in self.size
        )
        return height, width


# Of detectors (DCN in ResNet's stages, CenterNet, YOLACT++), of video restoration (EDVR,
# BasicVSR++), of BiRefNet, and the corners of the op: odd channels, groups, depthwise, one tap.
LAYERS = (
    Layer(64, 64, (64, 64)),
    Layer(64, 64, (128, 128)),
    Layer(128, 128, (100, 168), mask=False),
    Layer(128, 128, (200, 336), stride=2, mask=False),
    Layer(256, 256, (50, 84)),
    Layer(512, 512, (25, 42)),
    Layer(512, 512, (18, 18)),
    Layer(256, 128, (32, 32)),
    Layer(64, 256, (64, 64), kernel=7),
    Layer(256, 256, (50, 84), kernel=1),
    Layer(128, 128, (90, 160), offset_group=8),
    Layer(64, 64, (180, 320), offset_group=16),
    Layer(128, 64, (180, 320), offset_group=16),
    Layer(96, 48, (120, 160), offset_group=16),
    Layer(96, 96, (60, 80), group=4, offset_group=4),
    Layer(37, 50, (61, 47)),
    Layer(128, 128, (100, 168), group=128),
)


def inputs_of(
    layer: Layer, *, batch: int = 1, dtype: DTypeLike = np.float32
) -> dict[str, NDArray[np.generic]]:
    """Random inputs by name, in ONNX order; without the mask where the layer has none.

    Offsets are normal with a deviation of one pixel.
    """
    random = np.random.default_rng(0)
    taps = layer.kernel**2
    data, weight, offset, bias, mask = contract().inputs
    shapes = {
        data: (batch, layer.in_channels, *layer.size),
        weight: (layer.out_channels, layer.in_channels // layer.group, layer.kernel, layer.kernel),
        offset: (batch, 2 * layer.offset_group * taps, *layer.out_size),
        bias: (layer.out_channels,),
        mask: (batch, layer.offset_group * taps, *layer.out_size),
    }
    if not layer.mask:
        del shapes[mask]
    return {
        name: random.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)
        for name, shape in shapes.items()
    }
