"""What the kernels are meant to reach, against what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from goal import Goal

from .contenders import CONV, OURS, OURS_BOTH, TORCHVISION
from .measuring import Row
from .workload import (
    BOTH_PASSES,
    FORWARD_PASS,
    LAYERS,
    TARGET_US,
    TO_CONV,
    TO_FORWARD,
    TORCHVISION_LEAD,
)


def goals(rows: Sequence[Row], device: str) -> Iterator[Goal]:
    """Every goal as an upper bound."""
    us = {(row.layer, row.kind, row.which, row.contender): row.us for row in rows}

    def ratio(a: tuple[str, str, str, str], b: tuple[str, str, str, str]) -> float | None:
        over, under = us.get(a), us.get(b)
        return over / under if over is not None and under is not None else None

    for (layer, kind), target in TARGET_US.items():
        measured = us.get((layer, kind, FORWARD_PASS, OURS))
        name = f"{layer}, {kind}: us"
        if "H200" in device:
            yield Goal(name, measured, target)
        else:
            yield Goal(f"{name} (the goal is for an H200)", measured, target)
    for case in LAYERS:
        for kind in ("float16", "float32"):
            at = case.name, kind
            forward, both = (*at, FORWARD_PASS), (*at, BOTH_PASSES)
            lead = 1 / TORCHVISION_LEAD
            name = f"{case.name}, {kind}"
            vision = ratio((*forward, OURS), (*forward, TORCHVISION))
            yield Goal(f"{name}: to torchvision's", vision, lead)
            vision = ratio((*both, OURS_BOTH), (*both, TORCHVISION))
            yield Goal(f"{name}: with backward, to torchvision's", vision, lead)
            own = ratio((*both, OURS_BOTH), (*forward, OURS))
            yield Goal(f"{name}: with backward, to forward", own, TO_FORWARD)
        forward = (case.name, "float16", FORWARD_PASS)
        conv = ratio((*forward, OURS), (*forward, CONV))
        yield Goal(f"{case.name}, float16: to cuDNN's plain convolution", conv, TO_CONV)
