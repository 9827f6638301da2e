"""Judging one deformable convolution: against float64, and against the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..contract import contract
from ..model_inputs import dtype_name
from ..tolerances import MODEL_TOLERANCE, STOCK_TOLERANCE, TOLERANCE
from .difference import Difference, difference
from .observation import NodeRun
from .offsets import measure_offsets
from .report import NodeCheck


def _to_float64(node: NodeRun, *, own_kernel: bool) -> Difference:
    table = TOLERANCE if own_kernel else STOCK_TOLERANCE
    tolerance = table[dtype_name(node.output)]
    return difference(node.output, node.float64_output(), tolerance)


def _offset_range(offset: Tensor) -> tuple[float, float]:
    if not offset.numel():
        return (0.0, 0.0)
    low, high = offset.double().aminmax()
    return (low.item(), high.item())


def attributes_that_differ(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """One phrase for each attribute, by the contract's names, that is not the baseline's."""
    return [
        f"attribute {name} is {mine[name]} in the model and {theirs[name]} in the baseline"
        for name in contract().attributes
        if mine[name] != theirs[name]
    ]


def _what_differs(node: NodeRun, other: NodeRun) -> list[str]:
    """Attributes first: they explain everything after them."""
    found = attributes_that_differ(node.attributes, other.attributes)
    for name in contract().inputs:
        mine, theirs = node.inputs.get(name), other.inputs.get(name)
        if mine is None or theirs is None:
            absent = theirs if mine is None else mine
            # A bias of zeros and no bias are the same.
            if absent is not None and bool(absent.any()):
                found.append(f"only one side has a {name}")
        elif mine.shape != theirs.shape:
            found.append(f"{name} is {list(mine.shape)}, the baseline's {list(theirs.shape)}")
        else:
            apart = difference(mine, theirs, MODEL_TOLERANCE[dtype_name(mine)])
            if not apart.ok:
                found.append(f"its {name} differs: {apart}")
    return found


def check_node(
    node: NodeRun, other: NodeRun | None, *, own_kernel: bool, offsets: bool = False
) -> NodeCheck:
    """Judge a node.

    Args:
        node: as the side under test ran it
        other: the baseline's node in the same place, if there is one
        own_kernel: whether this project's kernel ran ``node``: onnxruntime's own rounds coordinates
            to float32
        offsets: whether to measure what the offsets need of their dtype too
    """
    to_float64 = _to_float64(node, own_kernel=own_kernel)
    to_baseline = other_to_float64 = None
    if other is not None and other.output.shape == node.output.shape:
        tolerance = max(MODEL_TOLERANCE[dtype_name(run.output)] for run in (node, other))
        to_baseline = difference(node.output, other.output, tolerance)
    causes = []
    if not to_float64.ok:
        causes.append(
            f"this side computes it wrong, beside float64 on the same inputs: {to_float64}"
        )
    if other is not None and (to_baseline is None or not to_baseline.ok):
        causes += _what_differs(node, other)
        # Which of the two is wrong matters only now, and the reference takes its time.
        other_to_float64 = _to_float64(other, own_kernel=False)
        if not other_to_float64.ok:
            causes.append(
                "the baseline computes it wrong, beside float64 on the same inputs: "
                f"{other_to_float64}"
            )
        if not causes and to_baseline is not None:
            causes.append(f"its output differs: {to_baseline}")
    return NodeCheck(
        name=node.name,
        shapes={name: tuple(t.shape) for name, t in node.inputs.items()}
        | {"output": tuple(node.output.shape)},
        offset_range=_offset_range(node.inputs["offset"]),
        to_float64=to_float64,
        to_baseline=to_baseline,
        baseline_to_float64=other_to_float64,
        cause="; ".join(causes),
        offsets=measure_offsets(node) if offsets else None,
    )
