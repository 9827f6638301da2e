"""Does the exported file compute what the model computes?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args

from torch import Tensor

from .. import availability
from ..availability import first_line
from ..inspection import ModelReport, NodeReport, inspect_model
from ..model_inputs import InputError, check_inputs, dtype_name
from ..onnx_graph import ModelFileError
from ..tolerances import MODEL_TOLERANCE
from .cases import GIVEN, Case, make_cases
from .difference import difference
from .eager import EagerSide
from .foreign_side import ForeignSide
from .nodes import attributes_that_differ, check_node
from .notes import comparison_notes, file_notes, offset_notes
from .observation import NotRunnableError, Observation, Side
from .onnx_side import our_side, stock_side
from .pairing import Model, Paired, pair
from .report import CaseReport, OutputCheck, SideReport, VerificationReport
from .tensorrt_side import TENSORRT, TensorRTSide

Runtime = Literal["onnxruntime", "tensorrt"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
_REFERENCE = "the float64 reference"


def verify(
    onnx_path: str | os.PathLike[str],
    model: Model | None,
    args: Any,
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    input_names: Sequence[str] | None = None,
    runtimes: Sequence[Runtime] = ("onnxruntime",),
    runs: int = 3,
    seed: int = 0,
    tolerance: float | None = None,
    sizes: Sequence[Mapping[str, int]] | None = None,
    offsets: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> VerificationReport:
    """Compare an ONNX file with the model it was exported from.

    The file runs in onnxruntime with this project's library, and in onnxruntime alone where that
    has the operator. Compared are every output with the baseline's, and every deformable node with
    the float64 reference on its own inputs and with the baseline's node in the same place. In
    TensorRT, where there is a GPU, it runs as an engine, of which the outputs are compared.

    Args:
        onnx_path: the file.
        model: the baseline: a module or function, run in evaluation mode; or another ONNX file.
            None: there is no baseline, and nothing but the deformable nodes is compared, each with
            the float64 reference.
        args: what ``model`` is called with: a tuple, or one tensor. Its tensors are the first
            inputs compared.
        kwargs: what it is called with by name.
        name: what the report and the errors call the file; default: its path.
        input_names: the file's names for the tensors in args and kwargs, in forward's order;
            default: forward's own names. Where the file has other names, its inputs are taken to
            be those tensors in that order.
        runtimes: where the file runs: "onnxruntime", "tensorrt" or both
        runs: how many sets of inputs of the given sizes; from the second on, random ones.
        seed: of the random inputs.
        tolerance: greatest ||a - b|| / ||b|| of an output; default: MODEL_TOLERANCE of the least
            precise dtype that takes part.
        sizes: other sizes to run with, by the names of the file's dynamic dimensions; default: a
            few, where it has any. Sizes that the baseline cannot take are noted and passed over;
            without a baseline only the given ones are tried.
        offsets: measure what each node's offsets need of their dtype, on the given inputs.
        progress: called with a line of text as each run starts.

    Raises:
        ValueError: the model, runtimes, runs or tolerance is not one of those listed here.
        ModelFileError: the file is not an ONNX model.
        InputError: ``args`` do not fit the file, or the baseline cannot run on them.
    """
    _require(model, runtimes, runs, tolerance)
    file = inspect_model(onnx_path)
    if name is not None:
        file = replace(file, path=name)
    paired = pair(model, args if isinstance(args, tuple) else (args,), kwargs, input_names, file)
    baseline = None if model is None else _baseline(model, paired)
    tensors = paired.tensors
    check_inputs({spec.name: t for spec, t in zip(file.inputs, tensors, strict=True)}, file.inputs)

    against = _REFERENCE if baseline is None else baseline.name
    notes = [
        f"the file has no input {unused!r}, which {against} takes: no output depends on it"
        for unused in paired.unused
    ]
    if baseline is None:
        notes.append("no model was given: its outputs are compared with nothing, only its nodes")
        sizes = sizes or ()
    not_run: dict[str, str] = {}
    sides: list[Side] = []
    cases = list(make_cases(tensors, file.inputs, runs=runs, seed=seed, sizes=sizes))
    makers = _makers(runtimes, file, cases)
    for runtime, make in makers.items():
        progress(f"{runtime}: loading")
        try:
            sides.append(_load(runtime, make, Path(onnx_path), file))
        except NotRunnableError as error:
            not_run[runtime] = str(error)

    reports: dict[str, list[CaseReport]] = {runtime: [] for runtime in makers}
    resized: list[bool] = []
    for case in cases:
        expected = None
        if baseline is not None:
            progress(f"{baseline.name}: {case.name}")
            expected = _observe(baseline, case, notes)
            if case.resized:
                resized.append(expected is not None)
            if expected is None:
                continue
        for side in sides:
            progress(f"{side.name}: {case.name}")
            measure = offsets and case.name == GIVEN
            reports[side.name].append(_compare(side, case, expected, tolerance, file, measure))

    if any(side.name == TENSORRT for side in sides):
        notes.append(f"{TENSORRT}: compared through the outputs only")
    notes += file_notes(file) + comparison_notes(reports.values())
    report = VerificationReport(
        path=file.path,
        baseline=against,
        sides=tuple(
            SideReport(runtime, tuple(cases), not_run.get(runtime, ""))
            for runtime, cases in reports.items()
        ),
        node_names=tuple(node.name for node in file.nodes if _is_compared(node)),
        notes=tuple(notes),
        only_given_sizes=bool(resized) and not any(resized),
    )
    return replace(report, notes=(*report.notes, *offset_notes(report.offset_ranges)))


def _makers(
    runtimes: Sequence[Runtime], file: ModelReport, cases: Sequence[Case]
) -> dict[str, Callable[[Path], Side]]:
    """How to load the file in each way to run it, by the name that the report gives it."""
    makers: dict[str, Callable[[Path], Side]] = {}
    if "onnxruntime" in runtimes:
        makers |= {availability.OURS: our_side, availability.STOCK: stock_side}
    if "tensorrt" in runtimes:
        makers[TENSORRT] = lambda path: TensorRTSide(path, file.inputs, cases)
    return makers


def _require(model: Any, runtimes: Sequence[Runtime], runs: int, tolerance: float | None) -> None:
    if not callable(model) and not isinstance(model, (str, os.PathLike, NoneType)):
        raise ValueError(
            f"model is {model!r}, expected a module, a function or the path of an ONNX file"
        )
    if not runtimes or not set(runtimes) <= set(RUNTIMES):
        raise ValueError(
            f"runtimes is {runtimes!r}, expected a list of {' or '.join(RUNTIMES)}, or both"
        )
    if runs < 1:
        raise ValueError(f"runs is {runs}, expected at least 1: the inputs given")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}, expected 0 or more; leave None for the usual")


class _Broken:
    """A file that a runtime refuses to load: every run of it fails with what the runtime said."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self._error = error

    def run(self, tensors: Sequence[Tensor]) -> Observation:
        raise self._error


