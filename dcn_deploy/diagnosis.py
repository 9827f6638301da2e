"""What of dcn_deploy works on this machine: versions, libraries, and the op itself run for a moment
in each runtime beside the float64 reference.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from . import availability
from ._native import MissingLibraryError, library
from .arrays import to_array, to_tensor
from .availability import Verdict, first_line, version_of
from .contract import contract
from .onnx_graph import STANDARD_OP, Form
from .ops import deform_conv2d
from .runtimes.onnxruntime import QUIET, ort_session, run, stock_session
from .runtimes.tensorrt import TensorRTRunner, build_engine
from .runtimes.tensorrt.host import INSTALL, gpu_problem
from .tolerances import STOCK_TOLERANCE, TOLERANCE
from .verification.difference import difference
from .verification.observation import NodeRun

PACKAGES = ("dcn_deploy", "torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "numpy")
EAGER = "PyTorch eager"
TENSORRT = "TensorRT"


@dataclass(frozen=True)
class LibraryReport:
    """One compiled library."""

    host: str
    path: str | None
    problem: str
    """Why it is not there or does not load, and what to do. Empty if it loads."""


@dataclass(frozen=True)
class SelfTest:
    """The op in one runtime, in one dtype."""

    dtype: str
    works: bool
    error: float | None
    """From the float64 reference, ||a - b|| / ||b||; None where it did not run."""
    reason: str
    """Why it does not work here, and what to do. Empty if it works."""


@dataclass(frozen=True)
class RuntimeReport:
    """One runtime."""

    name: str
    expected: bool
    """Whether an installation where this does not work is incomplete."""
    tests: tuple[SelfTest, ...]

    @property
    def works(self) -> bool:
        """Whether some dtype works, and none gives wrong results."""
        wrong = any(not test.works and test.error is not None for test in self.tests)
        return any(test.works for test in self.tests) and not wrong


@dataclass(frozen=True)
class DoctorReport:
    """This machine."""

    python: str
    versions: Mapping[str, str | None]
    instruction_set: str
    """Of the CPU kernels that were picked."""
    cuda_architectures: str
    """The GPUs that the libraries have kernels for; empty: they were built without CUDA."""
    libraries: tuple[LibraryReport, ...]
    runtimes: tuple[RuntimeReport, ...]

    @property
    def wrong(self) -> bool:
        """Whether some runtime computed something else than it should."""
        return any(
            test.error is not None and not test.works
            for runtime in self.runtimes
            for test in runtime.tests
        )

    @property
    def complete(self) -> bool:
        """Whether everything that an installation should have works."""
        return all(runtime.works for runtime in self.runtimes if runtime.expected)

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self) | {"wrong": self.wrong, "complete": self.complete}


# Nothing symmetric: kernel 3x2, stride 2x1, four different pads, two groups, three offset groups.
_ATTRIBUTES = ([3, 2], [2, 1], [1, 0, 2, 1], [2, 1], 2, 3)


def _problem(dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A small problem that uses every feature of the op: its inputs and its attributes."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    inputs = {
        "input": random(2, 6, 9, 8),
        "weight": random(4, 3, 3, 2),
        "offset": random(2, 36, 4, 8),
        "bias": random(4),
        "mask": random(2, 18, 4, 8).sigmoid(),
    }
    return inputs, dict(zip(contract().attributes, _ATTRIBUTES, strict=True))


def _model(inputs: Mapping[str, Tensor], attributes: Mapping[str, Any], form: Form) -> bytes:
    """The problem as a model of one node."""
    values = {name: ir.val(name, dtype=_ir_dtype(t), shape=t.shape) for name, t in inputs.items()}
    standard = form == "standard"
    node = ir.node(
        STANDARD_OP if standard else contract().op,
        [values[name] for name in contract().inputs],
        attributes=attributes,
        domain="" if standard else contract().domain,
    )
    output = node.outputs[0]
    output.name, output.dtype = "output", _ir_dtype(inputs["input"])
    # The oldest that has the operator: every supported onnxruntime reads it.
    opsets = {"": 19, contract().domain: contract().version}
    graph = ir.Graph(
        list(values.values()), [output], nodes=[node], opset_imports=opsets, name="self_test"
    )
    serialized: bytes = ir.to_proto(ir.Model(graph, ir_version=9)).SerializeToString()
    return serialized


def _ir_dtype(tensor: Tensor) -> ir.DataType:
    return ir.DataType.from_numpy(to_array(tensor[:0]).dtype)


def _eager(inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]) -> Tensor:
    _, stride, padding, dilation, *_ = attributes.values()
    return deform_conv2d(**inputs, stride=stride, padding=padding, dilation=dilation)


def _in_session(
    make_session: Callable[..., Any], form: Form
) -> Callable[[Mapping[str, Tensor], Mapping[str, Any]], Tensor]:
    def compute(inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]) -> Tensor:
        model = _model(inputs, attributes, form)
        session = make_session(model, **QUIET)
        arrays = {name: to_array(tensor) for name, tensor in inputs.items()}
        return to_tensor(run(session, arrays)["output"])

    return compute


def _self_test(
    compute: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Tensor],
    dtype: str,
    tolerance: float,
) -> SelfTest:
    inputs, attributes = _problem(getattr(torch, dtype))
    try:
        output = compute(inputs, attributes)
    except Exception as error:  # a runtime that cannot: the report says what it said
        return SelfTest(dtype, False, None, first_line(error))
    expected = NodeRun("self test", inputs, output, attributes).float64_output()
    apart = difference(output, expected, tolerance)
    reason = "" if apart.ok else f"wrong result: {apart}; please report it"
    return SelfTest(dtype, apart.ok, apart.error, reason)


def _runtime(
    name: str,
    compute: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Tensor],
    tolerance: Mapping[str, float],
    verdict: Callable[[str], Verdict | None],
    *,
    expected: bool,
) -> RuntimeReport:
    tests = []
    for dtype in contract().dtypes:
        known = verdict(dtype)
        if known is not None and not known.runs:
            tests.append(SelfTest(dtype, False, None, known.reason))
        else:
            tests.append(_self_test(compute, dtype, tolerance[dtype]))
    return RuntimeReport(name, expected, tuple(tests))


def _tensorrt() -> RuntimeReport:
    """In a process of its own, which TensorRT may end."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        tests = tuple(_engine_test(dtype, process) for dtype in contract().dtypes)
    return RuntimeReport(TENSORRT, False, tests)


