"""How much arithmetic each node of a model asks for.

Counted are the operators in which networks spend their time: convolutions, matrix products and
deformable convolutions. A multiply-add is two operations. Sizes are needed to count anything: where
a graph input is dynamic, a usual size stands in, or the one that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from .model_inputs import InputError, shape_text
from .onnx_graph import DeformableNode, deformable_nodes, prepare, shape_of

_USUAL_BATCH = 1
_USUAL_SIZE = 256
"""A multiple of 32: what a network that halves its image five times takes."""
# Four pixels, each times its weight.
_OPERATIONS_OF_A_SAMPLE = 8

Sizes = tuple[int, ...]


def fix_sizes(
    model: ir.Model, sizes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Sizes]:
    """Give every dynamic dimension of the graph's inputs a size, in place, and infer the rest.

    Args:
        model: a prepared one
        sizes: by input; where none is given a usual one: batch 1, and 256 for anything else

    Returns:
        What every input has now; nothing of an input of unknown rank.

    Raises:
        InputError: a size does not fit an input, or there is no such input.
    """
    names = [str(value.name) for value in model.graph.inputs]
    for name in sizes or {}:
        if name not in names:
            raise InputError(f"the model has no input {name!r}; it has {', '.join(names)}")
    chosen: dict[str, Sizes] = {}
    symbols: dict[str, int] = {}
    for value in model.graph.inputs:
        name, shape = str(value.name), shape_of(value)
        given = (sizes or {}).get(name)
        if given is not None:
            fits = shape is None or len(given) == len(shape)
            if not fits or any(
                isinstance(dim, int) and dim != size
                for dim, size in zip(shape or (), given, strict=False)
            ):
                raise InputError(f"size {list(given)} of {name!r}, expected {shape_text(shape)}")
            chosen[name] = tuple(given)
            symbols |= {
                d: n for d, n in zip(shape or (), given, strict=False) if isinstance(d, str)
            }
    for value in model.graph.inputs:
        name, shape = str(value.name), shape_of(value)
        if name not in chosen and shape is not None:
            usual = [_USUAL_BATCH if axis == 0 else _USUAL_SIZE for axis in range(len(shape))]
            chosen[name] = tuple(
                dim
                if isinstance(dim, int)
                else size
                if dim is None
                else symbols.setdefault(dim, size)
                for dim, size in zip(shape, usual, strict=True)
            )
        if name in chosen:
            value.shape = ir.Shape(chosen[name])
    prepare(model)
    return chosen


def count(model: ir.Model) -> dict[ir.Node, int | None]:
    """Floating-point operations of every node that is counted; None where a size is unknown.

    Args:
        model: a prepared one with fixed sizes. Bodies of Loop and Scan count once.
    """
    deformable = {entry.node: entry for entry in deformable_nodes(model)}
    counts: dict[ir.Node, int | None] = {}
    for node in model.graph.all_nodes():
        formula = _FORMULAS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        try:
            if node in deformable:
                counts[node] = _deformable(deformable[node])
            elif formula is not None:
                counts[node] = formula(node)
        except _UnknownSizeError:
            counts[node] = None
    return counts


class _UnknownSizeError(Exception):
    pass


def _sizes(value: ir.Value | None) -> Sizes:
    shape = None if value is None else shape_of(value)
    if shape is None or not all(isinstance(dim, int) for dim in shape):
        raise _UnknownSizeError
    return tuple(dim for dim in shape if isinstance(dim, int))


def _convolution(node: ir.Node) -> int:
    return 2 * math.prod(_sizes(node.outputs[0])) * math.prod(_sizes(node.inputs[1])[1:])


def _transposed(node: ir.Node) -> int:
    return 2 * math.prod(_sizes(node.inputs[0])) * math.prod(_sizes(node.inputs[1])[1:])


def _product(node: ir.Node) -> int:
    return 2 * math.prod(_sizes(node.outputs[0])) * _sizes(node.inputs[0])[-1]


def _gemm(node: ir.Node) -> int:
    transposed: Any = node.attributes.get_int("transA", 0)
    return 2 * math.prod(_sizes(node.outputs[0])) * _sizes(node.inputs[0])[0 if transposed else 1]


_FORMULAS: Mapping[str, Callable[[ir.Node], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "MatMul": _product,
    "Gemm": _gemm,
}


def _deformable(entry: DeformableNode) -> int:
    if entry.form == "foreign":  # whose inputs may come in any order
        raise _UnknownSizeError
    inputs = entry.inputs
    channels = _sizes(inputs.get("input"))[1]
    offset, weight = _sizes(inputs.get("offset")), _sizes(inputs.get("weight"))
    (batch, out_channels), taps = (offset[0], weight[0]), math.prod(weight[2:])
    pixels = batch * math.prod(offset[2:])
    samples = pixels * taps * channels
    masked = samples if "mask" in inputs else 0
    product = 2 * pixels * out_channels * math.prod(weight[1:])
    return product + _OPERATIONS_OF_A_SAMPLE * samples + masked
