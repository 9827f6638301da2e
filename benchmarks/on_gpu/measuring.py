"""Times every contender on every layer, in one run on one device, and compares."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from cases import Case, Inputs, expected, relative_error
from cuda_core.core import Core
from cuda_core.judging import FORWARD

from . import contenders as who
from .checks import NotRunError
from .runtimes import onnxruntime_deform_conv, tensorrt_rtx
from .screen import say
from .timing import Replay, Timing, rounds, sets_of_inputs
from .workload import FORWARD_PASS, Ceilings, cost_of, make_layer_inputs

DEVICE = "cuda"
# Far above what half precision leaves, far below what another operation would show.
_SAME_LAYER = 0.2
RUNTIMES = {
    "onnxruntime's DeformConv": onnxruntime_deform_conv,
    "ours in TensorRT-RTX": tensorrt_rtx,
}


@dataclass(frozen=True)
class Row:
    """What one contender took for one layer, or why it did not run."""

    layer: str
    kind: str
    which: str  # pass
    contender: str
    us: float | None = None
    spread: float | None = None
    tflops: float | None = None
    of_floor: float | None = None  # the floor's time to this one's
    to_ours: float | None = None  # this one's time to ours
    error: float | None = None  # against float64
    not_run: str = ""


def measure_ceilings() -> Ceilings:
    """A large copy, and a large matrix product in each dtype, on random data."""
    source = torch.randn(1 << 28, device="cuda")
    target = torch.empty_like(source)
    copy = Replay([lambda: target.copy_(source)])
    replays: dict[str, Callable[[], float]] = {"copy": copy.us}
    size, held = 8192, []
    torch.backends.cuda.matmul.allow_tf32 = True
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        a, b = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
        product = Replay([lambda a=a, b=b: a @ b])  # type: ignore[misc]
        held.append(product)
        replays[str(dtype).removeprefix("torch.")] = product.us
    us = {name: timing.us for name, timing in rounds(replays, 3).items()}
    bytes_per_us = 2 * source.nbytes / us.pop("copy")
    return Ceilings(bytes_per_us, {name: 2 * size**3 / each for name, each in us.items()})


def measure(
    core: Core, case: Case, kind_name: str, which: str, ceilings: Ceilings, count: int
) -> list[Row]:
    """One layer in one dtype: a row for each contender, ours first."""
    who.settings_for(kind_name)
    kind, cost = FORWARD[kind_name], cost_of(case, kind_name, which)
    sets = [make_layer_inputs(case, kind.dtype, seed) for seed in range(sets_of_inputs(cost.bytes))]
    shape = (case.batch, case.out_channels, *case.output_size)
    grad_output = torch.randn(shape, device=DEVICE).to(kind.dtype)
    job = who.Job(core, case, kind, sets, grad_output)
    ready, not_run, errors = _prepare(job, which)
    timings = rounds(ready, count)
    floor = cost.floor_us(ceilings, kind.dtype)
    reference = who.OURS if which == FORWARD_PASS else who.OURS_BOTH
    ours = timings.get(reference)

    def row(name: str, timing: Timing) -> Row:
        return Row(
            *(case.name, kind_name, which, name),
            us=timing.us,
            spread=timing.spread,
            tflops=cost.flops / timing.us / 1e6,
            of_floor=floor / timing.us,
            to_ours=timing.us / ours.us if ours else None,
            error=errors.get(name),
        )

    rows = [row(name, timing) for name, timing in timings.items()]
    rows += [
        Row(case.name, kind_name, which, name, not_run=reason) for name, reason in not_run.items()
    ]
    for each in rows:
        if each.us is None:
            say(f"{_title(each)}: {each.not_run}", "not run")
        else:
            say(f"{_title(each)}: {each.us:.1f} us")
    return rows


def _title(row: Row) -> str:
    return f"{row.layer}, {row.kind}, {row.which}, {row.contender}"


def _prepare(
    job: who.Job, which: str
) -> tuple[dict[str, Callable[[], float]], dict[str, str], dict[str, float]]:
    """Contender -> what measures it; why others are left out; how far results are off."""
    ready: dict[str, Callable[[], float]] = {}
    not_run: dict[str, str] = {}
    errors: dict[str, float] = {}
    makers = who.FORWARD_PASSES if which == FORWARD_PASS else who.BOTH
    exact = _exact(job.case, job.sets[0]) if which == FORWARD_PASS else None

    def judge(name: str, result: Any) -> None:
        if exact is None or not who.computes_the_layer(name):
            return
        errors[name] = relative_error(result, exact)
        if not errors[name] <= _SAME_LAYER:
            raise NotRunError(f"its result is another: relative error {errors[name]:.1e}")

    for name, us, result in _entrants(job, makers, which):
        try:
            measured = us()
            torch.cuda.synchronize()
            judge(name, result())
            ready[name] = measured
        except Exception as error:  # of whatever the peer's libraries throw
            torch.cuda.synchronize()
            not_run[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ready, not_run, errors


def _entrants(
    job: who.Job, makers: dict[str, Callable[[who.Job], who.Calls]], which: str
) -> Iterator[tuple[str, Callable[[], Callable[[], float]], Callable[[], Any]]]:
    """Name, what makes it ready, and what its first result is then."""
    kept: dict[str, Any] = {}

    def replayed(name: str) -> Callable[[], float]:
        calls = makers[name](job)
        kept[name] = calls[0]
        return Replay(calls).us

    def of_runtime(name: str) -> Callable[[], float]:
        us, kept[name] = RUNTIMES[name](job)
        return us

    for name in makers:
        yield name, lambda name=name: replayed(name), lambda name=name: kept[name]()  # type: ignore[misc]
    if which == FORWARD_PASS:
        for name in RUNTIMES:
            yield name, lambda name=name: of_runtime(name), lambda name=name: kept[name]  # type: ignore[misc]


def _exact(case: Case, inputs: Inputs) -> torch.Tensor:
    with torch.no_grad():
        return expected(case, inputs)


def measure_all(
    core: Core,
    jobs: Sequence[tuple[Case, str, str]],
    ceilings: Ceilings,
    count: int,
    until: float,
) -> list[Row]:
    """``jobs`` are layers, kinds and passes; those not begun ``until`` then are left out."""
    rows: list[Row] = []
    for case, kind, which in jobs:
        if time.monotonic() > until:
            reason = "no time was left"
            say(f"{case.name}, {kind}, {which}: {reason}", "not run")
            rows.append(Row(case.name, kind, which, "everyone", not_run=reason))
            continue
        rows += measure(core, case, kind, which, ceilings, count)
        gc.collect()
        torch.cuda.empty_cache()
    return rows
