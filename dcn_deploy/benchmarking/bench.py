"""Timing a model in every backend, dtype and number of threads, in turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from torch import Tensor

from ..availability import first_line
from ..exporting import files
from ..inspection import ModelReport, inspect_model
from ..model_inputs import check_inputs
from ..onnx_graph import load
from ..precision import PRECISIONS, Precision, lower
from .backends import Backend, Once, Work, backends
from .report import EAGER, BenchReport, Timing, summarise

# Runs of one backend in a row, before the next has its turn.
_IN_A_ROW = 5


def usable_cpus() -> int:
    """CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def bench(
    path: str | os.PathLike[str],
    inputs: Mapping[str, Tensor],
    *,
    model: torch.nn.Module | None = None,
    dtypes: Sequence[str] | None = None,
    threads: int | Sequence[int] | None = None,
    repeat: int = 50,
    memory: bool = True,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> BenchReport:
    """Time an ONNX file in onnxruntime with this project's library and without it, and the PyTorch
    model that it came from.

    In turns of a few runs each, so that a machine that warms up or gets busy treats all alike. The
    first run of each turn is not counted: the threads of the others are still spinning then.

    Args:
        path: the ONNX file
        inputs: by name
        model: the PyTorch model, to be timed in eager mode on the same tensors, in order
        dtypes: to compute in: the file's own, and of a float32 file also "float16" and "bfloat16",
            each in a copy that is thrown away, offsets in float32; default: the file's own
        threads: of each backend, one number or several; default: every CPU
        repeat: counted runs of each. The p99 of less than 100 runs is the slowest of them.
        memory: measure the memory too, in a process of its own for each
        progress: called with the number of runs done and of all

    Raises:
        ValueError: repeat or threads is less than 1, or a dtype is none of those.
        ModelFileError: the file is not an ONNX model.
        InputError: ``inputs`` do not fit it.
    """
    counts = [threads or usable_cpus()] if not isinstance(threads, Sequence) else list(threads)
    if repeat < 1 or not counts or min(counts) < 1:
        raise ValueError(f"repeat is {repeat} and threads {threads}, expected at least 1 each")
    file = inspect_model(path)
    check_inputs(inputs, file.inputs)
    own = _dtype(file)
    for dtype in dtypes or ():
        if dtype not in (own, *PRECISIONS):
            allowed = ", ".join(dict.fromkeys((own, *PRECISIONS)))
            raise ValueError(f"dtype {dtype!r}, expected one of {allowed}: {path} is {own}")
    with TemporaryDirectory() as folder, _torch_threads():
        rows = []
        for dtype in dtypes or (own,):
            work, problem = _in_dtype(Work(Path(path), own, model, inputs), dtype, Path(folder))
            rows += [
                _Row(backend, work, count, problem)
                for count in counts
                for backend in backends(model)
            ]
        for row in rows:
            row.prepare()
        _take_turns([row for row in rows if row.once is not None], repeat, progress)
        timings = tuple(row.timing(memory) for row in rows)
    shapes = {name: tuple(tensor.shape) for name, tensor in inputs.items()}
    return BenchReport(os.fspath(path), shapes, timings)


def _dtype(file: ModelReport) -> str:
    """What the model computes in: its deformable nodes, or where it has none its inputs."""
    found = [node.dtype for node in file.nodes] + [spec.dtype for spec in file.inputs]
    return next((dtype for dtype in found if dtype and "float" in dtype), "-")


def _in_dtype(work: Work, dtype: str, folder: Path) -> tuple[Work, str]:
    """The model written in another dtype; and why it cannot be, where it cannot."""
    if dtype == work.dtype:
        return work, ""
    path = folder / f"{dtype}.onnx"
    problem = ""
    try:
        lowered = load(work.path)
        lower(lowered, cast(Precision, dtype))
        files.write(lowered, path, None)
    except Exception as error:  # whatever stands against it, the report says it
        problem = first_line(error)
    return replace(work, path=path, dtype=dtype), problem


class _Row:
    """One line of the table, as it comes about."""

    def __init__(self, backend: Backend, work: Work, threads: int, problem: str) -> None:
        self.once: Once | None = None
        self.taken: list[float] = []
        self._backend, self._work, self._threads = backend, work, threads
        # Eager PyTorch needs no file.
        self._not_run = "" if backend.name == EAGER else problem

    def prepare(self) -> None:
        """Load the model and run it once, or note why that fails."""
        if self._not_run:
            return
        try:
            once = self._backend.prepare(self._work, self._threads)
            once()
        except Exception as error:  # a backend that cannot: the report says what it said
            self._not_run = first_line(error)
        else:
            self.once = once

    def timing(self, memory: bool) -> Timing:
        """What was measured."""
        names = self._backend.name, self._work.dtype, self._threads
        if self.once is None:
            return Timing(*names, not_run=self._not_run)
        used = self._backend.memory(self._work, self._threads) if memory else None
        return Timing(*names, **summarise(self.taken), memory_bytes=used)


def _take_turns(rows: Sequence[_Row], repeat: int, progress: Callable[[int, int], None]) -> None:
    done, total = 0, repeat * len(rows)
    while done < total:
        for row in rows:
            assert row.once is not None
            row.once()
            for _ in range(min(_IN_A_ROW, repeat - len(row.taken))):
                start = time.perf_counter()
                row.once()
                row.taken.append((time.perf_counter() - start) * 1e3)
                done += 1
                progress(done, total)


@contextmanager
def _torch_threads() -> Iterator[None]:
    """Eager rows set torch's number of threads; here it is put back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
