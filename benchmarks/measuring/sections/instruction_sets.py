"""Our forward pass in every build of the kernels that this machine runs."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from typing import Any

from dcn_deploy.contract import contract

from ..contenders import Forward, ours
from ..layer import Layer, inputs_of
from ..plan import Plan, Sheet, Step, with_ratio
from ..process import process
from ..rounds import times

TITLE = "instruction sets: best ms of ours (ratio to the first)"
# Best first. One that the machine or the library does not have answers with another's name.
_NAMES = ("avx512_bf16", "avx512", "avx2", "neon", "baseline")


def steps(plan: Plan) -> int:
    return len(plan.layers)


def measure(plan: Plan, step: Step) -> list[dict[str, Any]]:
    """For each layer: ``ms`` by instruction set."""
    rows = []
    with ExitStack() as stack:
        processes = {}
        for name in _NAMES:
            call = stack.enter_context(process(DCN_DEPLOY_ISA=name))
            if call(_instruction_set) == name:
                processes[name] = call
        for layer in plan.layers:
            best = dict.fromkeys(processes, float("inf"))
            for _ in range(plan.rounds):
                for name, call in processes.items():
                    best[name] = min(best[name], call(_best_ms, layer, plan.threads))
            rows.append({"layer": layer.name, "ms": best})
            step()
    return rows


def _instruction_set() -> str:
    return contract().instruction_set


@lru_cache(maxsize=1)
def _ours(layer: Layer, threads: int) -> Forward:
    return ours(layer, inputs_of(layer), threads)


def _best_ms(layer: Layer, threads: int) -> float:
    return min(times(_ours(layer, threads).run)) * 1e3


def sheet(data: list[dict[str, Any]]) -> Sheet:
    names = list(data[0]["ms"]) if data else []
    rows = [
        [row["layer"], *(with_ratio(row["ms"][name], row["ms"][names[0]]) for name in names)]
        for row in data
    ]
    return Sheet(["layer", *names], rows)
