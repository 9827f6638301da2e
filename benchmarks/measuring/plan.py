"""What a section of the report is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .layer import Layer

Step = Callable[[], None]
"""Called whenever one of a section's steps is done."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how thoroughly."""

    layers: Sequence[Layer]
    rounds: int
    threads: int


@dataclass(frozen=True)
class Sheet:
    """Figures for the eye: the first column is text, the others are numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def with_ratio(value: float | None, to: float) -> str:
    """``1.23 (1.05)``, or a dash."""
    return "-" if value is None else f"{value:.2f} ({value / to:.2f})"


def reasons(rows: Sequence[dict[str, dict[str, str]]]) -> list[str]:
    """Each reason of the rows' ``not_run`` once, with how many rows it is given for."""
    count: dict[str, int] = {}
    for row in rows:
        for name, reason in row["not_run"].items():
            line = f"{name}: {reason}"
            count[line] = count.get(line, 0) + 1
    return [f"{line} ({number} of {len(rows)} layers)" for line, number in count.items()]
