"""What a node's offsets need of their dtype: how far they reach, and what half precision makes of
them.

A float16 has 11 significant bits: an offset of 33 pixels is rounded to 1/32 of a pixel, one beyond
65504 becomes infinite, and its sample zero. A bfloat16 has 8: it does so from 4 pixels on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..contract import contract
from .difference import difference
from .observation import NodeRun

FINEST = 1 / 128
"""Of a pixel: a sample that moves by more is not where the model put it. It is what float16 does to
offsets up to 32 pixels."""
HALF_DTYPES = ("float16", "bfloat16")


@dataclass(frozen=True)
class Rounding:
    """The offsets in a half precision."""

    moves: float
    """The furthest that a sample moves along an axis, in pixels; infinite where one overflows."""
    output_changes: float
    """||a - b|| / ||b|| of the node's output in float64, with offsets rounded and not."""

    @property
    def holds(self) -> bool:
        """Whether the dtype can hold these offsets."""
        return self.moves <= FINEST


@dataclass(frozen=True)
class OffsetRange:
    """The offsets of one node in one run."""

    least: float
    greatest: float
    """Of the finite ones, in pixels."""
    usual: float
    """99 of 100 are no further from zero."""
    not_finite: int
    """How many are NaN or infinite."""
    outside: float
    """The part of the samples that read nothing, because they lie outside the image, 0 .. 1."""
    rounding: Mapping[str, Rounding]
    """By dtype, of HALF_DTYPES."""


def measure_offsets(node: NodeRun) -> OffsetRange | None:
    """Look at the offsets that a node got; None where it got none."""
    offset = node.inputs["offset"]
    finite = offset[offset.isfinite()].double()
    if not finite.numel():
        return None
    exact = node.float64_output()
    distances = finite.abs().sort().values
    return OffsetRange(
        least=finite.min().item(),
        greatest=finite.max().item(),
        usual=distances[int(0.99 * (len(distances) - 1))].item(),
        not_finite=offset.numel() - finite.numel(),
        outside=_outside(node),
        rounding={dtype: _rounding(node, finite, exact, dtype) for dtype in HALF_DTYPES},
    )


def _rounding(node: NodeRun, finite: Tensor, exact: Tensor, name: str) -> Rounding:
    dtype = getattr(torch, name)
    rounded = replace(node, inputs={**node.inputs, "offset": node.inputs["offset"].to(dtype)})
    moves = (finite.to(dtype).double() - finite).abs().max().item()
    return Rounding(moves, difference(rounded.float64_output(), exact, 0.0).error)


def positions(node: NodeRun) -> tuple[Tensor, Tensor]:
    """Where a node samples its input.

    Returns:
        y and x, each [N, offset groups, taps, oH, oW], in pixels of the node's input, in float64;
        pixel centres are whole numbers.
    """
    (kernel_h, kernel_w), (stride_h, stride_w), pads, (dilation_h, dilation_w), _, groups = (
        node.attributes[name] for name in contract().attributes
    )
    offset = node.inputs["offset"].double()
    batch, _, out_h, out_w = offset.shape
    shift = offset.reshape(batch, groups, kernel_h, kernel_w, 2, out_h, out_w)

    def start(count: int, step: int) -> Tensor:
        return torch.arange(count, dtype=torch.float64) * step

    y = start(kernel_h, dilation_h)[:, None, None, None] - pads[0]
    x = start(kernel_w, dilation_w)[:, None, None] - pads[1]
    y = y + start(out_h, stride_h)[:, None] + shift[:, :, :, :, 0]
    x = x + start(out_w, stride_w) + shift[:, :, :, :, 1]
    return y.flatten(2, 3), x.flatten(2, 3)


def _outside(node: NodeRun) -> float:
    y, x = positions(node)
    height, width = node.inputs["input"].shape[-2:]
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)  # which NaN is not
    return 1 - inside.double().mean().item()
