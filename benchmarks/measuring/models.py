"""A layer as a model of one node, with constant weight and bias: for onnxruntime and OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from dcn_deploy.contract import contract

from .layer import Layer

Inputs = Mapping[str, NDArray[np.generic]]


def onnx_model(layer: Layer, inputs: Inputs, op: str, domain: str = "") -> bytes:
    """``op`` is ours, the standard DeformConv, or Conv, which takes neither offset nor mask."""
    values = (
        [layer.kernel] * 2,
        [layer.stride] * 2,
        [layer.padding] * 4,
        [1, 1],
        layer.group,
        layer.offset_group,
    )
    attributes = dict(zip(contract().attributes, values, strict=True))
    data, weight, offset, bias, mask = contract().inputs
    names = [data, weight, offset, bias, mask] if layer.mask else [data, weight, offset, bias]
    if op == "Conv":
        names = [data, weight, bias]
        attributes.popitem()
    fed = [name for name in names if name not in (weight, bias)]
    element_type = helper.np_dtype_to_tensor_dtype(inputs[data].dtype)
    graph = helper.make_graph(
        [helper.make_node(op, names, ["output"], domain=domain, **attributes)],
        "layer",
        [helper.make_tensor_value_info(n, element_type, inputs[n].shape) for n in fed],
        [helper.make_tensor_value_info("output", element_type, None)],
        [numpy_helper.from_array(inputs[name], name) for name in (weight, bias)],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid(contract().domain, 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return model.SerializeToString()


def openvino_inputs(inputs: Inputs) -> list[str]:
    """The inputs that are not constants, in the order of the model below."""
    data, _, offset, _, mask = contract().inputs
    return [name for name in (data, offset, mask) if name in inputs]


def openvino_model(layer: Layer, inputs: Inputs) -> Any:
    """Its DeformableConvolution, opset 8, with the bias added: the op itself takes none."""
    import openvino as ov
    from openvino import opset8

    data, weight, offset, bias, mask = contract().inputs
    parameters = {
        name: opset8.parameter(list(inputs[name].shape), np.float32)
        for name in openvino_inputs(inputs)
    }
    convolution = opset8.deformable_convolution(
        parameters[data],
        parameters[offset],
        opset8.constant(inputs[weight]),
        [layer.stride] * 2,
        [layer.padding] * 2,
        [layer.padding] * 2,
        [1, 1],
        mask=parameters.get(mask),
        group=layer.group,
        deformable_group=layer.offset_group,
        bilinear_interpolation_pad=True,  # outside the image is zero, as in ONNX
    )
    result = opset8.add(convolution, opset8.constant(inputs[bias].reshape(1, -1, 1, 1)))
    return ov.Model([result], list(parameters.values()), "layer")
