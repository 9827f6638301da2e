"""Does a model of half precision still compute what its float32 original does?

onnxruntime's CPU has few kernels for half types. For float16 it computes in float32 between casts;
bfloat16 it refuses, and there the same is done here: a copy of the model in which every operator
computes in float32 and rounds what it gives. Only our own node computes in bfloat16 itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx_ir as ir

from ..contract import contract
from ..exporting.forms import to_form
from ..onnx_graph import load
from ..tolerances import MODEL_TOLERANCE
from ..verification import VerificationReport, verify

_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def verify_precision(
    lowered: str | os.PathLike[str],
    original: str | os.PathLike[str],
    args: Any,
    *,
    name: str | None = None,
    runs: int = 2,
    seed: int = 0,
    tolerance: float | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> VerificationReport:
    """Compare a model of half precision with its float32 original, in onnxruntime.

    Args:
        lowered: what ``to_precision`` made, in a file
        original: the file it was made of
        args: input tensors, as for ``dcn_deploy.verify``
        name: what the report calls ``lowered``
        runs: as for ``dcn_deploy.verify``
        seed: as for ``dcn_deploy.verify``
        tolerance: greatest ||a - b|| / ||b|| of an output; default: MODEL_TOLERANCE of the half
            type
        progress: as for ``dcn_deploy.verify``

    Raises:
        ValueError, ModelFileError, InputError: as ``dcn_deploy.verify``.
    """
    name = name or os.fspath(lowered)
    if tolerance is None:
        tolerance = max(MODEL_TOLERANCE[half] for half in _half_types(load(lowered)))

    def compare(path: Path, called: str) -> VerificationReport:
        return verify(
            path,
            original,
            args,
            name=called,
            runs=runs,
            seed=seed,
            tolerance=tolerance,
            progress=progress,
        )

    report = compare(Path(lowered), name)
    if any(side.status != "not run" for side in report.sides):
        return report
    with TemporaryDirectory() as folder:
        path = Path(folder) / "widened.onnx"
        ir.save(widened(load(lowered)), path)
        return compare(path, f"{name}, each operator in float32 between casts")


def _half_types(model: ir.Model) -> set[str]:
    """The half types of a model, by numpy's names; float32 where it has none."""
    to_form(model, "custom")  # infers the types
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    values += [output for node in model.graph for output in node.outputs]
    return {str(v.dtype.numpy()) for v in values if v.dtype in _HALVES} or {"float32"}


def widened(model: ir.Model) -> ir.Model:
    """The model, changed in place, with every operator but ours in float32 between casts.

    The tensors between the operators keep their half types, so that all is rounded that the model
    rounds.
    """
    to_form(model, "custom")
    wide: dict[ir.Value, ir.Value] = {}
    graph = model.graph
    for node in list(graph):
        if node.op_type == "Cast" or node.domain == contract().domain:
            continue
        for index, value in enumerate(node.inputs):
            if value is not None and value.dtype in _HALVES:
                if value not in wide:
                    wide[value] = _cast(value, ir.DataType.FLOAT)
                    producer = value.producer()
                    graph.insert_before(graph[0] if producer is None else node, _node(wide[value]))
                node.replace_input_with(index, wide[value])
        for value in node.outputs:
            if value.dtype in _HALVES:
                _round_output(graph, node, value)
    return model


def _round_output(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """The node gives float32, and a cast makes of it what all others take."""
    half = value.dtype
    assert half is not None
    rounded = _cast(value, half)
    graph.insert_after(node, _node(rounded))
    ir.convenience.replace_all_uses_with(value, rounded, replace_graph_outputs=True)
    _node(rounded).replace_input_with(0, value)
    value.dtype = ir.DataType.FLOAT


def _cast(value: ir.Value, dtype: ir.DataType) -> ir.Value:
    output = ir.node("Cast", [value], attributes={"to": dtype}).outputs[0]
    output.name = f"{value.name}.{dtype.name.lower()}.widened"
    output.dtype, output.shape = dtype, value.shape
    return output


def _node(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None
    return node
