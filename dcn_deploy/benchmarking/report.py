"""What a benchmark measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..availability import STOCK

EAGER = "PyTorch eager"


@dataclass(frozen=True)
class Timing:
    """One backend in one dtype with one number of threads; milliseconds per run."""

    backend: str
    dtype: str
    threads: int
    best_ms: float | None = None
    median_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    runs: int = 0
    memory_bytes: int | None = None
    """What the model and its run add to a process, at most; None where it cannot be measured."""
    not_run: str = ""
    """Why there is nothing to measure."""


@dataclass(frozen=True)
class BenchReport:
    """A model on one set of inputs."""

    path: str
    input_shapes: Mapping[str, tuple[int, ...]]
    timings: tuple[Timing, ...]

    def speedup(self, timing: Timing, over: str) -> float | None:
        """The median of a backend by this one's, in the same dtype and with the same threads.

        None where one of the two did not run.
        """
        for other in self.timings:
            if (other.backend, other.dtype, other.threads) == (over, timing.dtype, timing.threads):
                if other.median_ms is None or timing.median_ms is None:
                    return None
                return other.median_ms / timing.median_ms
        return None

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        timings = [
            asdict(timing)
            | {
                "speedup_over_eager": self.speedup(timing, EAGER),
                "speedup_over_stock": self.speedup(timing, STOCK),
            }
            for timing in self.timings
        ]
        return asdict(self) | {"timings": timings}

    def __rich__(self) -> RenderableType:
        return render(self)


def summarise(taken: Sequence[float]) -> dict[str, Any]:
    """The fields of a Timing that follow from the runs' milliseconds."""
    ordered = sorted(taken)

    def percentile(share: float) -> float:
        return ordered[math.ceil(share * len(ordered)) - 1]

    return {
        "best_ms": ordered[0],
        "median_ms": statistics.median(ordered),
        "p90_ms": percentile(0.9),
        "p99_ms": percentile(0.99),
        "runs": len(ordered),
    }


def render(report: BenchReport) -> RenderableType:
    """The table, and why something is not in it."""
    sizes = ", ".join(f"{n} {'x'.join(map(str, s))}" for n, s in report.input_shapes.items())
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("runs in", overflow="fold")
    for heading in ("median", "p90", "p99", "MB", "x eager", "x stock"):
        table.add_column(heading, justify="right", no_wrap=True)
    groups = groupby(report.timings, key=lambda timing: (timing.dtype, timing.threads))
    for (dtype, threads), timings in groups:
        table.add_section()
        table.add_row(f"{dtype}, {threads} thread{'s' if threads > 1 else ''}", style="bold")
        for timing in timings:
            table.add_row(
                timing.backend,
                *(_milliseconds(ms) for ms in (timing.median_ms, timing.p90_ms, timing.p99_ms)),
                "-" if timing.memory_bytes is None else f"{timing.memory_bytes / 1e6:.0f}",
                *(_ratio(report.speedup(timing, over)) for over in (EAGER, STOCK)),
            )
    reasons = dict.fromkeys(
        f"{t.backend}, {t.dtype}: {t.not_run}" for t in report.timings if t.not_run
    )
    return Group(
        Text.assemble((report.path, "bold"), f", {sizes}; times in ms"),
        table,
        *(Text(reason, "yellow") for reason in reasons),
    )


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if value < 100 else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
