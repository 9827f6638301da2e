"""``torch.onnx.export(dynamo=False)``: the op's symbolic, and a model captured with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import onnx_ir as ir
import torch
from onnxscript.optimizer import fold_constants_ir, optimize
from onnxscript.version_converter import convert_version
from torch.onnx.symbolic_helper import parse_args
from torch.onnx.utils import register_custom_op_symbolic, unregister_custom_op_symbolic

from ..contract import contract
from ..ops import from_torchvision
from .node import ExportError, node_attributes
from .request import Request

LATEST_OPSET = 20
"""The newest opset that the TorchScript exporter writes."""
_EARLIEST_OPSET = 9

_TORCHVISION_OP = "torchvision::deform_conv2d"

_SUFFIX = {list: "i", int: "i", str: "s"}


def _is_absent(value: Any) -> bool:
    return value is None or bool(value.node().mustBeNone())


def _symbolic(
    graph: Any,
    input: Any,
    weight: Any,
    offset: Any,
    bias: Any,
    mask: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    offset_groups: int,
) -> Any:
    """dcn_deploy::deform_conv2d as one node of our domain; the tensors are values of the graph."""
    sizes, dtype = weight.type().sizes(), weight.type().dtype()
    if sizes is None or dtype is None:
        raise ExportError(
            f"the weight of a {contract().op} has unknown sizes, expected constant ones; make it a "
            'parameter of the model, or use exporter="dynamo"'
        )
    known = torch.empty(sizes, dtype=dtype, device="meta")
    attributes = node_attributes(known, stride, padding, dilation, groups, offset_groups)
    if _is_absent(bias):  # see node.zero_bias
        bias = graph.op("Constant", value_t=torch.zeros(sizes[0], dtype=dtype))
    tensors = [input, weight, offset, bias, *([] if _is_absent(mask) else [mask])]
    output = graph.op(
        f"{contract().domain}::{contract().op}",
        *tensors,
        **{f"{name}_{_SUFFIX[type(value)]}": value for name, value in attributes.items()},
    )
    # The exporter knows no shape rule for our node; a size is None where it is dynamic.
    given = [tensor.type().varyingSizes() or [None] * 4 for tensor in tensors]
    shape = [given[tensor][dim] for tensor, dim in contract().output_shape]
    return output.setType(input.type().with_sizes(shape))


def _torchvision_symbolic(
    graph: Any,
    input: Any,
    weight: Any,
    offset: Any,
    mask: Any,
    bias: Any,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: int,
) -> Any:
    """torchvision::deform_conv2d as the same node; its mask is there even where it is not used."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, offset_groups)
    mask = mask if use_mask else None
    return _symbolic(graph, input, weight, offset, bias, mask, *from_torchvision(*geometry))


def register() -> None:
    """Let the user's own ``torch.onnx.export(dynamo=False)`` write the op, in the custom form."""
    symbolic = parse_args("v", "v", "v", "v", "v", "is", "is", "is", "i", "i")(_symbolic)
    register_custom_op_symbolic("dcn_deploy::deform_conv2d", symbolic, _EARLIEST_OPSET)


@contextmanager
def _translating_torchvision() -> Iterator[None]:
    """torchvision's op, which this exporter cannot translate, becomes our node meanwhile."""
    integers: list[Literal["i"]] = ["i"] * 9
    symbolic = parse_args("v", "v", "v", "v", "v", *integers)(_torchvision_symbolic)
    register_custom_op_symbolic(_TORCHVISION_OP, symbolic, _EARLIEST_OPSET)
    try:
        yield
    finally:
        unregister_custom_op_symbolic(_TORCHVISION_OP, _EARLIEST_OPSET)


def capture(request: Request, folder: Path) -> ir.Model:
    """The model's graph, deformable convolutions as custom nodes.

    Args:
        request: the model and how to capture it
        folder: where the exporter may write; the returned model keeps its weights there
    """
    path = folder / "captured.onnx"
    with _translating_torchvision(), warnings.catch_warnings():
        # That it is deprecated is known to whoever asks for it by name; the other two are about
        # sizes that are constants of any model, and about folding that the optimizer does below.
        warnings.simplefilter("ignore", DeprecationWarning)
        tracer_warning = torch.jit.TracerWarning  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", category=tracer_warning, module="dcn_deploy")
        warnings.filterwarnings("ignore", message="Constant folding")
        torch.onnx.export(
            request.model,
            request.args,
            str(path),  # above 2 GB it takes no Path
            kwargs=request.kwargs,
            dynamo=False,
            opset_version=min(request.opset_version, LATEST_OPSET),
            dynamic_axes=request.dynamic_axes(),
            input_names=list(request.file_names().values()),
            output_names=request.output_names,
        )
    model = ir.load(path)
    if request.opset_version > LATEST_OPSET:
        convert_version(model, request.opset_version)
    _forget_made_up_sizes(model, request)
    # torch writes a constant padding as a chain that starts at a ConstantOfShape: fold that too.
    fold_constants_ir(model, should_fold=lambda node: node.op_type == "ConstantOfShape" or None)
    optimize(model)
    return model


def _forget_made_up_sizes(model: ir.Model, request: Request) -> None:
    """Drop the names that the exporter invents for dynamic sizes.

    They stand for nothing, and would keep shape inference from carrying the user's own names on.
    """
    given = {name for axes in request.dynamic_axes().values() for name in axes.values()}
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value.shape is not None:
                value.shape = ir.Shape(
                    dim if isinstance(dim, int) or dim.value in given else None
                    for dim in value.shape
                )
