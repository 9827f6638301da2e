"""Larger networks with other libraries' deformable layers, in the style of published models.

Random weights, few channels: the structure is what matters. Offsets reach well beyond a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import basicvsr, birefnet, dla


@dataclass(frozen=True)
class Network:
    name: str
    build: Callable[[], nn.Module]
    """In evaluation mode, on the CPU, float32; the same weights each time."""
    size: tuple[int, ...]
    """Of an example input, which ``inputs`` makes."""
    dynamic: dict[int, str]
    """The dimensions of the input that may vary."""
    nodes: int
    """Deformable convolutions in it, counted as they run."""

    def inputs(self) -> Tensor:
        """The example input, of this size, float32."""
        return torch.randn(self.size, generator=torch.Generator().manual_seed(1))

    def seeded(self) -> nn.Module:
        """``build`` under a fixed seed."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.build().eval()


_IMAGE = {0: "batch", 2: "height", 3: "width"}
NETWORKS = (
    Network("birefnet", birefnet.Segmenter, (2, 3, 16, 24), _IMAGE, 5),
    Network(
        "basicvsr", basicvsr.Restorer, (1, 3, 3, 12, 16), {0: "batch", 3: "height", 4: "width"}, 2
    ),
    Network("dla", dla.Detector, (1, 3, 64, 96), _IMAGE, 16),
)
BY_NAME = {network.name: network for network in NETWORKS}
