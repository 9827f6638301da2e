"""The nodes that stay in float32 in a model of half precision, and why.

A coordinate is worth more bits than a value: a float16 offset of 16 pixels has a step of 1/64, and
a float16 size above 2048 is no longer an integer. So what computes offsets, masks, sampling grids,
boxes, scales and anything that becomes an integer stays in float32, back to the last convolution or
matrix product, that one included: what goes into it are features, which may be rounded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import onnx
import onnx_ir as ir

from ..onnx_graph import STANDARD_OP
from .signature import Signature, is_float32, is_own

# Sums of many products: what they give is a new quantity, no longer their input's.
_CONTRACTIONS = frozenset(
    ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "LSTM", "GRU", "RNN", STANDARD_OP)
)
# Runtimes want their data and their coordinates in one dtype.
_OF_ONE_DTYPE = frozenset(("GridSample", "RoiAlign"))


def kept_nodes(
    graph: ir.Graph, signatures: Mapping[ir.Node, Signature], keep: Collection[str]
) -> dict[ir.Node, str]:
    """The nodes that stay in float32, with the reason.

    Args:
        graph: the main graph, of a model that is inlined and has its types
        signatures: of each of its nodes
        keep: names that the user gave

    Raises:
        ValueError: no node has one of those names.
    """
    kept = {node: reason for node in graph if (reason := _reason(node))}
    for node in _named(graph, keep):
        kept[node] = "named to be kept"
    for node in graph:
        for index in signatures[node].coordinates:
            for ancestor in _ancestors(node.inputs[index]):
                kept.setdefault(ancestor, f"computes coordinates of {node_name(node)}")
    return kept


def node_name(node: ir.Node) -> str:
    """A node's name, or its output's where it has none."""
    return node.name or str(node.outputs[0].name)


def _named(graph: ir.Graph, keep: Collection[str]) -> Iterator[ir.Node]:
    nodes = {node_name(node): node for node in graph}
    for name in keep:
        if name not in nodes:
            raise ValueError(
                f"keep names {name!r}, which is no node of the main graph; it has "
                f"{', '.join(sorted(nodes)[:20])}{' …' if len(nodes) > 20 else ''}"
            )
        yield nodes[name]


def _reason(node: ir.Node) -> str | None:
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    if any(attribute.type in graphs for attribute in node.attributes.values()):
        return "holds a graph of its own"
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    if any(value.dtype is None or not isinstance(value.type, ir.TensorType) for value in values):
        return "has a tensor of unknown type"
    if not (onnx.defs.has(node.op_type, node.domain) or is_own(node)):
        return "is an operator of which nothing is known"
    if node.op_type in _OF_ONE_DTYPE and node.domain == "":
        return "samples at coordinates"
    return None


def _ancestors(value: ir.Value | None) -> Iterator[ir.Node]:
    """The nodes that a float32 tensor comes from, back to the last contraction on each way."""
    waiting, seen = [value], set[ir.Node]()
    while waiting:
        value = waiting.pop()
        node = None if value is None else value.producer()
        if node is None or node in seen or not is_float32(value):
            continue
        seen.add(node)
        yield node
        if node.op_type not in _CONTRACTIONS and not is_own(node):
            waiting += node.inputs
