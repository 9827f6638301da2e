"""``torch.onnx.export(dynamo=True)``: the op's translation, and a model captured with it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

import onnx_ir as ir
import torch
from onnxscript import BFLOAT16, DOUBLE, FLOAT, FLOAT16, opset18
from onnxscript.function_libs.torch_lib.registration import torch_op

from ..ops import from_torchvision
from .node import node_attributes, operator, zero_bias
from .request import Request

if TYPE_CHECKING:
    TensorT = ir.Value
    OptionalTensorT = ir.Value | None
else:
    # The exporter passes onnx_ir.Value, yet it wants to read onnxscript's words, in typing's old
    # spelling: these parameters are tensors of the graph, numbers and lists are not.
    TensorT = TypeVar("TensorT", bound=Union[BFLOAT16, FLOAT16, FLOAT, DOUBLE])  # noqa: UP007
    OptionalTensorT = Optional[TensorT]  # noqa: UP045


def _translate(
    input: TensorT,
    weight: TensorT,
    offset: TensorT,
    bias: OptionalTensorT = None,
    mask: OptionalTensorT = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    offset_groups: int = 1,
) -> TensorT:
    """dcn_deploy::deform_conv2d as one node of our domain."""
    attributes = node_attributes(weight, stride, padding, dilation, groups, offset_groups)
    zeros: Any = zero_bias(weight) if bias is None else None
    given = opset18.Constant(value=zeros) if bias is None else bias
    output: TensorT = operator()(input, weight, offset, given, mask, **attributes)
    return output


def _translate_torchvision(
    input: Any, weight: Any, offset: Any, mask: Any, bias: Any, *arguments: Any
) -> Any:
    """torchvision::deform_conv2d as the same node; its mask is there even where it is not used."""
    *geometry, use_mask = arguments
    mask = mask if use_mask else None
    return _translate(input, weight, offset, bias, mask, *from_torchvision(*geometry))


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    table: dict[Callable[..., Any], Callable[..., Any]] = {
        torch.ops.dcn_deploy.deform_conv2d.default: _translate
    }
    if hasattr(torch.ops.torchvision, "deform_conv2d"):
        table[torch.ops.torchvision.deform_conv2d.default] = _translate_torchvision
    return table


def register() -> None:
    """Let the user's own ``torch.onnx.export(dynamo=True)`` write the op, in the custom form.

    That exporter inlines every function of a model: a plain call cannot write the portable form.
    """
    torch_op("dcn_deploy::deform_conv2d", trace_only=True)(_translate)


def capture(request: Request) -> ir.Model:
    """The model's graph, deformable convolutions as custom nodes."""
    # A dict at the end is taken for kwargs, even beside an empty kwargs; then it is this {}.
    ends_in_dict = bool(request.args) and isinstance(request.args[-1], dict) and not request.kwargs
    program = torch.onnx.export(
        request.model,
        (*request.args, {}) if ends_in_dict else request.args,
        kwargs=request.kwargs,
        dynamo=True,
        verbose=False,
        opset_version=request.opset_version,
        dynamic_shapes=request.shapes(),
        input_names=request.input_names,
        output_names=request.output_names,
        custom_translation_table=_translations(),
    )
    assert program is not None
    for node in program.model.graph.all_nodes():
        _name_by_module(node)
    return program.model


def _name_by_module(node: ir.Node) -> None:
    """Name a node as the TorchScript exporter does, by where its module sits: /layer1/conv/Conv."""
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
    if scopes and node.name:
        modules = ast.literal_eval(scopes)[1:-1]
        node.name = "/".join(["", *(m.rsplit(".", 1)[-1] for m in modules), node.name])
