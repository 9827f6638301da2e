"""The histograms of a verification: how large the errors of single elements are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..verification import VerificationReport
from ..verification.difference import DECADES, Difference

WIDTH, HEIGHT = 320.0, 90.0
_STEP = WIDTH / (len(DECADES) + 1)
_GAP = 1.5


@dataclass(frozen=True)
class Bin:
    """One bar, in the units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """One tensor on one side, over all inputs."""

    side: str
    what: str
    worst: Difference
    bins: tuple[Bin, ...]
    tolerance_x: float
    """Where the tolerance lies."""


def histograms(report: VerificationReport) -> list[Histogram]:
    """Of every output beside the baseline's and every node beside the float64 reference."""
    drawn = []
    for side in report.sides:
        found: dict[str, list[Difference]] = {}
        for case in side.cases:
            for output in case.outputs:
                if output.difference is not None:
                    found.setdefault(f"output {output.name}", []).append(output.difference)
            for node in case.nodes:
                found.setdefault(f"node {node.name}", []).append(node.to_float64)
        drawn += [
            _histogram(side.name, what, differences)
            for what, differences in found.items()
            if any(difference.histogram for difference in differences)
        ]
    return drawn


def _histogram(side: str, what: str, differences: list[Difference]) -> Histogram:
    counted = [difference.histogram for difference in differences if difference.histogram]
    counts = [sum(column) for column in zip(*counted, strict=True)]
    worst = max(differences, key=lambda difference: difference.error)
    return Histogram(side, what, worst, tuple(_bins(counts)), _place(worst.tolerance))


def _bins(counts: list[int]) -> Iterator[Bin]:
    most, total = max(counts, default=0) or 1, sum(counts) or 1
    for index, count in enumerate(counts):
        if not count:
            continue
        height = max(1.0, HEIGHT * count / most)
        where = "equal" if index == 0 else f"1e{DECADES[index - 1]} to 1e{DECADES[index - 1] + 1}"
        yield Bin(
            index * _STEP + _GAP / 2,
            HEIGHT - height,
            _STEP - _GAP,
            height,
            f"{where}: {count} elements, {count / total:.1%}",
        )


def _place(tolerance: float) -> float:
    """Where a size of error lies along the axis."""
    if tolerance <= 0:
        return 0.0
    return min(WIDTH, max(0.0, (math.log10(tolerance) - DECADES[0] + 1) * _STEP))


def axis_labels() -> list[tuple[float, str]]:
    """Places and texts under a histogram."""
    powers = [(_place(10.0**power), f"1e{power}") for power in range(DECADES[0] + 1, 1, 4)]
    return [(_STEP / 2, "0"), *powers]
