"""One picture of the results: how many times a plain convolution each layer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, NullLocator

from .contenders import TITLES

_COLORS = {
    "ours": "#0b6e4f",
    "ours_eager": "#73c2a0",
    "onnxruntime": "#d98f2b",
    "openvino": "#5b6fb5",
    "torchvision": "#b04a5a",
}
_TICKS = (0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200)
# Below the floor, so that a bar of exactly 1 is seen.
_LEFT = 0.5


def draw(report: dict[str, Any], path: Path) -> None:
    """Horizontal bars, one group for each layer, on a logarithmic axis with a line at the floor."""
    rows = report["sections"]["forward"]
    threads = str(report["machine"]["threads"])
    names = [name for name in _COLORS if any(name in row["ms"][threads] for row in rows)]
    height = 0.8 / len(names)
    size = 9, 1.5 + 0.14 * len(names) * len(rows)  # inches
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    widest = 1.0
    for i, name in enumerate(names):
        for place, row in enumerate(rows):
            ms = row["ms"][threads]
            if name not in ms:
                continue
            ratio = ms[name] / ms["conv"]
            widest = max(widest, ratio)
            y = place + (i - (len(names) - 1) / 2) * height
            label = TITLES[name] if place == _first(rows, threads, name) else None
            axes.barh(y, ratio - _LEFT, height, left=_LEFT, color=_COLORS[name], label=label)
            axes.text(ratio * 1.015, y, f"{ratio:.2f}", va="center", fontsize=6.5)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(_LEFT, widest * 1.8)  # and room for the figure beside it
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick < widest * 1.25]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(rows)), [row["layer"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("time, as a multiple of the plain convolution of the same shape")
    figure.legend(loc="outside lower center", ncols=len(names), fontsize=8)
    where = report["machine"]
    axes.set_title(
        f"{where['cpu']}, {where['threads']} threads, {where['instruction_set']}", fontsize=9
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _first(rows: list[dict[str, Any]], threads: str, name: str) -> int:
    return next(place for place, row in enumerate(rows) if name in row["ms"][threads])
