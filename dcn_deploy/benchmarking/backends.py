"""What can be timed: each backend makes a function that runs the model once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import availability
from ..arrays import to_array
from ..runtimes.onnxruntime import QUIET, ort_session, run, stock_session
from .memory import eager_memory, onnxruntime_memory
from .report import EAGER

Once = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """A model in one dtype, and its inputs."""

    path: Path
    dtype: str
    """What the model computes in; "-" where nothing says it."""
    module: torch.nn.Module | None
    """The PyTorch model that the file came from, if it is at hand."""
    inputs: Mapping[str, Tensor]
    """As the file takes them."""


@dataclass(frozen=True)
class Backend:
    """One way to run a model."""

    name: str
    prepare: Callable[[Work, int], Once]
    """With a number of threads. Whatever it raises is why it cannot run."""
    memory: Callable[[Work, int], int | None]
    """Bytes that running adds to a process at most; None where nothing can tell."""


def backends(module: torch.nn.Module | None) -> tuple[Backend, ...]:
    """Those that there is something to run in."""
    found = (_ONNXRUNTIME_OURS, _ONNXRUNTIME_STOCK)
    return found if module is None else (*found, _EAGER)


def _session(make: Callable[..., Any], work: Work, threads: int) -> Once:
    session = make(work.path, intra_op_num_threads=threads, **QUIET)
    return partial(run, session, _feed(work))


def _feed(work: Work) -> dict[str, Any]:
    return {name: to_array(tensor) for name, tensor in work.inputs.items()}


def _memory(work: Work, threads: int, *, ours: bool) -> int | None:
    return onnxruntime_memory(work.path, _feed(work), threads, ours=ours)


def _in_eager(work: Work) -> tuple[torch.nn.Module, list[Tensor]]:
    """A copy of the module in the dtype, and the inputs: the caller's keeps its dtype and mode."""
    assert work.module is not None
    dtype = getattr(torch, work.dtype)
    tensors = [
        tensor.to(dtype) if tensor.is_floating_point() else tensor
        for tensor in work.inputs.values()
    ]
    return copy.deepcopy(work.module).eval().to(dtype), tensors


def _eager(work: Work, threads: int) -> Once:
    module, tensors = _in_eager(work)

    def once() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return module(*tensors)

    return once


def _eager_memory(work: Work, threads: int) -> int | None:
    return eager_memory(*_in_eager(work), threads)


_ONNXRUNTIME_OURS = Backend(
    availability.OURS,
    partial(_session, partial(ort_session, override=True)),
    partial(_memory, ours=True),
)
_ONNXRUNTIME_STOCK = Backend(
    availability.STOCK, partial(_session, stock_session), partial(_memory, ours=False)
)
_EAGER = Backend(EAGER, _eager, _eager_memory)
