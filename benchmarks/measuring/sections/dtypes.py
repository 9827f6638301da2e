"""Our forward pass in every dtype, in onnxruntime."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from ..contenders import ours
from ..layer import inputs_of
from ..plan import Plan, Sheet, Step, with_ratio
from ..rounds import best_times

TITLE = "dtypes: best ms of ours (ratio to float32)"
DTYPES = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float64": np.float64,
}


def steps(plan: Plan) -> int:
    return len(plan.layers)


def measure(plan: Plan, step: Step) -> list[dict[str, Any]]:
    """For each layer: ``ms`` by dtype."""
    rows = []
    for layer in plan.layers:
        runs = {
            name: ours(layer, inputs_of(layer, dtype=dtype), plan.threads).run
            for name, dtype in DTYPES.items()
        }
        rows.append({"layer": layer.name, "ms": best_times(runs, plan.rounds)})
        step()
    return rows


def sheet(data: list[dict[str, Any]]) -> Sheet:
    rows = [
        [row["layer"], *(with_ratio(row["ms"][name], row["ms"]["float32"]) for name in DTYPES)]
        for row in data
    ]
    return Sheet(["layer", *DTYPES], rows)
