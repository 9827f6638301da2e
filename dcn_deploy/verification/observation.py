"""What one run of a model shows: its outputs, and each deformable convolution on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import reference
from ..contract import contract

# Sampled columns that the reference may hold at a time, in bytes; it makes about six such copies.
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class NodeRun:
    """One deformable convolution, as it ran."""

    name: str
    inputs: Mapping[str, Tensor]
    """By the contract's names; absent ones are not in it."""
    output: Tensor
    """[N, O, oH, oW]"""
    attributes: Mapping[str, Any]
    """By the contract's names, all of them."""

    def float64_output(self) -> Tensor:
        """What the node should have computed from its inputs, in float64."""
        if self.output.numel() == 0:
            return self.output.double()
        return torch.cat([self._float64_image(image) for image in range(len(self.output))])

    def _float64_image(self, image: int) -> Tensor:
        """One image, a few output rows at a time: the reference holds every sample at once."""
        _, stride, padding, dilation, groups, offset_groups = (
            self.attributes[name] for name in contract().attributes
        )
        data = {name: tensor.double() for name, tensor in self.inputs.items()}
        pixels, weight = data["input"][image : image + 1], data["weight"]
        offset, mask = data["offset"][image : image + 1], data.get("mask")
        out_h, out_w = offset.shape[-2:]
        row_bytes = 8 * pixels.shape[1] * weight.shape[2] * weight.shape[3] * out_w
        rows = max(1, _BLOCK_BYTES // row_bytes)
        blocks = []
        for row in range(0, out_h, rows):
            shift = offset[:, :, row : row + rows].clone()
            shift[:, 0::2] += row * stride[0]  # even channels are y
            blocks.append(
                reference.deform_conv2d(
                    pixels,
                    shift,
                    weight,
                    data.get("bias"),
                    tuple(stride),
                    tuple(padding),
                    tuple(dilation),
                    None if mask is None else mask[image : image + 1, :, row : row + rows],
                    groups=groups,
                    offset_groups=offset_groups,
                )
            )
        return torch.cat(blocks, dim=2)


@dataclass(frozen=True)
class Observation:
    """One run."""

    outputs: Sequence[Tensor]
    nodes: Sequence[NodeRun]
    """In execution order; those that cannot be watched are not in it."""


class NotRunnableError(RuntimeError):
    """A side cannot run here for a known reason, which says nothing about the model."""


class Side(Protocol):
    """One way to run the model."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    def run(self, tensors: Sequence[Tensor]) -> Observation:
        """Run on the model's input tensors, in order."""
