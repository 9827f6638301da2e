"""Our forward pass in eager torch on a channels-last image, and on a contiguous one."""

from __future__ import annotations

from typing import Any

import torch

import dcn_deploy

from ..contenders import torch_arguments
from ..layer import inputs_of
from ..plan import Plan, Sheet, Step, with_ratio
from ..rounds import best_times

TITLE = "memory formats, in eager torch: best ms of ours (ratio to contiguous)"
_FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def steps(plan: Plan) -> int:
    return len(plan.layers)


def measure(plan: Plan, step: Step) -> list[dict[str, Any]]:
    """For each layer: ``ms`` by the input's memory format."""
    rows = []
    torch.set_num_threads(plan.threads)
    for layer in plan.layers:
        runs = {}
        for name, memory_format in _FORMATS.items():
            tensors, attributes = torch_arguments(layer, inputs_of(layer))
            tensors["input"] = tensors["input"].contiguous(memory_format=memory_format)

            def run(tensors: Any = tensors, attributes: Any = attributes) -> torch.Tensor:
                with torch.inference_mode():
                    return dcn_deploy.deform_conv2d(**tensors, **attributes)

            runs[name] = run
        rows.append({"layer": layer.name, "ms": best_times(runs, plan.rounds)})
        step()
    return rows


def sheet(data: list[dict[str, Any]]) -> Sheet:
    rows = [
        [row["layer"], *(with_ratio(row["ms"][name], row["ms"]["contiguous"]) for name in _FORMATS)]
        for row in data
    ]
    return Sheet(["layer", *_FORMATS], rows)
