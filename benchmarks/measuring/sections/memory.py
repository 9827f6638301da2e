"""Memory that a pass needs beyond its inputs and results.

Each figure is taken in a fresh process that has run a small layer of the same kind before, so that
code and threads are there: the peak of the resident size during the first run, less the resident
size before it, less the bytes of the results. The kernel is asked to forget earlier peaks
(/proc/self/clear_refs) and the allocator to give back what it keeps.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import dcn_deploy

from ..contenders import MAKERS, TITLES
from ..layer import Layer, inputs_of
from ..plan import Plan, Sheet, Step, reasons
from ..process import process
from .backward import forward_and_backward_of

LAYER = Layer(64, 64, (180, 320), offset_group=16)
TITLE = f"memory beyond inputs and results, {LAYER.name}: MiB"
_BATCHES = (1, 4)
_FORGET_PEAKS = "5"


def _torchvision() -> Callable[..., Any]:
    import torchvision

    op: Callable[..., Any] = torchvision.ops.deform_conv2d
    return op


_FORWARD = ("ours", "ours_eager", "onnxruntime", "openvino", "torchvision")
_BACKWARD = ("ours_eager", "torchvision")


def steps(plan: Plan) -> int:
    return (len(_FORWARD) + len(_BACKWARD)) * len(_BATCHES)


def measure(plan: Plan, step: Step) -> list[dict[str, Any]]:
    """For forward and backward and each batch: ``mib`` by contender."""
    rows = []
    for what, function, names in (
        ("forward", _forward_growth, _FORWARD),
        ("forward and backward", _backward_growth, _BACKWARD),
    ):
        for batch in _BATCHES:
            row: dict[str, Any] = {"pass": what, "batch": batch, "mib": {}, "not_run": {}}
            for name in names:
                try:
                    if name in ("openvino", "torchvision"):
                        importlib.import_module(name)  # or the reason, without a process for it
                    with process() as call:
                        row["mib"][name] = call(function, name, batch, plan.threads) / 2**20
                except Exception as error:  # a peer's, raised in the other process
                    if name.startswith("ours"):
                        raise
                    row["not_run"][name] = str(error).splitlines()[0]
                step()
            rows.append(row)
    return rows


def _small(layer: Layer) -> Layer:
    return replace(layer, size=(layer.size[0] // 10, layer.size[1] // 10))


def _forward_growth(name: str, batch: int, threads: int) -> int:
    make = MAKERS[name]
    make(_small(LAYER), inputs_of(_small(LAYER), batch=batch), threads).run()
    forward = make(LAYER, inputs_of(LAYER, batch=batch), threads)
    return _growth(forward.run) - forward.allocates_results * _output_bytes(batch)


def _backward_growth(name: str, batch: int, threads: int) -> int:
    torch.set_num_threads(threads)
    op = dcn_deploy.deform_conv2d if name == "ours_eager" else _torchvision()
    forward_and_backward_of(op, _small(LAYER), batch)()
    gradients = sum(array.nbytes for array in inputs_of(LAYER, batch=batch).values())
    run = forward_and_backward_of(op, LAYER, batch)
    return _growth(run) - _output_bytes(batch) - gradients


def _output_bytes(batch: int) -> int:
    height, width = LAYER.out_size
    return 4 * batch * LAYER.out_channels * height * width


def _growth(run: Callable[[], Any]) -> int:
    """Bytes by which ``run`` raises the resident size at its peak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(_FORGET_PEAKS)
    before = _resident("VmRSS")
    run()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert found, field
    return int(found[1]) * 1024


def sheet(data: list[dict[str, Any]]) -> Sheet:
    rows = [
        [
            f"{row['pass']}, batch {row['batch']}",
            *(
                "-" if (mib := row["mib"].get(name)) is None else f"{max(mib, 0.0):.0f}"
                for name in _FORWARD
            ),
        ]
        for row in data
    ]
    return Sheet(["pass", *(TITLES[name] for name in _FORWARD)], rows, reasons(data))