def _load(name: str, make: Callable[[Path], Side], path: Path, file: ModelReport) -> Side:
    # What a runtime says of an invalid node is a finding about the file, not about the runtime.
    for node in (node for node in file.nodes if node.valid):
        for verdict in node.runtimes:
            if verdict.runtime == name and not verdict.runs:
                raise NotRunnableError(f"node {node.name}: {verdict.reason}")
    try:
        return make(path)
    except NotRunnableError:
        raise
    except Exception as error:  # whatever onnxruntime raises, it is a finding about the file
        return _Broken(name, error)


def _baseline(model: Model, paired: Paired) -> Side:
    if not isinstance(model, (str, os.PathLike)):
        return EagerSide(model, paired.args, paired.kwargs, paired.places)
    reasons = []
    for make in (our_side, stock_side, ForeignSide):
        try:
            side = make(Path(model))
        except ModelFileError:
            raise
        except Exception as error:  # onnxruntime's own kinds
            reasons.append(first_line(error))
        else:
            side.name = os.fspath(model)
            return side
    raise InputError(f"{os.fspath(model)} cannot run here: {'; '.join(reasons)}")


def _observe(baseline: Side, case: Case, notes: list[str]) -> Observation | None:
    """The baseline on one case; None, with a note, for sizes that it cannot take."""
    try:
        return baseline.run(case.tensors)
    except Exception as error:  # the user's model: any error
        reason = f"{type(error).__name__}: {first_line(error)}"
        if not case.resized:
            raise InputError(
                f"{baseline.name} cannot run on the inputs {case.name!r}: {reason}"
            ) from error
        notes.append(f"sizes {case.name}: passed over, {baseline.name} says {reason}")
        return None


