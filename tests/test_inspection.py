"""What inspection says of a file: every form, every place a node hides in, every damaged file."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnx_models
import pytest
from onnx import TensorProto, helper

from dcn_deploy import availability, inspection
from dcn_deploy.contract import contract
from dcn_deploy.inspection import NodeReport, inspect_model
from dcn_deploy.onnx_graph import ModelFileError

ATTRIBUTES = dict(
    zip(contract().attributes, ([3, 2], [2, 1], [1, 0, 2, 1], [2, 1], 2, 3), strict=True)
)


def arrays(dtype: str = "float32", **absent: None) -> dict[str, np.ndarray | None]:
    """A problem with nothing symmetric in it."""
    shapes = {
        "input": (2, 6, 9, 8),
        "weight": (4, 3, 3, 2),
        "offset": (2, 36, 4, 8),
        "bias": (4,),
        "mask": (2, 18, 4, 8),
    }
    return {name: np.ones(shape, dtype) for name, shape in shapes.items()} | absent


def save(model: onnx.ModelProto, folder: Path, **options: object) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path, **options)
    return path


def only_node(path: Path) -> NodeReport:
    (node,) = inspect_model(path).nodes
    return node


def runs_in(node: NodeReport) -> dict[str, bool]:
    return {verdict.runtime: verdict.runs for verdict in node.runtimes}


@pytest.mark.parametrize("form", ["portable", "custom", "standard"])
def test_a_node_is_described_in_the_words_of_the_contract(form: str, tmp_path: Path) -> None:
    model = onnx_models.model(
        arrays(), ATTRIBUTES, form=form, shapes={"input": ["N", 6, "H", 8], "mask": None}
    )
    node = only_node(save(model, tmp_path))

    assert (node.name, node.form, node.scope, node.dtype) == ("deform", form, "", "float32")
    assert node.op == ("DeformConv" if form == "standard" else "dcn_deploy::DeformConv2d")
    assert node.attributes == ATTRIBUTES
    assert list(node.attributes) == list(contract().attributes)
    assert node.shapes["input"] == ("N", 6, "H", 8)
    assert node.shapes["weight"] == (4, 3, 3, 2)
    assert node.shapes["offset"] == (2, 36, 4, 8)
    assert node.shapes["mask"] is None
    assert node.shapes["output"] is not None
    assert len(node.shapes["output"]) == 4
    assert node.constant_weight
    assert node.has_bias
    assert node.has_mask
    assert runs_in(node) == {availability.OURS: True, availability.STOCK: form != "custom"}


def test_what_a_node_leaves_out_takes_its_default(tmp_path: Path) -> None:
    given = arrays(offset=np.ones((2, 12, 7, 7), "float32"), bias=None, mask=None)
    given["weight"] = np.ones((4, 6, 3, 2), "float32")
    model = onnx_models.model(given, {}, form="custom", constants=())
    node = only_node(save(model, tmp_path))

    assert node.attributes["kernel_shape"] == [3, 2]
    expected = dict(contract().attributes) | {"kernel_shape": [3, 2]}
    assert node.attributes == expected
    assert not node.has_bias
    assert not node.has_mask
    assert not node.constant_weight
    assert not any("no runtime accepts it" in problem.what for problem in node.problems)


def test_problems_are_named_with_a_cure(tmp_path: Path) -> None:
    wrong = arrays(bias=None, offset=np.ones((2, 34, 4, 8), "float32"))
    node = only_node(save(onnx_models.model(wrong, ATTRIBUTES, form="custom"), tmp_path))

    whats = [problem.what for problem in node.problems]
    assert any("no function body" in what for what in whats)
    assert any("a mask and no bias" in what for what in whats)
    assert any("offset has 34 channels, expected" in what for what in whats)
    assert all(problem.cure for problem in node.problems)

    sound = onnx_models.model(arrays(), ATTRIBUTES, form="portable")
    assert only_node(save(sound, tmp_path)).problems == ()


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (-2, 1.0, "is 1.0 (FLOAT), expected INT"),
        (-1, [3], "is (3,) (INTS), expected INT"),
        (1, 2, "is 2 (INT), expected INTS"),
        (2, [1.0, 0.0, 2.0, 1.0], "is (1.0, 0.0, 2.0, 1.0) (FLOATS), expected INTS"),
        (0, "3x2", "is '3x2' (STRING), expected INTS"),
    ],
)
@pytest.mark.parametrize("form", ["portable", "custom", "standard"])
def test_attributes_of_a_wrong_kind_are_a_problem(
    form: str, position: int, value: object, message: str, tmp_path: Path
) -> None:
    name = list(ATTRIBUTES)[position]
    model = onnx_models.model(arrays(), ATTRIBUTES, form=form)
    (attribute,) = [item for item in model.graph.node[0].attribute if item.name == name]
    attribute.CopyFrom(helper.make_attribute(name, value))
    report = inspect_model(save(model, tmp_path))

    (problem,) = [p for p in report.nodes[0].problems if "no runtime accepts it" in p.what]
    assert not report.nodes[0].valid
    assert not any(verdict.runs for verdict in report.nodes[0].runtimes)
    assert f"attribute {name} {message}" in problem.what
    json.dumps(report.to_dict(), allow_nan=False)


def two_nodes(form: str, wrap: str = "") -> onnx.ModelProto:
    """conv -> deform -> deform, the second reading the first; in a function or an If on request."""
    one = onnx_models.model(arrays(), ATTRIBUTES, form=form)
    pieces = {item.name: item for item in one.graph.initializer}
    first = one.graph.node[0]
    first.name = "first"
    first.input[:] = ["input", "weight", "offset", "bias", "mask"]
    relu = helper.make_node("Relu", ["output"], ["positive"], name="relu")
    second = onnx.NodeProto()
    second.CopyFrom(first)
    second.name = ""
    second.input[:] = ["positive", "weight2", "offset2", "", ""]
    second.output[:] = ["last"]
    del second.attribute[:]
    second.attribute.extend(
        helper.make_attribute(name, value)
        for name, value in (dict(contract().attributes) | {"kernel_shape": [1, 1]}).items()
    )
    weight2 = onnx.numpy_helper.from_array(np.ones((5, 4, 1, 1), "float32"), "weight2")
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 6, 9, 8]),
        helper.make_tensor_value_info("offset", TensorProto.FLOAT, ["N", 36, 4, 8]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 18, 4, 8]),
        helper.make_tensor_value_info("offset2", TensorProto.FLOAT, ["N", 2, 4, 8]),
    ]
    output = helper.make_tensor_value_info("last", TensorProto.FLOAT, None)
    nodes = [first, relu, second]
    functions = list(one.functions)
    opsets = list(one.opset_import)
    if wrap == "If":
        branches = {
            f"{branch}_branch": helper.make_graph(nodes, branch, [], [output])
            for branch in ("then", "else")
        }
        inputs.append(helper.make_tensor_value_info("which", TensorProto.BOOL, []))
        nodes = [helper.make_node("If", ["which"], ["last"], name="choice", **branches)]
    if wrap == "function":
        names = ["input", "weight", "offset", "bias", "mask", "weight2", "offset2"]
        functions.append(
            helper.make_function("mine", "Block", names, ["last"], nodes, list(one.opset_import))
        )
        opsets.append(helper.make_opsetid("mine", 1))
        nodes = [
            helper.make_node("Block", names, ["a"], domain="mine", name="block_a"),
            helper.make_node("Block", names, ["b"], domain="mine", name="block_b"),
            helper.make_node("Add", ["a", "b"], ["last"], name="add"),
        ]
    graph = helper.make_graph(nodes, "g", inputs, [output], [*pieces.values(), weight2])
    return helper.make_model(
        graph, opset_imports=opsets, functions=functions, ir_version=onnx_models.IR_VERSION
    )


@pytest.mark.parametrize("form", ["portable", "custom", "standard"])
def test_shapes_are_known_behind_a_node_of_any_form(form: str, tmp_path: Path) -> None:
    report = inspect_model(save(two_nodes(form), tmp_path))

    first, second = report.nodes
    assert first.shapes["output"] == ("N", 4, 4, 8)
    assert second.shapes["input"] == ("N", 4, 4, 8)
    assert second.shapes["output"] == ("N", 5, 4, 8)
    assert second.dtype == "float32"
    assert second.name == "(unnamed, output last)"
    assert report.outputs[0].shape == ("N", 5, 4, 8)


def test_nodes_in_functions_are_listed_once_for_every_call(tmp_path: Path) -> None:
    nodes = inspect_model(save(two_nodes("portable", "function"), tmp_path)).nodes

    assert len(nodes) == 4
    assert len({node.name for node in nodes}) == 4
    assert [node.form for node in nodes] == ["portable"] * 4
    assert nodes[3].shapes["output"] == ("N", 5, 4, 8)


def test_nodes_in_branches_say_where_they_are(tmp_path: Path) -> None:
    nodes = inspect_model(save(two_nodes("standard", "If"), tmp_path)).nodes

    assert [node.scope for node in nodes] == ["choice"] * 4


@pytest.mark.parametrize(
    ("domain", "op", "known"),
    [
        ("mmcv", "MMCVModulatedDeformConv2d", True),
        ("mmdeploy", "MMCVDeformConv2d", True),
        ("custom", "ModulatedDeformConv2d", True),
        ("torchvision", "deform_conv2d", True),
        ("plugin", "DCNv2", True),
        ("mine", "Conv2d", False),
        ("mine", "DCNNClassifier", False),
    ],
)
def test_other_projects_nodes_are_named_and_not_read(
    domain: str, op: str, known: bool, tmp_path: Path
) -> None:
    model = onnx_models.model(arrays(), ATTRIBUTES, form="custom")
    model.graph.node[0].domain, model.graph.node[0].op_type = domain, op
    model.opset_import.append(helper.make_opsetid(domain, 1))
    nodes = inspect_model(save(model, tmp_path)).nodes

    assert len(nodes) == int(known)
    for node in nodes:
        assert (node.form, node.op) == ("foreign", f"{domain}::{op}")
        assert node.attributes == {}
        assert not any(runs_in(node).values())
        assert "another project's operator" in node.problems[0].what


@pytest.mark.parametrize(
    ("version", "form", "dtype", "runs"),
    [
        ("1.32.0", "portable", "float32", True),
        ("1.25.0", "standard", "float16", True),
        ("1.32.0", "standard", "bfloat16", False),
        ("1.24.1", "standard", "float32", False),
        ("1.32.0", "custom", "float32", False),
        (None, "standard", "float32", False),
    ],
)
def test_who_runs_it_alone(
    version: str | None, form: str, dtype: str, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "onnxruntime_version", lambda: version)
    verdict = availability.stock(form, dtype)  # type: ignore[arg-type]

    assert verdict.runs is runs
    assert verdict.reason


def test_a_missing_library_is_a_reason_not_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(onnx_models.model(arrays(), ATTRIBUTES), tmp_path)
    assert runs_in(only_node(path))[availability.OURS]
    monkeypatch.setenv("DCN_DEPLOY_LIBRARY_DIR", str(tmp_path))
    verdict = availability.ours("custom")

    assert not verdict.runs
    assert "libdcn_deploy_onnxruntime.so" in verdict.reason


def test_a_report_is_json(tmp_path: Path) -> None:
    path = save(two_nodes("portable"), tmp_path)
    data = json.loads(json.dumps(inspect_model(path).to_dict(), allow_nan=False))

    assert data["opsets"] == {"": onnx_models.OPSET, "dcn_deploy": 1}
    assert data["bytes"] == path.stat().st_size
    assert [node["name"] for node in data["nodes"]] == ["first", "(unnamed, output last)"]
    assert data["nodes"][0]["shapes"]["output"] == ["N", 4, 4, 8]


def test_weights_beside_the_file_are_counted_and_looked_for(tmp_path: Path) -> None:
    model = onnx_models.model(arrays(), ATTRIBUTES)
    path = save(model, tmp_path, save_as_external_data=True, location="w.bin", size_threshold=0)
    weights = tmp_path / "w.bin"
    report = inspect_model(path)
    assert report.bytes == path.stat().st_size + weights.stat().st_size
    assert report.nodes[0].constant_weight

    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match=r"w\.bin: has \d+ bytes, expected at least \d+"):
        inspect_model(path)
    weights.unlink()
    with pytest.raises(ModelFileError, match=r"in w\.bin, which is not beside it"):
        inspect_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "has no graph with outputs"),
        (b"hello, this is no model\n", "not an ONNX model, or cut off"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'", "not an ONNX model, or cut off"),
    ],
)
def test_what_is_not_a_model_is_told_so(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as raised:
        inspect_model(path)
    assert str(path) in str(raised.value)


def test_a_file_that_may_not_be_read_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Played, because the permissions of a file stop nobody who runs the tests as root."""
    path = save(two_nodes("portable"), tmp_path)

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(onnx_ir, "load", refuse)
    with pytest.raises(ModelFileError, match=r"model\.onnx: cannot be read: Permission denied;"):
        inspect_model(path)


