"""Every form, exporter and dtype: the nodes written, their validity, and what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from cases import BY_NAME, DTYPES, expected, make_inputs, relative_error
from exported import (
    EXPORTERS,
    FORMS,
    Layer,
    Network,
    arguments,
    attributes,
    deformable,
    run_ours,
    run_stock,
)
from torch import Tensor

from dcn_deploy.contract import contract
from dcn_deploy.exporting import ExportError, export
from dcn_deploy.tolerances import STOCK_TOLERANCE, TOLERANCE

DYNAMIC = ({0: "N", 2: "H", 3: "W"},)


LAYERS = [
    *(("float32", name) for name in ("asymmetric", "no_bias", "no_mask", "no_bias_no_mask")),
    *((dtype, name) for dtype in DTYPES for name in ("asymmetric", "no_bias_no_mask")),
]


@pytest.mark.parametrize(("dtype", "name"), dict.fromkeys(LAYERS))
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("form", FORMS)
def test_one_layer(form: Any, exporter: Any, name: str, dtype: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, DTYPES[dtype])
    path = tmp_path / "layer.onnx"
    export(
        Layer(case, inputs),
        arguments(inputs),
        path,
        form=form,
        exporter=exporter,
        opset_version=22 if dtype == "bfloat16" else 19,
        verify=False,
    )

    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    (node,) = deformable(path)
    plugin = {"plugin_namespace": contract().domain, "plugin_version": "1"}
    is_ours = form != "standard"
    assert (node.domain, node.op_type) == (
        (contract().domain, contract().op) if is_ours else ("", "DeformConv")
    )
    assert attributes(node) == case.attributes() | (plugin if is_ours else {})
    assert len(node.input) == (5 if case.mask else 4)
    assert all(node.input)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert opsets[""] == (22 if dtype == "bfloat16" else 19)
    assert opsets.get(contract().domain) == (1 if is_ours else None)
    assert [f.name for f in model.functions] == ([contract().op] if form == "portable" else [])
    for function in model.functions:
        assert [body.op_type for body in function.node] == ["DeformConv"]
        assert {entry.domain: entry.version for entry in function.opset_import} == {"": opsets[""]}

    wanted = expected(case, inputs)
    assert relative_error(run_ours(path, *arguments(inputs)), wanted) <= TOLERANCE[dtype]
    if form != "custom" and dtype != "bfloat16":  # onnxruntime has no bfloat16 DeformConv
        assert relative_error(run_stock(path, *arguments(inputs)), wanted) <= STOCK_TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["asymmetric", "no_bias_no_mask"])
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("form", FORMS)
def test_half_data_with_float32_offsets(
    form: Any, exporter: Any, name: str, dtype: str, tmp_path: Path
) -> None:
    """The standard operator has one dtype: it computes in float32, and rounds only its output."""
    case = BY_NAME[name]
    inputs = make_inputs(case, DTYPES[dtype], coordinate_dtype=torch.float32)
    path = tmp_path / "mixed.onnx"
    export(
        Layer(case, inputs),
        arguments(inputs),
        path,
        form=form,
        exporter=exporter,
        verify=False,
    )
    onnx.checker.check_model(path, full_check=True)
    wanted = expected(case, inputs)
    assert relative_error(run_ours(path, *arguments(inputs)), wanted) <= TOLERANCE[dtype]
    if form != "custom":
        assert relative_error(run_stock(path, *arguments(inputs)), wanted) <= TOLERANCE[dtype]


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("opset", [19, 20, 21, 22, 23])
def test_opsets(opset: int, exporter: Any, tmp_path: Path) -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    path = tmp_path / "layer.onnx"
    report = export(
        Layer(case, inputs),
        arguments(inputs),
        path,
        exporter=exporter,
        opset_version=opset,
        verify=False,
    )
    assert report.opset == opset
    actual = run_stock(path, *arguments(inputs))
    assert relative_error(actual, expected(case, inputs)) <= STOCK_TOLERANCE["float32"]


@pytest.mark.parametrize(("dtype", "opset"), [("float32", 20), ("bfloat16", 22)])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_default_opset(exporter: Any, dtype: str, opset: int, tmp_path: Path) -> None:
    network = Network().to(DTYPES[dtype])
    image = torch.randn(2, 6, 9, 8, dtype=DTYPES[dtype])
    path = tmp_path / "network.onnx"
    assert export(network, image, path, exporter=exporter, verify=False).opset == opset
    # onnxruntime refuses files for a newer ir_version alone; 1.17 reads up to 9.
    assert onnx.load(path).ir_version == {20: 9, 22: 10}[opset]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_dynamic_sizes(exporter: Any, form: Any, tmp_path: Path) -> None:
    network = Network().eval()
    path = tmp_path / "network.onnx"
    export(
        network,
        torch.randn(2, 6, 9, 8),
        path,
        form=form,
        exporter=exporter,
        dynamic_shapes=DYNAMIC,
        verify=False,
    )
    graph = onnx.load(path).graph
    sizes = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
             for v in (*graph.input, *graph.output)]  # fmt: skip
    assert sizes[0] == ["N", 6, "H", "W"]
    assert sizes[1][:2] == ["N", 5]
    assert all(isinstance(size, str) for size in sizes[1][2:])
    for shape in [(2, 6, 9, 8), (1, 6, 14, 5), (3, 6, 7, 21)]:
        image = torch.randn(shape)
        wanted = network(image).detach()
        assert relative_error(run_ours(path, image), wanted) <= 1e-5
        if form != "custom":
            assert relative_error(run_stock(path, image), wanted) <= 1e-5


@pytest.mark.parametrize(
    "dynamic_shapes",
    [
        {"image": {0: "N", 3: "W"}},
        [{0: torch.export.Dim("N"), 3: torch.export.Dim("W")}],
        ({0: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},),
    ],
    ids=["by name", "Dim", "unnamed"],
)
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_ways_to_give_dynamic_sizes(exporter: Any, dynamic_shapes: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    network = Network().eval()
    export(
        network,
        torch.randn(2, 6, 9, 8),
        path,
        exporter=exporter,
        dynamic_shapes=dynamic_shapes,
        verify=False,
    )
    dims = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert [bool(dim.dim_param) for dim in dims] == [True, False, False, True]
    image = torch.randn(5, 6, 9, 13)
    assert relative_error(run_ours(path, image), network(image).detach()) <= 1e-5


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_dynamic_sizes_of_an_input_that_is_not_there(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    shapes = {"picture": {0: "N"}}
    with pytest.raises(ExportError, match="picture"):
        export(Network(), torch.randn(2, 6, 9, 8), path, exporter=exporter, dynamic_shapes=shapes)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_names_and_keyword_inputs(exporter: Any, tmp_path: Path) -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    path = tmp_path / "layer.onnx"
    export(
        Layer(case, inputs),
        (inputs.input,),
        path,
        kwargs={"offset": inputs.offset, "mask": inputs.mask},
        exporter=exporter,
        dynamic_shapes={"input": {0: "N"}, "offset": {0: "N"}, "mask": {0: "N"}},
        input_names=["x", "shift", "weight_of_samples"],
        output_names=["y"],
        verify=False,
    )
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["x", "shift", "weight_of_samples"]
    assert [value.name for value in graph.output] == ["y"]
    single = [tensor[:1] for tensor in arguments(inputs)]
    assert relative_error(run_ours(path, *single), expected(case, inputs)[:1]) <= 1e-6


class Three(torch.nn.Module):
    """Sensitive to the order of its inputs; ``unused`` is in no output."""

    def forward(self, x: Tensor, unused: Tensor, b: Tensor) -> Tensor:
        return x * 2 - b


def three() -> tuple[Tensor, ...]:
    return torch.randn(2, 3), torch.randn(4), torch.randn(2, 3)


@pytest.mark.parametrize("names", [None, ["p", "q", "r"]], ids=["own names", "other names"])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_named_inputs_in_another_order_and_an_unused_one(
    exporter: Any, names: Any, tmp_path: Path
) -> None:
    path = tmp_path / "three.onnx"
    x, unused, b = three()
    kwargs = {"b": b, "unused": unused}
    report = export(Three(), x, path, kwargs=kwargs, exporter=exporter, input_names=names)
    assert report.verification is not None
    kept = [value.name for value in onnx.load(path).graph.input]
    wanted = names or ["x", "unused", "b"]
    assert kept == (wanted if exporter == "dynamo" else [wanted[0], wanted[2]])
    dropped = f"the file has no input {wanted[1]!r}, which eager Three takes"
    said = any(dropped in note for note in report.verification.notes)
    assert said == (exporter == "torchscript")


def test_a_traced_model(tmp_path: Path) -> None:
    traced = torch.jit.trace(Network().eval(), torch.randn(2, 6, 9, 8))
    path = tmp_path / "traced.onnx"
    image = torch.randn(2, 6, 9, 8)
    report = export(
        traced, (), path, kwargs={"image": image}, exporter="torchscript", dynamic_shapes=DYNAMIC
    )
    assert report.verification is not None
    assert report.verification.passed
    assert [value.name for value in onnx.load(path).graph.input] == ["image"]


class FromDict(torch.nn.Module):
    def forward(self, given: dict[str, Tensor], k: Tensor | None = None) -> Tensor:
        y = given["x"] * 2 - given["b"]
        return y if k is None else y / k


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_dict_of_inputs(exporter: Any, named: bool, tmp_path: Path) -> None:
    path = tmp_path / "dict.onnx"
    args = ({"x": torch.randn(2, 3), "b": torch.randn(2, 3)},)
    kwargs = {"k": torch.rand(3) + 1} if named else {}
    report = export(FromDict(), args, path, kwargs=kwargs, exporter=exporter)
    assert report.verification is not None
    names = [value.name for value in onnx.load(path).graph.input]
    assert names == ["given_x", "given_b", *kwargs]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_the_nodes_are_named_by_module(exporter: Any, form: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    image = torch.randn(2, 6, 9, 8)
    report = export(Network(), image, path, form=form, exporter=exporter, verify=False)
    assert [node.name.split("/")[1] for node in report.nodes] == ["first", "second"]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_layer_without_bias_gets_zeros(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "layer.onnx"
    case = BY_NAME["no_bias"]
    inputs = make_inputs(case, torch.float16)
    export(Layer(case, inputs), arguments(inputs), path, exporter=exporter, verify=False)
    (node,) = deformable(path)
    initializers = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    bias = onnx.numpy_helper.to_array(initializers[node.input[3]])
    assert (bias.dtype, bias.shape) == ("float16", (case.out_channels,))
    assert not bias.any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_metadata(exporter: Any, form: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    image = torch.randn(2, 6, 9, 8)
    export(Network(), image, path, exporter=exporter, form=form, verify=False)
    model = onnx.load(path)
    assert model.producer_name == "dcn_deploy"
    assert model.producer_version
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["dcn_deploy.form"] == form
    assert properties["dcn_deploy.op_version"] == str(contract().version)
    assert properties["dcn_deploy.exporter"] == exporter
    # The exporters note paths and source lines of the machine that they run on.
    assert b".py" not in path.read_bytes()
    assert not any(node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_training_mode_is_set_aside_and_restored(exporter: Any, tmp_path: Path) -> None:
    network = Network().train()
    network.norm.eval()
    path = tmp_path / "network.onnx"
    image = torch.randn(2, 6, 9, 8)
    export(network, image, path, exporter=exporter, verify=False)
    assert network.training
    assert network.dropout.training
    assert not network.norm.training
    assert "Dropout" not in {node.op_type for node in onnx.load(path).graph.node}
    wanted = network.eval()(image).detach()
    assert relative_error(run_ours(path, image), wanted) <= 1e-5


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_report_says_what_was_written_and_verified(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    report = export(
        Network(), torch.randn(2, 6, 9, 8), path, exporter=exporter, dynamic_shapes=DYNAMIC
    )
    assert report.verification is not None
    assert report.verification.passed
    assert report.verification.path == str(path)
    text = str(report)
    for part in (str(path), "opset 20", "portable", report.nodes[0].name, "strides=[2, 1]"):
        assert part in text


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_model_without_deformable_convolutions(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    report = export(torch.nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8), path, exporter=exporter)
    assert report.nodes == ()
    assert report.verification is not None
    assert report.verification.notes == (
        f"{path} has no deformable node: only its outputs are compared",
    )
    assert not onnx.load(path).functions


@pytest.mark.parametrize("dynamo", [True, False], ids=EXPORTERS)
def test_torch_onnx_export_itself_writes_the_custom_form(dynamo: bool, tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    network = Network().eval()
    image = torch.randn(2, 6, 9, 8)
    torch.onnx.export(network, (image,), path, dynamo=dynamo, verbose=False)
    onnx.checker.check_model(path, full_check=True)
    nodes = deformable(path)
    assert [(node.domain, node.op_type) for node in nodes] == [
        (contract().domain, contract().op)
    ] * 2
    assert all(all(node.input[:4]) for node in nodes)
    wanted = network(image).detach()
    assert relative_error(run_ours(path, image), wanted) <= 1e-5


def test_the_function_body_has_the_contract_s_words() -> None:
    standard = onnx.defs.get_schema("DeformConv")
    assert set(standard.attributes) == set(contract().attributes)
    assert len(standard.inputs) == len(contract().inputs)
