"""What the kernels are meant to reach, against results of benchmarks/layers.py.

    python benchmarks/goals.py [results.json]

Prints every goal with what was measured; exits with 1 if one is missed. A goal whose figure is not
in the results (a peer that is not installed, a section that was not run) is "not run".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goal import Goal
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "layers.json"

# Ours to the plain convolution, at most, on all threads.
TO_CONV = {
    "256→256 50x84": 1.08,
    "512→512 25x42": 1.08,
    "128→128 100x168 no mask": 1.08,
    "128→128 200x336 stride 2 no mask": 1.08,
    "64→256 64x64 k7": 1.05,
    "512→512 18x18": 1.12,
    "256→128 32x32": 1.12,
    "64→64 64x64": 1.15,
    "64→64 128x128": 1.15,
    "128→128 90x160 og 8": 1.20,
    "64→64 180x320 og 16": 1.50,
    "128→64 180x320 og 16": 1.50,
    "96→48 120x160 og 16": 1.9,
    "96→96 60x80 group 4 og 4": 1.9,
    "37→50 61x47": 1.4,
    "256→256 50x84 k1": 1.15,
}
DEPTHWISE = "128→128 100x168 group 128"
DEPTHWISE_LEAD = 3.0  # times as fast as onnxruntime's kernel
EAGER = 1.05  # eager torch to onnxruntime
SPEEDUP, SPEEDUP_FROM_MS = 1.85, 5.0  # of two threads, on layers that take one this long
BACKWARD = 4.0  # forward and backward to forward
HALF = 1.10  # float16 and bfloat16 to float32
SCRATCH_MIB = 40.0
TO_TORCHVISION, TO_TORCHVISION_DEEP = 12.0, 6.0  # forward and backward; with 512 channels
AVX2 = 1.15  # AVX2 to AVX-512
BFLOAT16_GAIN = 1.6  # on 256 channels and more, with AVX512_BF16
DEEP = ("256→256", "512→512")


def goals(report: dict[str, Any]) -> Iterator[Goal]:
    """Every goal as an upper bound."""
    sections, threads = report["sections"], str(report["machine"]["threads"])
    rows = {row["layer"]: row["ms"] for row in sections.get("forward", ())}
    on_all = {name: ms[threads] for name, ms in rows.items()}
    for layer, bound in TO_CONV.items():
        yield Goal(f"{layer}: to Conv", _ratio(on_all.get(layer), "ours", "conv"), bound)
    yield Goal(
        f"{DEPTHWISE}: to onnxruntime's",
        _ratio(on_all.get(DEPTHWISE), "ours", "onnxruntime"),
        1 / DEPTHWISE_LEAD,
    )
    for layer, ms in on_all.items():
        for peer in ("onnxruntime", "openvino", "torchvision"):
            yield Goal(f"{layer}: to {peer}'s", _ratio(ms, "ours", peer), 1)
        yield Goal(f"{layer}: eager torch to onnxruntime", _ratio(ms, "ours_eager", "ours"), EAGER)
        one = rows[layer].get("1")
        if threads == "2" and one and one["ours"] > SPEEDUP_FROM_MS:
            yield Goal(f"{layer}: 2 threads to 1", ms["ours"] / one["ours"], 1 / SPEEDUP)
    for row in sections.get("backward", ()):
        layer, ms = row["layer"], row["ms"]
        yield Goal(
            f"{layer}: with backward, to forward", ms["ours_eager"] / ms["forward"], BACKWARD
        )
        bound = 1 / (TO_TORCHVISION_DEEP if "512→512" in layer else TO_TORCHVISION)
        vision = _ratio(ms, "ours_eager", "torchvision")
        yield Goal(f"{layer}: with backward, to torchvision's", vision, bound)
    for row in sections.get("dtypes", ()):
        for name in ("float16", "bfloat16"):
            ratio = _ratio(row["ms"], name, "float32")
            yield Goal(f"{row['layer']}: {name} to float32", ratio, HALF)
        if report["machine"]["instruction_set"] == "avx512_bf16" and row["layer"].startswith(DEEP):
            ratio = _ratio(row["ms"], "bfloat16", "float32")
            yield Goal(f"{row['layer']}: bfloat16 gain", ratio, 1 / BFLOAT16_GAIN)
    for row in sections.get("instruction_sets", ()):
        yield Goal(f"{row['layer']}: avx2 to avx512", _ratio(row["ms"], "avx2", "avx512"), AVX2)
    for row in sections.get("memory", ()):
        if row["pass"] == "forward":
            mib = row["mib"]["ours"]
            yield Goal(f"forward memory, batch {row['batch']}, MiB", mib, SCRATCH_MIB)


def _ratio(ms: dict[str, float] | None, name: str, to: str) -> float | None:
    return ms[name] / ms[to] if ms and name in ms and to in ms else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    found = list(goals(json.loads(parser.parse_args().results.read_text())))
    table = Table("goal", "measured", "at most", "")
    for goal in found:
        measured = "-" if goal.measured is None else f"{goal.measured:.3f}"
        style = {"missed": "red", "not run": "yellow"}.get(goal.verdict)
        table.add_row(goal.what, measured, f"{goal.at_most:.3f}", goal.verdict, style=style)
    Console().print(table)
    missed = sum(goal.verdict == "missed" for goal in found)
    absent = sum(goal.verdict == "not run" for goal in found)
    print(f"{len(found)} goals, {missed} missed, {absent} not run")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
