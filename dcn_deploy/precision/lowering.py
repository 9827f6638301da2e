"""A float32 model as one of float16 or bfloat16, with every tensor's type written in the graph.

TensorRT 11 has no switch for half precision: the types of the ONNX graph are the types it computes
in. Data and weights become half; what computes coordinates stays in float32 (kept.py), and so do
the graph's inputs and outputs, so that whoever feeds the model need not know. A deformable node
takes its float32 offsets beside half data and rounds nothing on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from onnxscript.version_converter import convert_version

from ..exporting.export import BFLOAT16_OPSET
from ..exporting.forms import Form, to_form
from ..onnx_graph import deformable_nodes
from .kept import kept_nodes, node_name
from .signature import Signature, is_float32, signature

Precision = Literal["float16", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class PrecisionError(RuntimeError):
    """The model cannot be written in half precision; the message names what stands against it."""


@dataclass(frozen=True)
class PrecisionReport:
    """What became of the nodes."""

    dtype: Precision
    lowered: tuple[str, ...]
    """The nodes that compute in half precision."""
    kept: dict[str, str]
    """The nodes that could and do not, with the reason."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def to_precision(
    model: onnx.ModelProto, dtype: Precision, *, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """A float32 model's copy that computes in float16 or bfloat16.

    Inputs and outputs stay float32. Offsets and masks of deformable convolutions, other
    coordinates, and what computes them stay float32 too, back to the last convolution or matrix
    product; so do If, Loop and Scan with everything inside, operators that have no half type, and
    those of unknown domains.

    Args:
        model: in any form; weights in a second file must be loaded
        dtype: "float16" or "bfloat16"
        keep: names of nodes that stay float32; an unnamed node goes by its first output's name

    Raises:
        ValueError: ``dtype`` or a name in ``keep`` is not one of those.
        PrecisionError: a weight does not fit into float16, the model has nothing to convert, or its
            opset has no bfloat16 and cannot be raised.
    """
    copy = ir.from_proto(model)
    lower(copy, dtype, keep=keep)
    return ir.to_proto(copy)


