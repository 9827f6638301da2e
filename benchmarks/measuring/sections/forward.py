"""A forward pass of every layer, by everybody who has the op, on one thread and on several."""

from __future__ import annotations

from typing import Any

from ..contenders import MAKERS, PEERS, TITLES, entrants
from ..layer import inputs_of
from ..plan import Plan, Sheet, Step, reasons, with_ratio
from ..rounds import best_times

TITLE = "forward: best ms (ratio to the plain convolution of the same shape)"


def thread_counts(plan: Plan) -> tuple[int, ...]:
    return (1, plan.threads) if plan.threads > 1 else (1,)


def steps(plan: Plan) -> int:
    return len(plan.layers) * len(thread_counts(plan))


def measure(plan: Plan, step: Step) -> list[dict[str, Any]]:
    """For each layer: ``ms`` by number of threads, then by contender; ``not_run``, with reasons."""
    rows = []
    for layer in plan.layers:
        inputs = inputs_of(layer)
        row: dict[str, Any] = {"layer": layer.name, "ms": {}, "not_run": {}}
        for threads in thread_counts(plan):
            entered = entrants(tuple(MAKERS), layer, inputs, threads)
            runs = {name: forward.run for name, forward in entered.forwards.items()}
            row["ms"][str(threads)] = best_times(runs, plan.rounds)
            row["not_run"] |= entered.not_run
            step()
        rows.append(row)
    return rows


def sheet(data: list[dict[str, Any]]) -> Sheet:
    names = [
        name for name in MAKERS if any(name in ms for row in data for ms in row["ms"].values())
    ]
    headings = ["layer", *(TITLES[name] for name in names), "best peer / ours"]
    rows = []
    for row in data:
        *fewer, ms = row["ms"].values()
        ratios = [with_ratio(ms.get(name), ms["conv"]) for name in names if name != "conv"]
        peers = [ms[name] for name in PEERS if name in ms]
        lead = f"{min(peers) / ms['ours']:.2f}" if peers else "-"
        cells = [row["layer"], f"{ms['conv']:.2f}", *ratios, lead]
        for one in fewer:
            gains = [f"{one[name] / ms[name]:.2f}" for name in ("ours", "conv")]
            cells += [with_ratio(one["ours"], one["conv"]), *gains]
        rows.append(cells)
    if any(len(row["ms"]) > 1 for row in data):
        headings += ["ours, 1 thread", "1 thread / all", "the same of Conv"]
    return Sheet(headings, rows, reasons(data))
