"""The bars of the times."""

from __future__ import annotations

from dataclasses import dataclass

from ..availability import OURS
from ..benchmarking import BenchReport, Timing


@dataclass(frozen=True)
class Bar:
    """One backend; widths in percent of the longest."""

    timing: Timing
    ours: bool
    median: float
    p99: float
    speedups: str


def latencies(report: BenchReport) -> list[Bar]:
    """Those that ran, on one scale."""
    longest = max((timing.p99_ms or 0.0 for timing in report.timings), default=0.0) or 1.0
    return [
        Bar(
            timing,
            timing.backend == OURS,
            100 * timing.median_ms / longest,
            100 * timing.p99_ms / longest,
            _speedups(report, timing),
        )
        for timing in report.timings
        if timing.median_ms is not None and timing.p99_ms is not None
    ]


def _speedups(report: BenchReport, timing: Timing) -> str:
    """ "speed: 2.10 times onnxruntime alone, 1.40 times PyTorch eager"."""
    others = dict.fromkeys(other.backend for other in report.timings)
    found = {name: report.speedup(timing, name) for name in others if name != timing.backend}
    told = [f"{value:.2f} times {name}" for name, value in found.items() if value is not None]
    return f"speed: {', '.join(told)}" if told else ""
