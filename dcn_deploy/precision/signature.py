"""Which tensors of a node may be of half precision instead of float32, and which are coordinates.

The operator's own schema says what it admits, so hardly an operator is listed here: a type variable
that admits the half type and is bound by a data input follows that input, whatever else the schema
ties to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx.defs import OpSchema

from ..contract import contract
from ..exporting.forms import COORDINATES

# Inputs of standard operators that are positions or sizes.
_POSITIONS: Mapping[str, tuple[int, ...]] = {
    "GridSample": (1,),
    "RoiAlign": (1,),
    "AffineGrid": (0,),
    "Resize": (1, 2),
    "Range": (0, 1, 2),
}


@dataclass(frozen=True)
class Signature:
    """Tensors by their place; only float32 ones are ever in it."""

    half_inputs: frozenset[int]
    """The inputs that may be of half precision."""
    half_outputs: frozenset[int]
    """The outputs that are, where the inputs are."""
    coordinates: frozenset[int]
    """The inputs that are positions or sizes, or become integers: they deserve float32."""

    @property
    def can_be_half(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.half_inputs or self.half_outputs)


NOTHING = Signature(frozenset(), frozenset(), frozenset())


def signature(node: ir.Node, opset: int, half: ir.DataType) -> Signature:
    """What a node's operator admits; ``NOTHING`` for an unknown one.

    Args:
        node: a node whose tensors have their types
        opset: version of the operator's domain
        half: float16 or bfloat16
    """
    floats = frozenset(i for i, value in enumerate(node.inputs) if is_float32(value))
    float_outputs = frozenset(i for i, value in enumerate(node.outputs) if is_float32(value))
    if is_own(node):
        names = contract().inputs
        coordinates = frozenset(i for i in floats if names[i] in COORDINATES)
        return Signature(floats - coordinates, float_outputs, coordinates)
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return NOTHING
    inputs = _types(schema.inputs, len(node.inputs))
    outputs = _types(schema.outputs, len(node.outputs))
    coordinates = frozenset(
        i for i in floats if inputs[i] == "tensor(float)" or _is_position(node, i)
    )
    type_name = f"tensor({half.name.lower()})"
    admits = {
        constraint.type_param_str
        for constraint in schema.type_constraints
        if type_name in constraint.allowed_type_strs
    }
    # A variable that only an output has follows from an attribute (Cast's "to"), not from inputs.
    bound = admits & {inputs[i] for i in floats - coordinates}
    return Signature(
        frozenset(i for i in floats if inputs[i] in bound),
        frozenset(i for i in float_outputs if outputs[i] in bound),
        coordinates,
    )


def is_own(node: ir.Node) -> bool:
    """Whether it is this project's node."""
    return (node.domain, node.op_type) == (contract().domain, contract().op)


def is_float32(value: ir.Value | None) -> bool:
    """Whether a tensor is there and of dtype float32."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def _is_position(node: ir.Node, index: int) -> bool:
    if node.domain != "":
        return False
    if node.op_type == "Cast":
        becomes = node.outputs[0].dtype
        return becomes is not None and becomes.is_integer()
    return index in _POSITIONS.get(node.op_type, ())


def _types(formal: Sequence[OpSchema.FormalParameter], count: int) -> list[str]:
    """The type, or type variable, of each tensor; the last parameter may stand for many."""
    return [formal[min(index, len(formal) - 1)].type_str for index in range(count)]
