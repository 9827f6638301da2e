"""What it costs to do without a deformable convolution: the decomposed form beside the kernels.

    python benchmarks/decomposed.py [--rounds 40] [--out RESULTS]
    python benchmarks/decomposed.py --summary

The same layer as our node in onnxruntime, as onnxruntime's own DeformConv, and decomposed into
standard operators in onnxruntime and in OpenVINO. What counts is the processor time of one thread,
which a busy machine changes little; the best run of each, taken in turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dcn_deploy.contract import contract
from dcn_deploy.exporting.forms import to_form
from dcn_deploy.runtimes.onnxruntime import ort_session, stock_session

RESULTS = Path(__file__).parent / "results" / "decomposed.json"
_IN_A_ROW = 3

# in_channels, out_channels, height, width, kernel, offset groups: with mask and bias.
LAYERS = (
    (64, 64, 64, 64, 3, 1),
    (128, 128, 100, 168, 3, 1),
    (512, 512, 25, 42, 3, 1),
    (64, 256, 64, 64, 7, 1),
    (64, 64, 180, 320, 3, 16),
)


def model_of(layer: tuple[int, ...]) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """One standard node of constant weight and bias, and what it is fed."""
    channels, out, height, width, kernel, groups = layer
    random, taps = np.random.default_rng(0), kernel * kernel
    shapes = {
        "input": (1, channels, height, width),
        "weight": (out, channels, kernel, kernel),
        "offset": (1, 2 * groups * taps, height, width),
        "bias": (out,),
        "mask": (1, groups * taps, height, width),
    }
    arrays = {n: random.standard_normal(s, dtype=np.float32) for n, s in shapes.items()}
    constants = {name: arrays.pop(name) for name in ("weight", "bias")}
    node = helper.make_node(
        "DeformConv", contract().inputs, ["output"], pads=[kernel // 2] * 4, offset_group=groups
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in arrays.items()],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, out, height, width))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9), arrays


def contenders(layer: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """What is timed: name -> one forward pass."""
    model, feed = model_of(layer)

    def in_form(form: Any) -> bytes:
        proto: onnx.ModelProto = ir.to_proto(to_form(ir.from_proto(model), form))
        return proto.SerializeToString()

    options = {"intra_op_num_threads": 1}
    sessions = {
        "dcn_deploy in onnxruntime": ort_session(in_form("portable"), **options),
        "onnxruntime's DeformConv": stock_session(in_form("standard"), **options),
        "decomposed in onnxruntime": stock_session(in_form("decomposed"), **options),
    }
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(in_form("decomposed")),
        "CPU",
        {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"},
    )

    def runner(session: Any) -> Callable[[], Any]:
        return lambda: session.run(None, feed)

    made: dict[str, Callable[[], Any]] = {name: runner(each) for name, each in sessions.items()}
    return made | {"decomposed in OpenVINO": lambda: compiled(feed)}


def measure(layer: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Milliseconds of processor time of the best run of each."""
    best: dict[str, float] = {}
    runs = contenders(layer)
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            for _ in range(_IN_A_ROW):
                start = time.process_time()
                run()
                taken = (time.process_time() - start) * 1e3
                best[name] = min(best.get(name, taken), taken)
    return {name: round(value, 3) for name, value in best.items()}


def name_of(layer: tuple[int, ...]) -> str:
    """ "64→256 64x64 k7 og 1"."""
    channels, out, height, width, kernel, groups = layer
    return f"{channels}→{out} {height}x{width} k{kernel} og {groups}"


def summary() -> str:
    """What the committed results say, in the README's words."""
    rows = json.loads(RESULTS.read_text())["best_cpu_ms"].values()

    def times(name: str) -> str:
        ratios = [row[name] / row["dcn_deploy in onnxruntime"] for row in rows]
        return f"{min(ratios):.1f} to {max(ratios):.1f} times"

    stock = times("onnxruntime's DeformConv")
    return (
        f"it takes {times('decomposed in onnxruntime')} the processor time of our kernel in "
        f"onnxruntime and {times('decomposed in OpenVINO')} in OpenVINO, where onnxruntime's own "
        f"DeformConv takes {stock}"
    )


def cpu() -> str:
    """The processor's own name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="print what was measured last")
    arguments = parser.parse_args()
    if arguments.summary:
        print(summary())
        return
    rows = {}
    for layer in LAYERS:
        rows[name_of(layer)] = measure(layer, arguments.rounds)
        print(name_of(layer), rows[name_of(layer)], flush=True)
    result = {
        "cpu": cpu(),
        "instruction_set": contract().instruction_set,
        "rounds": arguments.rounds,
        "versions": {name: version(name) for name in ("onnxruntime", "openvino", "dcn_deploy")},
        "best_cpu_ms": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
