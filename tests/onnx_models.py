"""Small ONNX models around one deformable convolution, built node by node.

They do not come from the exporter, so that a runtime is tested for every model that a user may
bring and not only for those that we write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from node_problems import Arrays, Attributes
from onnx import helper, numpy_helper

from dcn_deploy.contract import contract

OPSET = 19
# The newest that onnxruntime 1.17 reads.
IR_VERSION = 9

# The inputs that are initializers unless a test says otherwise.
CONSTANTS = ("weight", "bias")
# Declared shapes for the asymmetric case, its batch and sizes unknown until a run.
DYNAMIC_SHAPES: Mapping[str, Sequence[int | str | None]] = {
    "input": ("N", 12, "H", "W"),
    "offset": ("N", 36, "oH", "oW"),
    "mask": ("N", 18, "oH", "oW"),
}
UNKNOWN_RANKS: Mapping[str, None] = dict.fromkeys(DYNAMIC_SHAPES)


def _element_type(array: np.ndarray) -> int:
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def _standard_body(opset: int) -> onnx.FunctionProto:
    """The function that a runtime without our kernels falls back to."""
    node = helper.make_node("DeformConv", contract().inputs, ["output"])
    for name, default in contract().attributes.items():
        is_list = isinstance(default, list)
        kind = onnx.AttributeProto.INTS if is_list else onnx.AttributeProto.INT
        node.attribute.add(name=name, ref_attr_name=name, type=kind)
    return helper.make_function(
        contract().domain,
        contract().op,
        contract().inputs,
        ["output"],
        [node],
        [helper.make_opsetid("", opset)],
        list(contract().attributes),
    )


def model(
    arrays: Arrays,
    attributes: Attributes,
    *,
    form: str = "custom",
    constants: Sequence[str] = CONSTANTS,
    shapes: Mapping[str, Sequence[int | str | None] | None] | None = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """A model that is one deformable convolution.

    Args:
        arrays: input name -> value; None or no entry: an absent optional input.
        attributes: ONNX attribute name -> value.
        form: "custom" (our node), "portable" (ours with a function body) or "standard".
        constants: the inputs that are initializers; the others are graph inputs.
        shapes: declared shapes of graph inputs where they are not those of the arrays: names for
            dynamic dimensions, None for unknown ones, None for an unknown rank.
        opset: version of the standard operators.
    """
    present = {name: arrays[name] for name in contract().inputs if arrays.get(name) is not None}
    names = [name if name in present else "" for name in contract().inputs]
    while not names[-1]:
        names.pop()
    standard = form == "standard"
    node = helper.make_node(
        "DeformConv" if standard else contract().op,
        names,
        ["output"],
        name="deform",
        domain="" if standard else contract().domain,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "graph",
        [
            helper.make_tensor_value_info(
                name, _element_type(array), (shapes or {}).get(name, array.shape)
            )
            for name, array in present.items()
            if name not in constants
        ],
        [helper.make_tensor_value_info("output", _element_type(present["input"]), None)],
        [numpy_helper.from_array(present[name], name) for name in constants if name in present],
    )
    opsets = [helper.make_opsetid("", opset)]
    if not standard:
        opsets.append(helper.make_opsetid(contract().domain, contract().version))
    return helper.make_model(
        graph,
        opset_imports=opsets,
        functions=[_standard_body(opset)] if form == "portable" else [],
        ir_version=IR_VERSION,
    )


def feeds(arrays: Arrays, constants: Sequence[str] = CONSTANTS) -> dict[str, np.ndarray]:
    """What such a model is run on."""
    return {
        name: array for name, array in arrays.items() if array is not None and name not in constants
    }
