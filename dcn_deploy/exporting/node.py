"""The ONNX node of the op, as both exporters write it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript

from ..contract import contract
from ..onnx_graph import STANDARD_OP
from ..ops import onnx_attributes


class ExportError(RuntimeError):
    """The model could not be exported; nothing was written."""


def plugin_attributes() -> dict[str, str]:
    """By these two, TensorRT's parser finds the plugin of a custom node."""
    return {"plugin_namespace": contract().domain, "plugin_version": str(contract().version)}


def node_attributes(weight: Any, *arguments: Any) -> dict[str, Any]:
    """Every attribute of the node, none left to its default.

    Args:
        weight: anything with the weight's shape, [O, C/groups, kH, kW]
        arguments: the torch op's: stride, padding, dilation, groups, offset_groups

    Raises:
        ExportError: one of them is not a constant of the exported model.
    """
    try:
        return onnx_attributes(weight, *arguments) | plugin_attributes()
    except TypeError as error:
        raise ExportError(
            f"a {contract().op} has weight {tuple(weight.shape)} and arguments {arguments}, "
            "expected integers: an ONNX attribute cannot follow from the model's inputs; make it a "
            "constant in forward()"
        ) from error


def zero_bias(weight: ir.Value) -> ir.TensorProtocol:
    """The bias of a layer that has none: zeros, [O], of the weight's dtype.

    Every node gets one. TensorRT's parser and onnxruntime <= 1.23 fail where an input is absent
    before a mask, and one shape of node is simpler for every runtime than two.

    Raises:
        ExportError: the weight's shape or dtype is not known.
    """
    if weight.shape is None or weight.dtype is None or not isinstance(weight.shape[0], int):
        raise ExportError(
            f"weight {weight.name!r} of a {contract().op} without bias has shape {weight.shape} "
            f"and dtype {weight.dtype}, expected both to be known; give the layer a bias"
        )
    return ir.tensor(np.zeros(weight.shape[0], weight.dtype.numpy()))


@cache
def operator() -> onnxscript.values.Op:
    """The node as onnxscript's tracer calls it: the standard operator's signature, our name."""
    standard = onnx.defs.get_schema(STANDARD_OP)
    attribute = onnx.defs.OpSchema.Attribute
    schema = onnx.defs.OpSchema(
        contract().op,
        contract().domain,
        contract().version,
        inputs=standard.inputs,
        outputs=standard.outputs,
        type_constraints=[
            (constraint.type_param_str, constraint.allowed_type_strs, constraint.description)
            for constraint in standard.type_constraints
        ],
        attributes=[
            *(standard.attributes[name] for name in contract().attributes),
            *(attribute(n, onnx.defs.OpSchema.AttrType.STRING) for n in plugin_attributes()),
        ],
    )
    opset = onnxscript.values.Opset(contract().domain, contract().version)
    return onnxscript.values.Op(opset, contract().op, schema)
