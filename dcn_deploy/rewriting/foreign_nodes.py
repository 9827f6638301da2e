"""Another project's node becomes ours."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ..contract import contract
from ..foreign import read
from ..onnx_graph import DeformableNode


def rewrite(entry: DeformableNode) -> ir.Node:
    """Replace the node, in its graph, by ours; the new one.

    Raises:
        ConversionError: as ``foreign.read``.
    """
    node, reading = entry.node, read(entry)
    inputs = [reading.inputs.get(name) for name in contract().inputs]
    while inputs[-1] is None:
        inputs.pop()
    own = ir.Node(
        contract().domain,
        contract().op,
        inputs,
        ir.convenience.convert_attributes(reading.attributes),
        name=node.name,
        doc_string=f"{entry.op} {entry.name}",
        metadata_props=dict(node.metadata_props),
    )
    (output,) = own.outputs
    if (dtype := entry.output.dtype or reading.inputs["input"].dtype) is not None:
        output.dtype = dtype
    output.shape = entry.output.shape or _output_shape(reading.inputs)
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    ir.convenience.replace_nodes_and_values(
        graph, node, [node], [*reading.before, own], node.outputs, [output]
    )
    graph.opset_imports.setdefault(contract().domain, contract().version)
    return own


def _output_shape(inputs: Mapping[str, ir.Value]) -> ir.Shape:
    """Copied from the inputs', as far as they are known: what follows has its sizes from there."""
    dims = []
    for tensor, axis in contract().output_shape:
        shape = inputs[contract().inputs[tensor]].shape
        dims.append(shape[axis] if shape is not None and len(shape) == 4 else None)
    return ir.Shape(dims)
