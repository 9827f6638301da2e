"""The forms of an exported model, and the way between any two of them.

portable  our node, with a function of the same name in the model whose body is the standard
          operator: a runtime with our kernel runs that, any other one runs the body
custom    our node alone: only a runtime with our kernel loads it
standard  the ONNX operator DeformConv
decomposed  operators that every runtime has, GridSample among them; there is no way back from it

The standard operator wants one dtype for all its inputs, our node also takes float32 offsets and
masks beside float16 or bfloat16 data. There the body (and the standard form) computes in float32,
between casts: nothing is rounded that our kernel would not round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import onnx
import onnx_ir as ir

from ..contract import contract
from ..onnx_graph import STANDARD_OP, DeformableNode, deformable_nodes, prepare
from .decomposition import DECOMPOSED_SINCE, decompose
from .node import ExportError, plugin_attributes, zero_bias

Form = Literal["portable", "custom", "standard", "decomposed"]
FORMS: tuple[Form, ...] = get_args(Form)
COORDINATES = ("offset", "mask")
"""The inputs that may be float32 beside half data."""

STANDARD_SINCE = 19
"""The opset that brought the standard operator."""
LEAST_OPSET: Mapping[Form, int] = {
    "portable": STANDARD_SINCE,
    "custom": 1,
    "standard": STANDARD_SINCE,
    "decomposed": DECOMPOSED_SINCE,
}
"""The opset from which on a form can be written."""


def to_form(model: ir.Model, form: Form) -> ir.Model:
    """Bring the model, in place, into a form, whichever it has now.

    Raises:
        ValueError: no such form.
        ExportError: the model's opset does not have what the form needs.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}, expected one of {', '.join(FORMS)}")
    require_opset(model.opset_imports[""], form)
    prepare(model)
    _to_custom(model)
    _FROM_CUSTOM[form](model)
    return model


def require_opset(opset: int, form: Form) -> None:
    """Check that an opset has the operators that a form is made of.

    Raises:
        ExportError: it has not.
    """
    if opset < LEAST_OPSET[form]:
        operator = "GridSample" if form == "decomposed" else STANDARD_OP
        raise ExportError(
            f'opset_version is {opset}, expected at least {LEAST_OPSET[form]} for form="{form}": '
            f'{operator} exists from there on; raise opset_version, or use form="custom", '
            "which needs our kernel to run"
        )


def _own(model: ir.Model) -> list[DeformableNode]:
    return [entry for entry in deformable_nodes(model) if entry.form != "foreign"]


def _to_custom(model: ir.Model) -> None:
    model.functions.pop((contract().domain, contract().op, ""), None)
    for entry in _own(model):
        node = entry.node
        model.opset_imports[contract().domain] = contract().version
        node.domain, node.op_type, node.version = contract().domain, contract().op, None
        attributes = entry.attributes | plugin_attributes()
        node.attributes.clear()
        node.attributes.update({a.name: a for a in ir.convenience.convert_attributes(attributes)})
        _give_bias(model, node)


def _give_bias(model: ir.Model, node: ir.Node) -> None:
    position = contract().inputs.index("bias")
    if len(node.inputs) > position and node.inputs[position] is not None:
        return
    weight = node.inputs[contract().inputs.index("weight")]
    assert weight is not None
    bias = zero_bias(weight)
    name = f"dcn_deploy.zeros.{bias.shape[0]}.{bias.dtype.name}"
    initializers = model.graph.initializers
    if name not in initializers:
        bias.name = name
        initializers.add(ir.Value(name=name, const_value=bias))
    node.resize_inputs(max(len(node.inputs), position + 1))
    node.replace_input_with(position, initializers[name])


def _is_mixed(node: ir.Node) -> bool:
    """Whether offset and mask are of another dtype than the data."""
    return len({value.dtype for value in node.inputs if value is not None} - {None}) > 1


def _to_portable(model: ir.Model) -> None:
    if nodes := [entry.node for entry in _own(model)]:
        function = _function(model.opset_imports[""], any(map(_is_mixed, nodes)))
        model.functions[function.identifier()] = function


def _function(opset: int, mixed: bool) -> ir.Function:
    """Our node in terms of the standard operator."""
    standard = onnx.defs.get_schema(STANDARD_OP, opset)
    inputs = [ir.Value(name=parameter.name) for parameter in standard.inputs]
    types = {
        name: ir.AttributeType.INTS if isinstance(default, list) else ir.AttributeType.INT
        for name, default in contract().attributes.items()
    }
    references = [ir.RefAttr(name, name, kind) for name, kind in types.items()]
    nodes, output = _standard(inputs, references, mixed)
    return ir.Function(
        contract().domain,
        contract().op,
        # onnx.checker wants the function on the model's own opset.
        graph=ir.Graph(inputs, [output], nodes=nodes, opset_imports={"": opset}),
        attributes=[ir.Attr(name, kind, None) for name, kind in types.items()],
    )


def _to_standard(model: ir.Model) -> None:
    for node in [entry.node for entry in _own(model)]:
        attributes = [node.attributes[name] for name in contract().attributes]
        nodes, output = _standard(node.inputs, attributes, _is_mixed(node), node.name)
        standard = next(made for made in nodes if made.op_type == STANDARD_OP)
        standard.doc_string = node.doc_string
        standard.metadata_props.update(node.metadata_props)
        graph = node.graph
        assert isinstance(graph, ir.Graph)
        ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, node.outputs, [output])
    model.opset_imports.pop(contract().domain, None)


def _to_decomposed(model: ir.Model) -> None:
    opset = model.opset_imports[""]
    for entry in _own(model):
        node, weight = entry.node, entry.inputs["weight"]
        if weight.shape is None or not weight.shape.is_static():
            raise ExportError(
                f'form="decomposed" takes weights of known sizes, and that of node {entry.name!r} '
                f"is {weight.shape}; make it a constant of the model"
            )
        # A name on each: whoever looks at the graph finds the layer again.
        nodes, output = decompose(entry.inputs, entry.attributes, opset)
        for index, part in enumerate(nodes):
            part.name = f"{node.name or entry.output.name}/{part.op_type}_{index}"
        output.shape, output.type = entry.output.shape, entry.output.type
        graph = node.graph
        assert isinstance(graph, ir.Graph)
        ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, node.outputs, [output])
    model.opset_imports.pop(contract().domain, None)
    prepare(model)  # an opset without DeformConv says nothing of our node's sizes, but of these


def _standard(
    inputs: Sequence[ir.Value | None],
    attributes: Sequence[ir.Attr],
    mixed: bool,
    node_name: str | None = None,
) -> tuple[list[ir.Node], ir.Value]:
    """The standard operator, between casts where data and coordinates differ in dtype."""
    names = contract().inputs
    data, coordinate = inputs[names.index("input")], inputs[names.index("offset")]
    nodes: list[ir.Node] = []

    def add(node: ir.Node) -> ir.Value:
        nodes.append(node)
        return node.outputs[0]

    if mixed:
        inputs = [
            value
            if name in COORDINATES or value is None
            else add(ir.Node("", "CastLike", [value, coordinate]))
            for name, value in zip(names, inputs, strict=False)
        ]
    output = add(ir.Node("", STANDARD_OP, inputs, attributes, name=node_name))
    return nodes, add(ir.Node("", "CastLike", [output, data])) if mixed else output


_FROM_CUSTOM: dict[Form, Callable[[ir.Model], None]] = {
    "portable": _to_portable,
    "custom": lambda model: None,
    "standard": _to_standard,
    "decomposed": _to_decomposed,
}
