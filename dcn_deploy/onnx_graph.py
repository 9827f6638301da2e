"""Reading ONNX files, and finding the deformable convolutions in them.

Inspection and verification look at the same graph: shapes inferred, model-local functions inlined
(all but the portable form's own, whose body is another way to run the same node).
"""

from __future__ import annotations

import ast
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx_ir.passes.common import InlinePass, ShapeInferencePass

from .contract import contract

Form = Literal["portable", "custom", "standard", "foreign"]
Shape = tuple[int | str | None, ...]

STANDARD_OP = "DeformConv"
_STANDARD_DOMAINS = ("", "ai.onnx")
# Other projects' ops: mmcv::MMCVDeformConv2d, ModulatedDeformConv2d, DCNv2, torchvision's own name.
_FOREIGN_OP = re.compile(r"deform(able)?_?conv|^_?dcn(_?v\d+)?(_\d+|_?plugin)?$", re.IGNORECASE)
# TensorRT's parser took "Plugin" nodes that say in an attribute which plugin they are.
_PLUGIN_OP = "Plugin"


class ModelFileError(ValueError):
    """A file that was given as an ONNX model is not one; the message says what is wrong with it."""


@dataclass(frozen=True)
class DeformableNode:
    """One deformable convolution of a prepared model."""

    node: ir.Node
    form: Form
    scope: str
    """Names of the control-flow nodes it sits in, joined by "/"; empty in the main graph."""

    @property
    def op(self) -> str:
        """Domain and operator, as the file has them."""
        return f"{self.node.domain}::{self.node.op_type}" if self.node.domain else self.node.op_type

    @property
    def name(self) -> str:
        """The node's name, or its output's where it has none."""
        return self.node.name or f"(unnamed, output {self.node.outputs[0].name})"

    @property
    def inputs(self) -> dict[str, ir.Value]:
        """The inputs that are present, by their names in the contract."""
        pairs = zip(contract().inputs, self.node.inputs, strict=False)
        return {name: value for name, value in pairs if value is not None}

    @property
    def output(self) -> ir.Value:
        """The output, [N, O, oH, oW]."""
        return self.node.outputs[0]

    @property
    def mistyped(self) -> dict[str, ir.AttributeType]:
        """The attributes whose kind is not the contract's, with the kind that is expected."""
        kinds = {
            name: ir.AttributeType.INTS if isinstance(default, list) else ir.AttributeType.INT
            for name, default in contract().attributes.items()
        }
        given = self.node.attributes
        return {n: kind for n, kind in kinds.items() if n in given and given[n].type != kind}

    @property
    def attributes(self) -> dict[str, Any]:
        """Every attribute of the contract: the node's own value, or what an absent one means.

        A mistyped one is the text of what the node has.
        """
        values: dict[str, Any] = {}
        mistyped = self.mistyped
        for name, default in contract().attributes.items():
            attribute = self.node.attributes.get(name)
            if attribute is not None and name in mistyped:
                values[name] = str(attribute)
                continue
            value = default if attribute is None else attribute.value
            values[name] = list(value) if isinstance(default, list) else value
        weight = shape_of(self.inputs["weight"]) if "weight" in self.inputs else None
        kernel_shape = next(iter(values))  # the contract's first; a weight is [O, C/g, kH, kW]
        if not values[kernel_shape] and weight is not None and len(weight) == 4:
            values[kernel_shape] = list(weight[2:])
        return values


def load(path: str | os.PathLike[str]) -> ir.Model:
    """Read an ONNX file; weights stay on the disk until they are used.

    Raises:
        ModelFileError: no such file, not readable, not an ONNX model, or external data that is
            missing or short.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ModelFileError(f"{path}: {what}; give the path of an ONNX model")
    try:
        model = ir.load(path)
    except DecodeError as error:
        raise ModelFileError(
            f"{path}: not an ONNX model, or cut off ({path.stat().st_size} bytes); "
            "export it again, or copy it again"
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"{path}: cannot be read: {error.strerror}; check its permissions"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFileError(f"{path}: a damaged ONNX model: {error}; export it again") from error
    if not model.ir_version or not model.graph.outputs:
        raise ModelFileError(
            f"{path}: not an ONNX model, or cut off: it has no graph with outputs; export it again"
        )
    for tensor in external_tensors(model):
        _check_external(path, tensor)
    return model


def external_tensors(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    """The weights that the model keeps in files beside it."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value.const_value


