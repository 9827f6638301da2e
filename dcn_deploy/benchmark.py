"""How long a model takes in onnxruntime with this project's library, and without it."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from . import availability
from .arrays import to_array
from .availability import first_line
from .inspection import inspect_model
from .model_inputs import check_inputs
from .runtimes.onnxruntime import QUIET, ort_session, run, stock_session

# Runs of one runtime in a row, before the other has its turn.
_IN_A_ROW = 5


@dataclass(frozen=True)
class Timing:
    """One runtime; milliseconds per run."""

    runtime: str
    best_ms: float | None = None
    median_ms: float | None = None
    p90_ms: float | None = None
    runs: int = 0
    not_run: str = ""
    """Why there is nothing to measure."""


@dataclass(frozen=True)
class BenchReport:
    """A model on one set of inputs."""

    path: str
    input_shapes: Mapping[str, tuple[int, ...]]
    threads: int
    timings: tuple[Timing, ...]

    @property
    def speedup(self) -> float | None:
        """Median without the library by median with it; None where one of them did not run."""
        ours, stock = (timing.median_ms for timing in self.timings)
        return None if ours is None or stock is None else stock / ours

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self) | {"speedup": self.speedup}


def usable_cpus() -> int:
    """CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def bench(
    path: str | os.PathLike[str],
    inputs: Mapping[str, Tensor],
    *,
    threads: int,
    repeat: int = 30,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> BenchReport:
    """Time a model, with the library and without, in turns of a few runs each.

    In turns, so that a machine that warms up or gets busy treats both alike; the first run of each
    turn is not counted, because the threads of the other runtime are still spinning then.

    Args:
        path: the ONNX file
        inputs: by name
        threads: of each session
        repeat: counted runs of each
        progress: called with the number of runs done and of all
    """
    check_inputs(inputs, inspect_model(path).inputs)
    feed = {name: to_array(tensor) for name, tensor in inputs.items()}
    options = {"intra_op_num_threads": threads, **QUIET}
    makers: dict[str, Callable[..., Any]] = {
        availability.OURS: partial(ort_session, override=True),
        availability.STOCK: stock_session,
    }
    sessions, reasons = {}, {}
    for name, make in makers.items():
        try:
            sessions[name] = make(path, **options)
            run(sessions[name], feed)
        except Exception as error:  # a runtime that cannot: the report says what it said
            reasons[name] = first_line(error)
            sessions.pop(name, None)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    total = repeat * len(sessions)
    while any(len(taken) < repeat for taken in times.values()):
        for name, session in sessions.items():
            run(session, feed)
            for _ in range(min(_IN_A_ROW, repeat - len(times[name]))):
                start = time.perf_counter()
                run(session, feed)
                times[name].append((time.perf_counter() - start) * 1e3)
                progress(sum(map(len, times.values())), total)
    timings = tuple(
        _timing(name, times[name]) if name in times else Timing(name, not_run=reasons[name])
        for name in makers
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in inputs.items()}
    return BenchReport(os.fspath(Path(path)), shapes, threads, timings)


def _timing(name: str, taken: list[float]) -> Timing:
    ordered = sorted(taken)
    p90 = ordered[math.ceil(0.9 * len(ordered)) - 1]
    return Timing(name, ordered[0], statistics.median(ordered), p90, len(ordered))