def _dtypes(file: ModelReport, case: Case, expected: Observation) -> set[str]:
    """Every floating-point dtype that takes part: the least precise one sets the tolerance."""
    names = {str(tensor.dtype) for tensor in (*file.inputs, *file.outputs)}
    names |= {str(node.dtype) for node in file.nodes}
    names |= {dtype_name(tensor) for tensor in (*case.tensors, *expected.outputs)}
    return {name for name in names if name in MODEL_TOLERANCE} or {"float32"}


def _compare(
    side: Side,
    case: Case,
    expected: Observation | None,
    tolerance: float | None,
    file: ModelReport,
    offsets: bool,
) -> CaseReport:
    shapes = tuple(tuple(tensor.shape) for tensor in case.tensors)
    check = partial(check_node, own_kernel=side.name == availability.OURS, offsets=offsets)
    try:
        seen = side.run(case.tensors)
    except Exception as error:  # whatever onnxruntime raises, it is a finding about the file
        return CaseReport(case.name, shapes, error=_error_text(error, file, expected))
    if expected is None:
        return CaseReport(case.name, shapes, nodes=tuple(check(node, None) for node in seen.nodes))
    if tolerance is None:
        tolerance = max(MODEL_TOLERANCE[dtype] for dtype in _dtypes(file, case, expected))
    if len(seen.outputs) != len(expected.outputs):
        error_text = f"{len(seen.outputs)} outputs, the baseline has {len(expected.outputs)}"
        return CaseReport(case.name, shapes, error=error_text)
    paired = len(seen.nodes) == len(expected.nodes)
    return CaseReport(
        case.name,
        shapes,
        outputs=tuple(
            _check_output(output.name, actual, wanted, tolerance)
            for output, actual, wanted in zip(
                file.outputs, seen.outputs, expected.outputs, strict=True
            )
        ),
        nodes=tuple(
            check(node, expected.nodes[index] if paired else None)
            for index, node in enumerate(seen.nodes)
        ),
    )


def _check_output(name: str, actual: Tensor, expected: Tensor, tolerance: float) -> OutputCheck:
    shape = tuple(actual.shape)
    problem = ""
    if actual.shape != expected.shape:
        problem = f"shape {list(shape)}, the baseline's is {list(expected.shape)}"
    elif actual.is_floating_point() != expected.is_floating_point():
        problem = f"dtype {dtype_name(actual)}, the baseline's is {dtype_name(expected)}"
    apart = None if problem else difference(actual, expected, tolerance)
    return OutputCheck(name, dtype_name(actual), shape, apart, problem)


def _error_text(error: Exception, file: ModelReport, expected: Observation | None) -> str:
    """The error, and the first deformable node whose attributes are not the baseline's.

    onnxruntime names a node of a function's body by a name that is not in the file.
    """
    nodes = [node for node in file.nodes if _is_compared(node)]
    if expected is not None and len(nodes) == len(expected.nodes):
        for node, other in zip(nodes, expected.nodes, strict=True):
            differing = attributes_that_differ(node.attributes, other.attributes)
            if differing:
                return f"node {node.name!r}: {'; '.join(differing)}: {first_line(error)}"
    return first_line(error)


def _is_compared(node: NodeReport) -> bool:
    return node.form != "foreign" and not node.scope
