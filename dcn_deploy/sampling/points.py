"""The samples of one deformable convolution, in the pixels of the picture that the model saw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..verification.observation import NodeRun
from ..verification.offsets import positions

# Across the picture's height; across its width as many more as it is wider.
_ROWS = 4
_MOST = 40
"""Output positions in a picture: more, and their arrows lie over each other."""


@dataclass(frozen=True)
class Sampling:
    """What one node does at some of its output positions, P, with its taps, T."""

    node: str
    group: int
    groups: int
    """The offset group, and how many the node has."""
    outputs: NDArray[np.int64]
    """[P, 2], row and column of the output."""
    starts: NDArray[np.float64]
    """[P, T, 2], (x, y) where an offset of zero samples, in pixels of the picture."""
    ends: NDArray[np.float64]
    """[P, T, 2], (x, y) where it does sample."""
    masks: NDArray[np.float64] | None
    """[P, T], the masks; None where the node has none."""

    @property
    def title(self) -> str:
        """The node, and which of its offset groups."""
        group = f", offset group {self.group + 1} of {self.groups}" if self.groups > 1 else ""
        return f"{self.node}{group}"

    @property
    def largest_mask(self) -> float:
        """The end of the scale of masks: 1, or more where they go further."""
        return 1.0 if self.masks is None else max(1.0, float(self.masks.max(initial=0.0)))


def sample_points(
    node: NodeRun, height: int, width: int, *, image: int = 0, group: int = 0, rows: int = _ROWS
) -> Sampling:
    """The samples of one offset group at evenly spread output positions.

    The node's input is taken to cover the picture, as feature maps of an image do.

    Args:
        node: as it ran
        height, width: of the picture
        image: which of the batch
        group: which offset group
        rows: of output positions, across the picture's height

    Raises:
        ValueError: the batch has no such image, or the node no such group.
    """
    y, x = positions(node)
    batch, groups, taps, out_h, out_w = y.shape
    for what, index, count in (("image", image, batch), ("group", group, groups)):
        if not 0 <= index < count:
            raise ValueError(
                f"{what} is {index}, expected 0 .. {count - 1}: node {node.name} has {count}"
            )
    still = _without_offsets(node)
    row, column = _spread(out_h, out_w, rows, max(1, round(rows * width / height)))
    scale = [size / pixels for size, pixels in _sizes(node, height, width)]

    def at_positions(*pair: torch.Tensor) -> NDArray[np.float64]:
        """(x, y) in the picture, [P, T, 2]: pixel centres are whole numbers in both."""
        inside = [
            (axis[image, group].flatten(1)[:, row * out_w + column].T + 0.5) * by - 0.5
            for axis, by in zip(pair, scale, strict=True)
        ]
        array: NDArray[np.float64] = torch.stack(inside, dim=2).numpy()
        return array

    masks = node.inputs.get("mask")
    if masks is not None:
        of_group = masks.double().reshape(batch, groups, taps, out_h * out_w)[image, group]
        masks = of_group[:, row * out_w + column].T
    return Sampling(
        node=node.name,
        group=group,
        groups=groups,
        outputs=torch.stack([row, column], dim=1).numpy(),
        starts=at_positions(*reversed(still)),
        ends=at_positions(x, y),
        masks=None if masks is None else masks.numpy(),
    )


def _sizes(node: NodeRun, height: int, width: int) -> Any:
    """Picture and feature map, first across and then down."""
    pixels = node.inputs["input"].shape
    return (width, pixels[3]), (height, pixels[2])


def _without_offsets(node: NodeRun) -> tuple[torch.Tensor, torch.Tensor]:
    zeros = torch.zeros_like(node.inputs["offset"])
    return positions(replace(node, inputs={**node.inputs, "offset": zeros}))


def _spread(height: int, width: int, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of evenly spread outputs, at most _MOST."""
    while rows * columns > _MOST and columns > 1:
        columns -= 1

    def along(size: int, count: int) -> torch.Tensor:
        count = min(size, count)
        return ((torch.arange(count) + 0.5) * size / count).long()

    row, column = torch.meshgrid(along(height, rows), along(width, columns), indexing="ij")
    return row.flatten(), column.flatten()
