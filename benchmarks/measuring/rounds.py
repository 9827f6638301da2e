"""Timing by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

# Every thread pool spins for a while after its work, on the cores that the next one needs.
_UNTIL_OTHERS_REST = 0.03
# A turn is so many runs, and as many more as fit into so many seconds: of a run of a millisecond, a
# few would not be enough to find a moment when the machine is free.
RUNS_OF_A_TURN, _SECONDS_OF_A_TURN = 3, 0.06
# One that has taken this long in all sits the later rounds out.
_SECONDS_EACH = 6.0


def best_times(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The best milliseconds of each function.

    Every round times each function in turn, so that a busy moment of the machine hits all of them.
    """
    best = dict.fromkeys(functions, float("inf"))
    spent = dict.fromkeys(functions, 0.0)
    for _ in range(rounds):
        for name, function in functions.items():
            if spent[name] > _SECONDS_EACH:
                continue
            time.sleep(_UNTIL_OTHERS_REST)
            for taken in times(function):
                best[name] = min(best[name], taken * 1e3)
                spent[name] += taken
    return best


def times(function: Callable[[], Any]) -> list[float]:
    """Seconds of each run of a turn."""
    taken: list[float] = []
    while len(taken) < RUNS_OF_A_TURN or sum(taken) < _SECONDS_OF_A_TURN:
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return taken
