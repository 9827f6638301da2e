"""Forward and backward in eager torch: the gradients of all five inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import dcn_deploy

from ..contenders import TITLES, torch_arguments
from ..layer import Layer, inputs_of
from ..plan import Plan, Sheet, Step, reasons
from ..rounds import best_times

TITLE = "forward and backward, in eager torch: best ms"


def steps(plan: Plan) -> int:
    return len(plan.layers)


def measure(plan: Plan, step: Step) -> list[dict[str, Any]]:
    """For each layer: ``ms`` of our forward, of our forward and backward, and of torchvision's."""
    rows = []
    torch.set_num_threads(plan.threads)
    for layer in plan.layers:
        runs = {
            "forward": forward_of(dcn_deploy.deform_conv2d, layer),
            "ours_eager": forward_and_backward_of(dcn_deploy.deform_conv2d, layer),
        }
        not_run = {}
        try:
            import torchvision

            runs["torchvision"] = forward_and_backward_of(torchvision.ops.deform_conv2d, layer)
            runs["torchvision"]()
        except Exception as error:  # of whatever its import throws
            not_run["torchvision"] = str(error).splitlines()[0]
            runs.pop("torchvision", None)
        ms = best_times(runs, plan.rounds)
        rows.append({"layer": layer.name, "ms": ms, "not_run": not_run})
        step()
    return rows


def forward_of(op: Callable[..., Tensor], layer: Layer) -> Callable[[], Tensor]:
    tensors, attributes = torch_arguments(layer, inputs_of(layer))

    def run() -> Tensor:
        with torch.inference_mode():
            return op(**tensors, **attributes)

    return run


def forward_and_backward_of(
    op: Callable[..., Tensor], layer: Layer, batch: int = 1
) -> Callable[[], tuple[Tensor, ...]]:
    """A function that returns the gradients of every input."""
    tensors, attributes = torch_arguments(layer, inputs_of(layer, batch=batch))
    for tensor in tensors.values():
        tensor.requires_grad_()
    gradient = torch.randn(batch, layer.out_channels, *layer.out_size)

    def run() -> tuple[Tensor, ...]:
        return torch.autograd.grad(op(**tensors, **attributes), list(tensors.values()), gradient)

    return run


def sheet(data: list[dict[str, Any]]) -> Sheet:
    rows = []
    for row in data:
        ms = row["ms"]
        both, theirs = ms["ours_eager"], ms.get("torchvision")
        ours = [f"{ms['forward']:.2f}", f"{both:.2f}", f"{both / ms['forward']:.2f}"]
        peer = ["-", "-"] if theirs is None else [f"{theirs:.2f}", f"{theirs / both:.1f}"]
        rows.append([row["layer"], *ours, *peer])
    headings = ["layer", "forward", "forward + backward", "ratio"]
    return Sheet([*headings, TITLES["torchvision"], "theirs / ours"], rows, reasons(data))
