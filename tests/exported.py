"""Models for the tests of the exporter, and what is asked of every exported file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from cases import Case, Inputs
from torch import Tensor, nn

import dcn_deploy
from dcn_deploy.arrays import to_array, to_tensor
from dcn_deploy.contract import contract
from dcn_deploy.runtimes import onnxruntime as runtime

EXPORTERS = ("dynamo", "torchscript")
FORMS = ("portable", "custom", "standard")


class Layer(nn.Module):
    """One deformable convolution with weights of its own; offset and mask are inputs."""

    def __init__(
        self, case: Case, inputs: Inputs, op: Callable[..., Tensor] = dcn_deploy.deform_conv2d
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(inputs.weight)
        self.bias = None if inputs.bias is None else nn.Parameter(inputs.bias)
        self.geometry = (case.stride, case.pads, case.dilation)
        self.op = op

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.op(input, offset, self.weight, self.bias, *self.geometry, mask)


def arguments(inputs: Inputs) -> tuple[Tensor, ...]:
    """What ``Layer.forward`` takes."""
    return tuple(t for t in (inputs.input, inputs.offset, inputs.mask) if t is not None)


class Network(nn.Module):
    """Two learned deformable layers, without and with bias, around a normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dcn_deploy.DeformConv2d(
            6, 8, (3, 2), (2, 1), (1, 0, 2, 1), (2, 1), groups=2, deformable_groups=3, bias=False,
            modulated=True,
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout()
        self.second = dcn_deploy.DeformConv2d(8, 5, 3, padding=1)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.offset_conv.weight, std=0.05)

    def forward(self, image: Tensor) -> Tensor:
        return self.second(self.dropout(torch.relu(self.norm(self.first(image)))))


def deformable(path: Path) -> list[onnx.NodeProto]:
    """The deformable nodes of the graph, in either spelling."""
    ops = (contract().op, "DeformConv")
    return [node for node in onnx.load(path).graph.node if node.op_type in ops]


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute name -> value, text as str."""
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def run_ours(path: Path, *tensors: Tensor) -> Tensor:
    """The first output in onnxruntime with our kernel, whichever form the file has."""
    return _run(runtime.ort_session(path, override=True), tensors)


def run_stock(path: Path, *tensors: Tensor) -> Tensor:
    """The first output in onnxruntime alone."""
    return _run(runtime.stock_session(path), tensors)


def _run(session: Any, tensors: tuple[Tensor, ...]) -> Tensor:
    names = [value.name for value in session.get_inputs()]
    arrays: dict[str, np.ndarray] = dict(zip(names, map(to_array, tensors), strict=True))
    return to_tensor(next(iter(runtime.run(session, arrays).values())))
