"""The TensorRT plugin on a GPU: one command, for a machine that has one.

``make gpu-check-tensorrt``, or ``python tests/tensorrt_plugin/gpu_check.py`` where nothing can be
installed: it needs torch with CUDA, g++, the plugin library (``--plugin`` where dcn_deploy is not
installed) and, for its last part, tensorrt_rtx.

The host of ``fake_host.cpp`` runs every named case in every dtype on memory of the GPU, judged
against float64: on streams of its own, in a replayed CUDA graph, in two contexts at once.
TensorRT-RTX then builds, loads and runs engines of some of them, if it supports the GPU. What came
of it is printed and written to a JSON file. Exit status 0: all of it is right; 1: not; 2: no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "tensorrt_plugin")]
# The reference and the cases need torch only; the package itself imports all that it depends on.
package = types.ModuleType("dcn_deploy")
package.__path__ = [str(ROOT / "dcn_deploy")]
sys.modules.setdefault("dcn_deploy", package)

import fake_host  # noqa: E402
from cases import BY_NAME, CASES, DTYPES, LARGE, Case, Inputs, expected, make_inputs  # noqa: E402

from dcn_deploy.tolerances import TOLERANCE  # noqa: E402

# Data, and offset and mask.
KINDS = [
    ("float32", "float32"),
    ("float16", "float16"),
    ("bfloat16", "bfloat16"),
    ("float16", "float32"),
    ("bfloat16", "float32"),
]
RTX_CASES = ("asymmetric", "no_mask", "groups_straddle", "depthwise", "centernet_64")


@dataclass(frozen=True)
class Outcome:
    check: str
    result: str  # ok, FAILED, not run
    detail: str


class NotRunError(Exception):
    """What a check needs is not here."""


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def tensors_of(case: Case, inputs: Inputs) -> list[Tensor]:
    """Those that TensorRT gets: a mask is never without a bias."""
    bias = inputs.bias
    if bias is None and inputs.mask is not None:
        bias = torch.zeros(case.out_channels, dtype=inputs.input.dtype)
    given = (inputs.input, inputs.weight, inputs.offset, bias, inputs.mask)
    return [tensor for tensor in given if tensor is not None]


def relative_error(actual: Tensor, wanted: Tensor) -> float:
    difference = (actual.double().cpu() - wanted).norm()
    return float(difference / wanted.norm().clamp_min(1e-30))


class Job:
    """A case on the device, ready to be enqueued."""

    def __init__(self, host: fake_host.Host, case: Case, data: str, coordinates: str) -> None:
        inputs = make_inputs(case, DTYPES[data], DTYPES[coordinates])
        self.case, self.tolerance = case, TOLERANCE[data]
        self.expected = expected(case, inputs)
        self.tensors = [tensor.to(DEVICE) for tensor in tensors_of(case, inputs)]
        described = [fake_host.Tensor(name_of(t.dtype), tuple(t.shape)) for t in self.tensors]
        self.output = torch.empty(self.expected.shape, dtype=DTYPES[data], device=DEVICE)
        self.node = fake_host.Node(host, case.attributes(), described, name=case.name)
        self.workspace = torch.empty(self.node.workspace_bytes, dtype=torch.uint8, device=DEVICE)
        self.context = fake_host.Context(self.node)
        output = fake_host.Tensor(data, tuple(self.output.shape))
        self.context.set_shapes(described, output)
        self.forget()

    def forget(self) -> None:
        self.output.fill_(float("nan"))
        self.workspace.fill_(255)

    def enqueue(self, stream: int) -> None:
        pointers = [tensor.data_ptr() for tensor in self.tensors]
        self.context.enqueue(pointers, self.output.data_ptr(), self.workspace.data_ptr(), stream)

    def error(self) -> float:
        synchronize()
        return relative_error(self.output, self.expected)

    def wrong(self) -> str:
        """Empty, or how far it is off."""
        error = self.error()
        return "" if error <= self.tolerance else f"{self.case.name}: relative error {error:.1e}"

    def close(self) -> None:
        self.context.close()
        self.node.close()


# ---- what only a GPU has; without one, these stand still so that the script itself can be tried --


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def streams(count: int) -> list[Any]:
    return [torch.cuda.Stream() if DEVICE == "cuda" else None for _ in range(count)]


def handle(stream: Any) -> int:
    return stream.cuda_stream if stream is not None else 0


# ---- the checks ----------------------------------------------------------------------------------


def every_case(host: fake_host.Host, data: str, coordinates: str) -> str:
    worst, problems = 0.0, []
    (stream,) = streams(1)
    for case in [*CASES, *LARGE]:
        job = Job(host, case, data, coordinates)
        synchronize()
        job.enqueue(handle(stream))
        if wrong := job.wrong():
            problems.append(wrong)
        worst = max(worst, job.error())
        first = job.output.clone()
        job.forget()
        synchronize()
        job.enqueue(handle(stream))
        synchronize()
        if not torch.equal(first, job.output):
            problems.append(f"{case.name}: another result the second time")
        job.close()
    if problems:
        raise AssertionError("; ".join(problems))
    return f"{len(CASES) + len(LARGE)} cases, worst relative error {worst:.1e}"


def two_contexts_at_once(host: fake_host.Host) -> str:
    jobs = [Job(host, case, "float16", "float16") for case in LARGE[:2]]
    pair = streams(2)
    rounds = 20
    for _ in range(rounds):
        for job in jobs:
            job.forget()
        synchronize()
        for job, stream in zip(jobs, pair, strict=True):
            job.enqueue(handle(stream))
        if problems := [wrong for job in jobs if (wrong := job.wrong())]:
            raise AssertionError("; ".join(problems))
    return f"{rounds} rounds on two streams"


def graph(host: fake_host.Host) -> str:
    if DEVICE != "cuda":
        raise NotRunError("no CUDA graphs here")
    job = Job(host, LARGE[1], "float16", "float32")
    job.enqueue(0)
    synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        job.enqueue(torch.cuda.current_stream().cuda_stream)
    for _ in range(3):
        job.forget()
        captured.replay()
        if wrong := job.wrong():
            raise AssertionError(wrong)
    return "captured once, replayed three times"


def nothing_is_read_of_wild_offsets(host: fake_host.Host) -> str:
    job = Job(host, replace(BY_NAME["asymmetric"], size=(40, 50)), "float32", "float32")
    offset = job.tensors[2]
    for i, value in enumerate((float("nan"), float("inf"), -float("inf"), 1e30, -1e30)):
        offset.view(-1)[i::11] = value
    job.enqueue(0)
    synchronize()
    if not job.output.isfinite().all():
        raise AssertionError("the output has values that are not finite")
    return "all finite"


def engines(plugin: Path) -> str:
    try:
        import tensorrt_rtx as trt
    except ImportError:
        raise NotRunError("tensorrt_rtx is not installed") from None
    if DEVICE != "cuda":
        raise NotRunError("engines run on a GPU")
    logger = make_logger(trt)
    registry = trt.get_plugin_registry()
    assert registry.load_library(str(plugin)) is not None
    count = 0
    for data, coordinates in KINDS:
        for name in RTX_CASES:
            run_engine(trt, logger, BY_NAME[name], data, coordinates)
            count += 1
    return f"TensorRT-RTX {trt.__version__}: {count} engines built, loaded and run"


def make_logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Logger()


def run_engine(trt: Any, logger: Any, case: Case, data: str, coordinates: str) -> None:
    """Without a parser: the network is the node and its inputs."""
    import numpy as np

    def require(value: Any, what: str) -> Any:
        if not value:
            raise AssertionError(f"{case.name}, {data}: {what}: {' | '.join(logger.errors[-3:])}")
        return value

    types_ = {"float32": trt.float32, "float16": trt.float16, "bfloat16": trt.bfloat16}
    inputs = make_inputs(case, DTYPES[data], DTYPES[coordinates])
    tensors = [tensor.to(DEVICE) for tensor in tensors_of(case, inputs)]
    fields = [
        trt.PluginField(name, np.array(value, np.int32).reshape(-1), trt.PluginFieldType.INT32)
        for name, value in case.attributes().items()
    ]
    creator = trt.get_plugin_registry().get_creator("DeformConv2d", "1", "dcn_deploy")
    node = creator.create_plugin(
        case.name, trt.PluginFieldCollection(fields), trt.TensorRTPhase.BUILD
    )
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    given = [
        network.add_input(f"input_{i}", types_[name_of(t.dtype)], tuple(t.shape))
        for i, t in enumerate(tensors)
    ]
    output = network.add_plugin_v3(given, [], require(node, "no plugin")).get_output(0)
    output.name = "output"
    network.mark_output(output)
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    engine = trt.Runtime(logger).deserialize_cuda_engine(require(plan, "no engine was built"))
    context = require(engine, "the engine was not loaded").create_execution_context()
    wanted = expected(case, inputs)
    result = torch.full(wanted.shape, float("nan"), dtype=DTYPES[data], device=DEVICE)
    for i, tensor in enumerate(tensors):
        context.set_tensor_address(f"input_{i}", tensor.data_ptr())
    context.set_tensor_address("output", result.data_ptr())
    (stream,) = streams(1)
    synchronize()
    require(context.execute_async_v3(handle(stream)), "it did not run")
    synchronize()
    error = relative_error(result, wanted)
    require(error <= TOLERANCE[data], f"relative error {error:.1e}")


# ---- the command ---------------------------------------------------------------------------------


def compiled_host(folder: Path) -> Path:
    """The fake host, compiled here."""
    host = folder / "libfake_tensorrt.so"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [ROOT / "tests" / "tensorrt_plugin" / f"fake_host{part}.cpp" for part in ("", "_api")]
    include = ROOT / "plugins" / "tensorrt"
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", f"-I{include}", "-o", str(host)]
    subprocess.run([*command, *map(str, sources), "-ldl"], check=True)
    return host


def attempt(check: str, run: Callable[[], str]) -> Outcome:
    try:
        outcome = Outcome(check, "ok", run())
    except NotRunError as error:
        outcome = Outcome(check, "not run", str(error))
    except Exception as error:
        outcome = Outcome(check, "FAILED", f"{type(error).__name__}: {error}")
    print(f"{outcome.result:7} {check}: {outcome.detail}", flush=True)
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    global DEVICE
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugin", type=Path, help="default: the installed library")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-check" / "tensorrt.json")
    parser.add_argument(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda",
        help="cpu: to try this script, with a plugin whose kernels are emulated",
    )
    options = parser.parse_args(arguments)
    DEVICE = options.device
    if DEVICE == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here that torch can use: nothing was checked.")
        return 2
    from dcn_deploy._native import library

    plugin = (options.plugin or library("tensorrt")).resolve()
    host = fake_host.Host(compiled_host(ROOT / "build" / "gpu-check"), plugin)
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else "the emulator"
    print(f"{plugin.name} on {device}, torch {torch.__version__}")
    outcomes = [
        attempt(
            f"every case in {data}" + (f" with {rest} offsets" if rest != data else ""),
            lambda data=data, rest=rest: every_case(host, data, rest),
        )
        for data, rest in KINDS
    ]
    outcomes += [
        attempt("offsets that are no positions", lambda: nothing_is_read_of_wild_offsets(host)),
        attempt("two contexts at once", lambda: two_contexts_at_once(host)),
        attempt("CUDA graph", lambda: graph(host)),
        attempt("engines", lambda: engines(plugin)),
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"device": device, "torch": torch.__version__, "checks": [vars(o) for o in outcomes]}
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(outcome.result == "FAILED" for outcome in outcomes) else 0


DEVICE = "cuda"

if __name__ == "__main__":
    sys.exit(main())