def test_a_model_cut_off_anywhere_is_told_so(tmp_path: Path) -> None:
    whole = two_nodes("portable").SerializeToString()
    path = tmp_path / "model.onnx"
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFileError):
            inspect_model(path)


@pytest.mark.parametrize(
    ("dtype", "group", "channels", "built_for", "kernels"),
    [
        ("float32", 1, 6, "sm_90", "tensor cores"),
        ("float16", 1, 6, "sm_90", "tensor cores"),
        ("float64", 1, 6, "sm_90", "plain"),
        ("float32", 2, 6, "sm_90", "small groups"),  # of three channels
        ("float32", 1, "C", "sm_90", "tensor cores"),  # the weight says how many
        ("float32", 1, 6, "", "this build has no CUDA kernels"),
    ],
)
def test_which_cuda_kernels_run_a_node(
    dtype: str,
    group: int,
    channels: int | str,
    built_for: str,
    kernels: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = replace(contract(), cuda_architectures=built_for)
    monkeypatch.setattr(inspection, "contract", lambda: built)
    given = arrays(dtype)
    given["weight"] = np.ones((4, 6 // group, 3, 2), dtype)
    shapes = {"input": ["N", channels, "H", "W"]}
    model = onnx_models.model(given, ATTRIBUTES | {"group": group}, form="custom", shapes=shapes)
    assert only_node(save(model, tmp_path)).cuda_kernels == kernels


def test_no_cuda_kernels_are_named_where_a_size_is_unknown_or_wrong(tmp_path: Path) -> None:
    given = arrays()
    shapes = {"input": ["N", "C", "H", "W"], "weight": [None] * 4}
    unknown = onnx_models.model(given, ATTRIBUTES, form="custom", constants=(), shapes=shapes)
    node = only_node(save(unknown, tmp_path))
    assert (node.valid, node.cuda_kernels) == (True, "")
    wrong = onnx_models.model(given, ATTRIBUTES | {"offset_group": 4}, form="custom")
    node = only_node(save(wrong, tmp_path))
    assert (node.valid, node.cuda_kernels) == (False, "")