def _engine_test(dtype: str, process: ProcessPoolExecutor) -> SelfTest:
    if dtype == "float64":
        return SelfTest(dtype, False, None, "TensorRT has no float64")
    if not any(version_of(name) for name in PACKAGES if name.startswith("tensorrt")):
        return SelfTest(dtype, False, None, f"not installed; {INSTALL}")
    try:
        return process.submit(_in_engine, dtype).result()
    except BrokenProcessPool:
        return SelfTest(dtype, False, None, "TensorRT ended its process: it does not work here")


def _in_engine(dtype: str) -> SelfTest:
    """The op as an engine: built, and run where there is a GPU."""
    inputs, attributes = _problem(getattr(torch, dtype))
    with TemporaryDirectory() as folder:
        model, engine = Path(folder) / "model.onnx", Path(folder) / "model.engine"
        model.write_bytes(_model(inputs, attributes, "custom"))
        try:
            built = build_engine(model, engine)
        except Exception as error:  # whatever is missing: the report says what
            return SelfTest(dtype, False, None, first_line(error))
        if problem := gpu_problem():
            reason = f"{built.tensorrt} builds engines here; to run them it needs a GPU: {problem}"
            return SelfTest(dtype, False, None, reason)
        return _self_test(
            lambda inputs, _: TensorRTRunner(engine).run(inputs)["output"].cpu(),
            dtype,
            TOLERANCE[dtype],
        )


def _library(host: str) -> LibraryReport:
    try:
        path = library(host)
    except MissingLibraryError as error:
        return LibraryReport(host, None, str(error))
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return LibraryReport(host, str(path), f"does not load: {error}; install dcn_deploy again")
    return LibraryReport(host, str(path), "")


def doctor() -> DoctorReport:
    """Look at this machine; runs the op for a few milliseconds in each runtime."""
    versions = {name: version_of(name) for name in PACKAGES}
    versions["onnxruntime"] = availability.onnxruntime_version()
    return DoctorReport(
        python=platform.python_version(),
        versions=versions,
        instruction_set=contract().instruction_set,
        cuda_architectures=contract().cuda_architectures,
        libraries=tuple(map(_library, ("torch", "onnxruntime", "tensorrt"))),
        runtimes=(
            _runtime(EAGER, _eager, TOLERANCE, lambda dtype: None, expected=True),
            _runtime(
                availability.OURS,
                _in_session(ort_session, "custom"),
                TOLERANCE,
                lambda dtype: availability.ours("custom"),
                expected=True,
            ),
            _runtime(
                availability.STOCK,
                _in_session(stock_session, "standard"),
                STOCK_TOLERANCE,
                lambda dtype: availability.stock("standard", dtype),
                expected=False,
            ),
            _tensorrt(),
        ),
    )
