"""torchvision's op, and functions, in the graphs of torch.fx and torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exported import deformable, run_ours
from test_convert import DCNv3Function, calls_of_ours, relative_error
from torch import Tensor, fx, nn
from torchvision_stand_in import deform_conv2d

import dcn_deploy
from dcn_deploy import ConversionError, convert, convertible_layers

OP = torch.ops.torchvision.deform_conv2d


class CallsTheOp(nn.Module):
    """As torchvision's own function calls it; without a mask one layer, with one the other."""

    def __init__(self, mask: bool) -> None:
        super().__init__()
        self.use_mask = mask
        self.weight = nn.Parameter(torch.randn(8, 6, 3, 2) / 6)
        self.bias = nn.Parameter(torch.randn(8))
        self.offset = nn.Conv2d(12, 54, (3, 2), (2, 1), (1, 2), (1, 2))
        nn.init.normal_(self.offset.bias, std=2.0)

    def forward(self, x: Tensor) -> Tensor:
        offset, mask = self.offset(x).split([36, 18], dim=1)
        mask = mask.sigmoid() if self.use_mask else x.new_zeros(x.shape[0], 0)
        geometry = (2, 1, 1, 2, 1, 2, 2, 3)
        return OP(x, self.weight, offset, mask, self.bias, *geometry, self.use_mask)


IMAGE = torch.randn(2, 12, 9, 11, generator=torch.Generator().manual_seed(3))


def nodes(module: fx.GraphModule) -> list[str]:
    return [str(node.target) for node in module.graph.nodes if "deform_conv2d" in str(node.target)]


@pytest.mark.parametrize("mask", [True, False])
def test_an_exported_program(mask: bool) -> None:
    program = torch.export.export(CallsTheOp(mask).eval(), (IMAGE,))
    wanted = program.module()(IMAGE)
    (layer,) = convertible_layers(program)
    assert layer.functions == ("torchvision::deform_conv2d",)
    converted = convert(program)
    assert nodes(converted.graph_module) == ["dcn_deploy.deform_conv2d.default"]
    assert nodes(program.graph_module) == ["torchvision.deform_conv2d.default"]
    assert relative_error(converted.module()(IMAGE), wanted) <= 1e-6
    assert convert(program, inplace=True) is program
    assert nodes(program.graph_module) == ["dcn_deploy.deform_conv2d.default"]
    # It is saved with our op, and loads without torchvision's.
    again = torch.export.export(converted.module(), (IMAGE,))
    assert relative_error(again.module()(IMAGE), wanted) <= 1e-6


@pytest.mark.parametrize("mask", [True, False])
def test_a_graph_module_exports_and_stays(mask: bool, tmp_path: Path) -> None:
    traced = fx.symbolic_trace(CallsTheOp(mask).eval())
    wanted = traced(IMAGE)
    path = tmp_path / "traced.onnx"
    report = dcn_deploy.export(traced, IMAGE, path, verify=False)
    assert len(report.conversion.layers) == len(deformable(path)) == 1
    assert relative_error(run_ours(path, IMAGE), wanted.detach()) <= 1e-5
    assert calls_of_ours(traced, IMAGE) == 0
    converted = convert(traced)
    assert calls_of_ours(converted, IMAGE) == 1
    assert relative_error(converted(IMAGE), wanted) <= 1e-6


fx.wrap("deform_conv2d")


class CallsTheFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 12, 3, 3) / 10)
        self.bias = nn.Parameter(torch.randn(5))
        self.offset = nn.Conv2d(12, 27, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        offset, mask = self.offset(x).split([18, 9], dim=1)
        return deform_conv2d(x, offset, self.weight, self.bias, padding=1, mask=mask)


def test_a_function_that_a_trace_keeps() -> None:
    traced = fx.symbolic_trace(CallsTheFunction())
    wanted = traced(IMAGE)
    converted = convert(traced)
    assert calls_of_ours(converted, IMAGE) == 1
    assert relative_error(converted(IMAGE), wanted) <= 1e-6


def test_a_graph_inside_a_model() -> None:
    model = nn.Sequential(nn.Identity(), fx.symbolic_trace(CallsTheOp(True)))
    assert [layer.path for layer in convertible_layers(model)] == ["1"]
    assert calls_of_ours(convert(model, inplace=True), IMAGE) == 1


def graph_of(function: Any, *more: Any) -> fx.GraphModule:
    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_function(function, (x, x, x, *more)))
    return fx.GraphModule(nn.Module(), graph)


def test_what_a_graph_cannot_convert_names_its_node() -> None:
    # Its apply is no target of a graph from torch 2.14 on.
    model = nn.Sequential(graph_of(DCNv3Function, 3, 3))
    with pytest.raises(ConversionError, match=r"^0 \(.*\) calls node \w+: \S+DCNv3Function: it"):
        convert(model)


def test_sizes_that_are_no_constants_are_refused() -> None:
    graph = fx.Graph()
    x, stride = graph.placeholder("x"), graph.placeholder("stride")
    arguments = (x, x, x, x, x, stride, 1, 0, 0, 1, 1, 1, 1, False)
    graph.output(graph.call_function(OP.default, arguments))
    with pytest.raises(ConversionError, match="expected integers that are constants of the graph"):
        convert(fx.GraphModule(nn.Module(), graph))


def test_scripted_modules_stay_as_they_are(tmp_path: Path) -> None:
    traced = torch.jit.trace(CallsTheOp(True).eval(), IMAGE)
    assert convertible_layers(traced) == ()
    path = tmp_path / "scripted.onnx"
    dcn_deploy.export(traced, IMAGE, path, exporter="torchscript", verify=False)
    assert len(deformable(path)) == 1
    assert relative_error(run_ours(path, IMAGE), traced(IMAGE).detach()) <= 1e-5


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_the_op_called_in_python_is_written_as_ours(exporter: Any, tmp_path: Path) -> None:
    model = CallsTheOp(True).eval()
    assert convertible_layers(model) == ()
    path = tmp_path / "op.onnx"
    report = dcn_deploy.export(model, IMAGE, path, exporter=exporter)
    assert report.verification is not None
    assert report.verification.passed
    assert len(deformable(path)) == 1
