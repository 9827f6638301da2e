"""Deformable convolutions in the graphs of torch.fx and torch.export: nodes that call a function.

Besides the libraries' functions, a graph holds torchvision's as an op of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from ..ops import from_torchvision
from .functions import Known, Refusal, recognise

_TORCHVISION_OP = "torchvision::deform_conv2d"


@dataclass(frozen=True)
class NodeChange:
    """Another call in the place of a node's."""

    node: fx.Node
    name: str
    """Of what it called."""
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def swapped(self) -> NodeChange:
        """Make the change; what is returned undoes it."""
        node = self.node
        before = NodeChange(node, self.name, node.target, node.args, dict(node.kwargs))
        node.target, node.args, node.kwargs = self.target, self.args, self.kwargs
        return before


def node_changes(graph: fx.Graph) -> Iterator[NodeChange | Refusal]:
    """What to change in a graph, and what in it looks deformable and cannot be converted."""
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        schema = _torchvision_schema(node.target)
        if schema is not None:
            yield _from_op(node, schema)
            continue
        known = recognise(node.target)
        if isinstance(known, Known):
            yield NodeChange(node, known.name, known.ours, node.args, dict(node.kwargs))
        elif known is not None:
            yield Refusal(f"node {node.name}: {known.name}", known.reason)


def _torchvision_schema(target: Any) -> Any:
    """Of torchvision's op; None for anything else."""
    if isinstance(target, torch._ops.OpOverloadPacket):
        target = getattr(target, "default", None)
    if isinstance(target, torch._ops.OpOverload) and target._schema.name == _TORCHVISION_OP:
        return target._schema
    return None


def _from_op(node: fx.Node, schema: Any) -> NodeChange | Refusal:
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    *geometry, use_mask = (given[name] for name in names[5:])
    if not all(isinstance(value, int) for value in (*geometry, use_mask)):
        return Refusal(
            f"node {node.name}: {schema.name}",
            f"{', '.join(names[5:])} are {(*geometry, use_mask)}, expected integers that are "
            "constants of the graph",
        )
    args = (
        *(given[name] for name in ("input", "weight", "offset", "bias")),
        given["mask"] if use_mask else None,
        *from_torchvision(*geometry),
    )
    ours = torch.ops.dcn_deploy.deform_conv2d.default
    return NodeChange(node, schema.name, ours, args, {})
