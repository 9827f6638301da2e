"""Layers of published models: our kernel beside onnxruntime's plain Conv and its own DeformConv.

    python benchmarks/layers.py [--threads 2] [--rounds 40] [--out benchmarks/results/layers.json]

Every round times each contender in turn, so that a busy moment of the machine hits all of them;
the best run counts. The plain convolution of the same shape is the floor: the same
products, no sampling. "og" is the number of offset groups.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import dcn_deploy
from dcn_deploy.contract import contract
from dcn_deploy.runtimes.onnxruntime import stock_session

# Every thread pool spins for a while after its work, on the cores that the next contender needs.
_UNTIL_OTHERS_REST = 0.03
_IN_A_ROW = 3

RESULTS = Path(__file__).parent / "results" / "layers.json"


@dataclass(frozen=True)
class Layer:
    """A square kernel with padding that keeps the size; mask and bias."""

    in_channels: int
    out_channels: int
    size: tuple[int, int]
    kernel: int = 3
    group: int = 1
    offset_group: int = 1

    @property
    def name(self) -> str:
        parts = [f"{self.in_channels}→{self.out_channels}", "{}x{}".format(*self.size)]
        if self.kernel != 3:
            parts.append(f"k{self.kernel}")
        if self.group != 1:
            parts.append(f"group {self.group}")
        if self.offset_group != 1:
            parts.append(f"og {self.offset_group}")
        return " ".join(parts)


LAYERS = (
    Layer(64, 64, (64, 64)),
    Layer(64, 64, (128, 128)),
    Layer(128, 128, (100, 168)),
    Layer(256, 256, (50, 84)),
    Layer(512, 512, (25, 42)),
    Layer(512, 512, (18, 18)),
    Layer(256, 128, (32, 32)),
    Layer(64, 256, (64, 64), kernel=7),
    Layer(128, 128, (90, 160), offset_group=8),
    Layer(64, 64, (180, 320), offset_group=16),
    Layer(96, 48, (120, 160), offset_group=16),
    Layer(96, 96, (60, 80), group=4, offset_group=4),
    Layer(37, 50, (61, 47)),
    Layer(128, 128, (100, 168), group=128),
)


def inputs_of(layer: Layer) -> dict[str, NDArray[np.float32]]:
    """Inputs in ONNX order."""
    random = np.random.default_rng(0)
    taps, pixels = layer.kernel**2, layer.size

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape, dtype=np.float32)

    shapes = (
        (1, layer.in_channels, *pixels),
        (layer.out_channels, layer.in_channels // layer.group, layer.kernel, layer.kernel),
        (1, 2 * layer.offset_group * taps, *pixels),
        (layer.out_channels,),
        (1, layer.offset_group * taps, *pixels),
    )
    return {name: normal(*shape) for name, shape in zip(contract().inputs, shapes, strict=True)}


def model_of(layer: Layer, domain: str, op: str, inputs: dict[str, NDArray[np.float32]]) -> bytes:
    """One node with constant weight and bias; Conv takes neither offset nor mask."""
    pads = [layer.kernel // 2] * 4
    values = ([layer.kernel] * 2, [1, 1], pads, [1, 1], layer.group, layer.offset_group)
    attributes = dict(zip(contract().attributes, values, strict=True))
    data, weight, offset, bias, mask = contract().inputs
    names = [data, weight, offset, bias, mask]
    if op == "Conv":
        names = [data, weight, bias]
        attributes.popitem()
    fed = [name for name in names if name not in (weight, bias)]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["output"], domain=domain, **attributes)],
        "layer",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, inputs[n].shape) for n in fed],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(inputs[name], name) for name in (weight, bias)],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid(contract().domain, 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return model.SerializeToString()


def contenders(layer: Layer, threads: int) -> dict[str, Callable[[], Any]]:
    """What is timed: name -> one forward pass."""
    inputs = inputs_of(layer)
    options = {"intra_op_num_threads": threads}
    ours = dcn_deploy.ort_session(
        model_of(layer, contract().domain, contract().op, inputs), **options
    )
    conv = stock_session(model_of(layer, "", "Conv", inputs), **options)
    stock = stock_session(model_of(layer, "", "DeformConv", inputs), **options)
    tensors = [torch.from_numpy(array) for array in inputs.values()]

    def eager() -> None:
        data, weight, offset, bias, mask = tensors
        pad = layer.kernel // 2
        dcn_deploy.deform_conv2d(data, offset, weight, bias, padding=pad, mask=mask)

    def session(runtime: onnxruntime.InferenceSession) -> Callable[[], Any]:
        feeds = {value.name: inputs[value.name] for value in runtime.get_inputs()}
        return lambda: runtime.run(None, feeds)

    return {
        "ours": session(ours),
        "ours_eager": eager,
        "conv": session(conv),
        "onnxruntime": session(stock),
    }


def measure(layer: Layer, threads: int, rounds: int) -> dict[str, float]:
    """Best milliseconds of each contender."""
    functions = contenders(layer, threads)
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            time.sleep(_UNTIL_OTHERS_REST)
            for _ in range(_IN_A_ROW):
                start = time.perf_counter()
                function()
                best[name] = min(best[name], (time.perf_counter() - start) * 1e3)
    return best


def machine(threads: int) -> dict[str, Any]:
    """Where the figures were taken."""
    cpu = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "instruction_set": contract().instruction_set,
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "dcn_deploy": _version(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _version() -> str:
    from importlib.metadata import version

    return version("dcn_deploy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report: dict[str, Any] = {
        "machine": machine(options.threads),
        "runs": options.rounds * _IN_A_ROW,
    }
    rows = []
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=len(LAYERS))
        for layer in LAYERS:
            milliseconds = measure(layer, options.threads, options.rounds)
            rows.append({"layer": asdict(layer), "name": layer.name, "ms": milliseconds})
            progress.advance(task)
    report["layers"] = rows

    table = Table(title="best ms; ratio to the plain convolution of the same shape")
    for column in ("layer", "Conv", "ours", "ours, eager", "onnxruntime's DeformConv"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for row in rows:
        ms = row["ms"]
        cells = [f"{ms['conv']:.2f}"]
        for name in ("ours", "ours_eager", "onnxruntime"):
            cells.append(f"{ms[name]:.2f} ({ms[name] / ms['conv']:.2f})")
        table.add_row(row["name"], *cells)
    Console().print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.out.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    os.replace(temporary, options.out)
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
