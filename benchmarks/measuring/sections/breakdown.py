"""Where our forward pass spends its time, as the library counts it when it is asked to."""

from __future__ import annotations

import ctypes
import time
from typing import Any

from dcn_deploy.runtimes.onnxruntime import onnxruntime_library

from ..contenders import ours
from ..layer import Layer, inputs_of
from ..plan import Plan, Sheet, Step
from ..process import process

TITLE = "breakdown of ours: % of all threads' time"
_MOST_PHASES = 16
_WARM_UP = 3


def steps(plan: Plan) -> int:
    return len(plan.layers)


def measure(plan: Plan, step: Step) -> list[dict[str, Any]]:
    """For each layer: mean ``ms`` of a run, and ``phases``, their share of the threads' time.

    The shares and ``idle`` add up to 1. Counting takes time itself: ``ms`` is not for comparisons.
    """
    rows = []
    with process(DCN_DEPLOY_PHASES="1") as call:
        for layer in plan.layers:
            rows.append({"layer": layer.name, **call(_shares, layer, plan.threads, plan.rounds)})
            step()
    return rows


def _shares(layer: Layer, threads: int, rounds: int) -> dict[str, Any]:
    run = ours(layer, inputs_of(layer), threads).run
    for _ in range(_WARM_UP):
        run()
    before, start = _phases(), time.perf_counter()
    for _ in range(rounds):
        run()
    seconds, after = time.perf_counter() - start, _phases()
    available = seconds * 1e9 * threads
    shares = {name: (after[name] - before[name]) / available for name in after}
    if shares:
        shares["idle"] = 1 - sum(shares.values())
    return {"ms": seconds / rounds * 1e3, "phases": shares}


def _phases() -> dict[str, int]:
    """Nanoseconds in each phase since the library was loaded; nothing if it counts none."""
    count = getattr(ctypes.CDLL(str(onnxruntime_library())), "dcn_deploy_phases", None)
    if count is None:
        return {}
    names = (ctypes.c_char_p * _MOST_PHASES)()
    nanoseconds = (ctypes.c_int64 * _MOST_PHASES)()
    number = count(names, nanoseconds, _MOST_PHASES)
    return {names[i].decode(): nanoseconds[i] for i in range(number)}


def sheet(data: list[dict[str, Any]]) -> Sheet:
    phases = list(data[0]["phases"]) if data else []
    rows = [
        [row["layer"], *(f"{100 * row['phases'][phase]:.1f}" for phase in phases)] for row in data
    ]
    return Sheet(["layer", *phases], rows, [] if phases else ["the library counts no phases"])
