"""How long something takes on the GPU: a captured graph, replayed, over inputs that do not fit in
the second-level cache all together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

_AT_LEAST_US = 3000.0  # of each measurement
_MOST_SETS = 48


@dataclass(frozen=True)
class Timing:
    us: float  # of one call: the median of the rounds
    spread: float  # between the fastest and the slowest round, relative to the median


def sets_of_inputs(bytes_of_one: float) -> int:
    """How many do not fit in the cache, three times over."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return min(_MOST_SETS, max(2, math.ceil(3 * cache / bytes_of_one)))


class Replay:
    """Calls captured in one graph, ready to be timed."""

    def __init__(self, calls: Sequence[Callable[[], object]]) -> None:
        self.count = len(calls)
        self._calls = calls  # they hold the memory that the graph uses
        aside = torch.cuda.Stream()  # what libraries prepare at first must not be captured
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for call in calls[:2]:
                call()
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            for call in calls:
                call()
        self._times = 1
        once = self.us() * self.count
        self._times = max(1, math.ceil(_AT_LEAST_US / once))

    def us(self) -> float:
        """Microseconds of a call, now."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._graph.replay()  # warms up
        begin.record()
        for _ in range(self._times):
            self._graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1000 / self._times / self.count


def rounds(replays: dict[str, Callable[[], float]], count: int) -> dict[str, Timing]:
    """In turns, so that a slow moment of the device hits all of them."""
    found: dict[str, list[float]] = {name: [] for name in replays}
    for _ in range(count):
        for name, us in replays.items():
            found[name].append(us())
    return {
        name: Timing(statistics.median(us), (max(us) - min(us)) / statistics.median(us))
        for name, us in found.items()
    }
