"""The samples of one node as paths of an SVG, in the pixels of the picture under it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..sampling.colours import mask_colour
from ..sampling.points import Sampling

# Of the picture's longer side.
_DOT = 0.0018
_HEAD = 0.010
_MARGIN = 0.03
_SPREAD = math.radians(28)


@dataclass(frozen=True)
class Arrow:
    """One sample."""

    path: str
    """Shaft and head."""
    x: float
    y: float
    colour: str


@dataclass(frozen=True)
class Position:
    """One output and its samples."""

    x: float
    y: float
    label: str
    arrows: tuple[Arrow, ...]


@dataclass(frozen=True)
class Drawing:
    """One node on one picture."""

    title: str
    largest_mask: float | None
    """The end of the scale; None where there is no mask."""
    view: str
    """The SVG's viewBox: the picture, and a margin for samples that fall outside it."""
    dot: float
    positions: tuple[Position, ...]


def drawing(points: Sampling, width: int, height: int) -> Drawing:
    """Put a node's samples into words of SVG."""
    side = max(width, height)
    margin = _MARGIN * side
    positions = []
    for index, (row, column) in enumerate(points.outputs.tolist()):
        masks = None if points.masks is None else points.masks[index].tolist()
        starts, ends = points.starts[index].tolist(), points.ends[index].tolist()
        arrows = [
            Arrow(
                _arrow(start, end, _HEAD * side),
                round(end[0], 2),
                round(end[1], 2),
                mask_colour(1.0 if masks is None else masks[tap] / points.largest_mask),
            )
            for tap, (start, end) in enumerate(zip(starts, ends, strict=True))
            if all(map(math.isfinite, end))
        ]
        middle = points.starts[index].mean(axis=0)
        label = f"output row {row}, column {column}"
        positions.append(
            Position(round(float(middle[0]), 2), round(float(middle[1]), 2), label, tuple(arrows))
        )
    return Drawing(
        title=points.title,
        largest_mask=None if points.masks is None else points.largest_mask,
        view=f"{-margin:.1f} {-margin:.1f} {width + 2 * margin:.1f} {height + 2 * margin:.1f}",
        dot=_DOT * side,
        positions=tuple(positions),
    )


def _arrow(start: list[float], end: list[float], longest_head: float) -> str:
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    path = f"M{x0:.2f} {y0:.2f}L{x1:.2f} {y1:.2f}"
    if not length:
        return path
    head, angle = min(longest_head, 0.4 * length), math.atan2(y0 - y1, x0 - x1)
    for turn in (-_SPREAD, _SPREAD):
        x, y = x1 + head * math.cos(angle + turn), y1 + head * math.sin(angle + turn)
        path += f"M{x:.2f} {y:.2f}L{x1:.2f} {y1:.2f}"
    return path