def lower(model: ir.Model, dtype: Precision, *, keep: Collection[str] = ()) -> PrecisionReport:
    """The same in place, and what became of the nodes. Functions are inlined.

    Raises:
        ValueError, PrecisionError: as ``to_precision``.
    """
    if dtype not in PRECISIONS:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(PRECISIONS)}")
    form = _form(model)
    to_form(model, "custom")
    if dtype == "bfloat16":
        _raise_opset(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    report = _Lowering(model, ir.DataType[dtype.upper()]).run(dtype, keep)
    to_form(model, form)
    return report


def _form(model: ir.Model) -> Form:
    """The form to give back: one for the whole model."""
    forms = {entry.form for entry in deformable_nodes(model)}
    return next((form for form in ("portable", "custom", "standard") if form in forms), "custom")


def _raise_opset(model: ir.Model) -> None:
    if model.opset_imports[""] >= BFLOAT16_OPSET:
        return
    try:
        convert_version(model, BFLOAT16_OPSET, fallback=True)
    except Exception as error:  # the converter's own kinds
        raise PrecisionError(
            f"the model is of opset {model.opset_imports['']}, and ONNX's convolutions take "
            f"bfloat16 from {BFLOAT16_OPSET} on; it cannot be raised: {error}; export it anew"
        ) from error


class _Lowering:
    """One model on its way down; a tensor that is wanted in both types is cast once."""

    def __init__(self, model: ir.Model, half: ir.DataType) -> None:
        self._model, self._graph, self._half = model, model.graph, half
        self._lowered: set[ir.Value] = set()
        self._float32: dict[ir.Value, ir.Value] = {}
        self._halves: dict[ir.Value, ir.Value] = {}

    def run(self, dtype: Precision, keep: Collection[str]) -> PrecisionReport:
        _give_types(self._graph)
        opsets = self._model.opset_imports
        signatures = {
            node: signature(node, opsets.get(node.domain, 1), self._half) for node in self._graph
        }
        kept = kept_nodes(self._graph, signatures, keep)
        stayed = {node_name(node): why for node, why in kept.items() if _has_float32(node)}
        halves = {n: s for n, s in signatures.items() if s.can_be_half and n not in kept}
        lowered = tuple(map(node_name, halves))
        if not lowered:
            raise PrecisionError(f"no node of the model can be {dtype}: none has float32 data")
        for node in list(self._graph):
            if node in halves:
                self._lower(node, halves[node])
            else:
                self._supply_float32(node)
        for value in set(self._graph.outputs) & self._lowered:
            self._give_output(value)
        self._tidy_initializers()
        return PrecisionReport(dtype, lowered, stayed)

    def _lower(self, node: ir.Node, plan: Signature) -> None:
        for index, value in enumerate(node.inputs):
            if value is None:
                continue
            if index in plan.half_inputs:
                node.replace_input_with(index, self._as_half(value, node))
            elif value in self._lowered:
                node.replace_input_with(index, self._as_float32(value))
        for index in plan.half_outputs:
            node.outputs[index].dtype = self._half
            self._lowered.add(node.outputs[index])

    def _supply_float32(self, node: ir.Node) -> None:
        """A node that stays, and the nodes of the graphs inside it."""
        for index, value in enumerate(node.inputs):
            if value in self._lowered:
                node.replace_input_with(index, self._as_float32(value))
        for attribute in node.attributes.values():
            graphs: Sequence[ir.Graph] = ()
            if attribute.type == ir.AttributeType.GRAPH:
                graphs = (attribute.as_graph(),)
            elif attribute.type == ir.AttributeType.GRAPHS:
                graphs = attribute.as_graphs()
            for graph in graphs:
                for inner in graph:
                    self._supply_float32(inner)
                for index, value in enumerate(graph.outputs):
                    if value in self._lowered:
                        graph.outputs[index] = self._as_float32(value)

    def _as_float32(self, value: ir.Value) -> ir.Value:
        if value not in self._float32:
            self._float32[value] = self._cast(value, ir.DataType.FLOAT)
        return self._float32[value]

    def _as_half(self, value: ir.Value, consumer: ir.Node) -> ir.Value:
        if value in self._lowered:
            return value
        if value not in self._halves:
            if value.is_initializer() and not value.is_graph_input():
                self._halves[value] = self._half_initializer(value, consumer)
            else:
                self._halves[value] = self._cast(value, self._half)
        return self._halves[value]

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        node = ir.node("Cast", [value], attributes={"to": dtype})
        output = node.outputs[0]
        output.name = node.name = f"{value.name}.{dtype.name.lower()}"
        output.dtype, output.shape = dtype, value.shape
        producer = value.producer()
        if producer is not None:
            self._graph.insert_after(producer, node)
        else:
            self._graph.insert_before(self._graph[0], node)
        return output

    def _half_initializer(self, value: ir.Value, consumer: ir.Node) -> ir.Value:
        assert value.const_value is not None
        array = value.const_value.numpy()
        with np.errstate(over="ignore"):
            half = array.astype(self._half.numpy())
        lost = np.isfinite(array) & ~np.isfinite(half.astype(np.float32))
        if lost.any():
            worst = array[lost][np.abs(array[lost]).argmax()]
            raise PrecisionError(
                f"weight {value.name!r} of node {node_name(consumer)!r} holds {worst:g}, expected "
                f"at most {self._half.max:g} in magnitude, where {self._half.name.lower()} ends; "
                "name the node in keep"
                + (", or use bfloat16" if self._half == ir.DataType.FLOAT16 else "")
            )
        name = f"{value.name}.{self._half.name.lower()}"
        tensor = ir.tensor(half, dtype=self._half, name=name)
        made = ir.Value(name=name, shape=ir.Shape(half.shape), const_value=tensor)
        made.type = ir.TensorType(self._half)
        self._graph.initializers.add(made)
        return made

    def _give_output(self, value: ir.Value) -> None:
        """A float32 output of the graph, under its old name."""
        name = str(value.name)
        cast = self._as_float32(value)
        value.name, cast.name = f"{name}.{self._half.name.lower()}", name
        for index, output in enumerate(self._graph.outputs):
            if output is value:
                self._graph.outputs[index] = cast

    def _tidy_initializers(self) -> None:
        """Weights that are wanted in half only give up their place and their name."""
        for value, half in self._halves.items():
            if value.is_initializer() and not (
                value.is_graph_input() or value.is_graph_output() or value.uses()
            ):
                name = str(value.name)
                del self._graph.initializers[name]
                self._graph.initializers.pop(str(half.name))
                half.name = name
                self._graph.initializers.add(half)


def _give_types(graph: ir.Graph) -> None:
    """A weight's type is its tensor's, whether the file repeats it or not."""
    for value in graph.initializers.values():
        if value.const_value is not None:
            value.dtype = value.const_value.dtype


def _has_float32(node: ir.Node) -> bool:
    return any(map(is_float32, (*node.inputs, *node.outputs)))
