"""The ONNX node of the op, as both exporters write it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript

from ..contract import contract
from ..onnx_graph import STANDARD_OP


class ExportError(RuntimeError):
    """The model could not be exported; nothing was written."""


def plugin_attributes() -> dict[str, str]:
    """By these two, TensorRT's parser finds the plugin of a custom node."""
    return {"plugin_namespace": contract().domain, "plugin_version": str(contract().version)}


def node_attributes(kernel_shape: Sequence[Any], *torch_arguments: Any) -> dict[str, Any]:
    """Every attribute of the node, none left to its default.

    Args:
        kernel_shape: (kH, kW) of the weight
        torch_arguments: stride, padding, dilation, groups, offset_groups: the torch op's own order

    Raises:
        ExportError: one of them is not a constant of the exported model.
    """
    attributes: dict[str, Any] = {}
    for name, value in zip(contract().attributes, (kernel_shape, *torch_arguments), strict=True):
        is_list = isinstance(value, Sequence)
        if not all(isinstance(item, int) for item in (value if is_list else [value])):
            raise ExportError(
                f"attribute {name} of {contract().op} is {value}, expected integers: an ONNX "
                "attribute cannot follow from the model's inputs; make it a constant in forward()"
            )
        attributes[name] = list(value) if is_list else value
    return attributes | plugin_attributes()


def from_torchvision(*arguments: int) -> tuple[Any, ...]:
    """stride, padding, dilation, groups, offset_groups, as ``node_attributes`` takes them.

    Args:
        arguments: the same as torchvision's op takes them: stride_h, stride_w, pad_h, pad_w,
            dilation_h, dilation_w, groups, offset_groups
    """
    stride, padding, dilation = (list(arguments[i : i + 2]) for i in (0, 2, 4))
    return stride, padding * 2, dilation, *arguments[6:]


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