def _check_external(path: Path, tensor: ir.ExternalTensor) -> None:
    file = Path(tensor.path)
    if not file.is_file():
        raise ModelFileError(
            f"{path}: its weights {tensor.name!r} are in {file.name}, which is not beside it; "
            "copy that file too"
        )
    end = (tensor.offset or 0) + (tensor.length or 0)
    if file.stat().st_size < end:
        raise ModelFileError(
            f"{file}: has {file.stat().st_size} bytes, expected at least {end} for weights "
            f"{tensor.name!r} of {path.name}; copy it again"
        )


def _is_own(domain: str, op: str) -> bool:
    return (domain, op) == (contract().domain, contract().op)


def _is_foreign(node: ir.Node) -> bool:
    name: Any = node.op_type
    if name == _PLUGIN_OP and "name" in node.attributes:
        name = node.attributes["name"].value
    return isinstance(name, str) and _FOREIGN_OP.search(name) is not None


def prepare(model: ir.Model) -> ir.Model:
    """Inline the model's functions and infer its shapes, in place.

    The function of the portable form stays a function: its node is what gets deployed.
    """
    # A shape that cannot be inferred stays unknown: nothing to bother the reader of a log with.
    logging.getLogger("onnx_ir.passes.common.shape_inference").setLevel(logging.ERROR)
    InlinePass(criteria=lambda function: not _is_own(function.domain, function.name))(model)
    # onnx knows no schema for our op where no function stands behind it: lend it the standard name.
    lent = [entry.node for entry in deformable_nodes(model) if entry.form == "custom"]
    for node in lent:
        node.domain, node.op_type = "", STANDARD_OP
    try:
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    finally:
        for node in lent:
            node.domain, node.op_type = contract().domain, contract().op
    return model


def deformable_nodes(model: ir.Model) -> list[DeformableNode]:
    """Every deformable convolution of the model, in the order in which they run."""
    has_body = any(_is_own(function.domain, function.name) for function in model.functions.values())

    def walk(graph: ir.Graph, scope: str) -> Iterator[DeformableNode]:
        for node in graph:
            form: Form | None = None
            if _is_own(node.domain, node.op_type):
                form = "portable" if has_body else "custom"
            elif node.domain in _STANDARD_DOMAINS and node.op_type == STANDARD_OP:
                form = "standard"
            elif _is_foreign(node):
                form = "foreign"
            if form is not None:
                yield DeformableNode(node, form, scope)
            inner = f"{scope}/{node.name or node.op_type}" if scope else node.name or node.op_type
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    yield from walk(attribute.as_graph(), inner)
                elif attribute.type == ir.AttributeType.GRAPHS:
                    for subgraph in attribute.as_graphs():
                        yield from walk(subgraph, inner)

    return list(walk(model.graph, ""))


def origin_of(node: ir.Node) -> str:
    """Where a node came from: its own note of one line, or what torch's exporter notes of modules.

    Other exporters' notes hold whole stacks of source lines: those say nothing to a user.
    """
    note = (node.doc_string or "").strip()
    if note and "\n" not in note:
        return note
    return _module_of(node)


def _module_of(node: ir.Node) -> str:
    """ "backbone.layer1.conv: models.DeformBlock" of the scopes that torch's exporter notes."""
    try:
        paths, classes = (
            ast.literal_eval(node.metadata_props[f"pkg.torch.onnx.{name}"])
            for name in ("name_scopes", "class_hierarchy")
        )
        # The outermost scope is the model itself, the innermost the operator.
        return f"{paths[-2]}: {classes[-2]}" if paths[-2] else str(classes[-2])
    except (KeyError, ValueError, SyntaxError, IndexError, TypeError):
        return ""


def shape_of(value: ir.Value) -> Shape | None:
    """Sizes; a string where a dimension is symbolic, None where nothing is known of it."""
    constant = value.const_value
    shape = constant.shape if value.shape is None and constant is not None else value.shape
    if shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in shape)


def dtype_of(value: ir.Value) -> str | None:
    """numpy's name of the element type ("float32", "bfloat16", "int64"), None where unknown."""
    constant = value.const_value
    dtype = constant.dtype if value.dtype is None and constant is not None else value.dtype
    if dtype is None or dtype == ir.DataType.UNDEFINED:
        return None
    try:
        return str(dtype.numpy())
    except TypeError:  # strings
        return dtype.name.lower()


def is_constant(value: ir.Value) -> bool:
    """Whether the file holds the value, and no input of the model can replace it."""
    if value.is_initializer():
        return not value.is_graph_input()
    producer = value.producer()
    return producer is not None and producer.op_type == "Constant"
