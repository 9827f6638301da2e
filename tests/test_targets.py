"""Who takes a node as it is, how much it asks for, and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_models
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_inspection import ATTRIBUTES, arrays

from dcn_deploy import targets
from dcn_deploy import tensorrt_plugins as plugins
from dcn_deploy.contract import contract
from dcn_deploy.exporting.forms import to_form
from dcn_deploy.inspection import ModelReport, inspect_model
from dcn_deploy.model_inputs import InputError
from dcn_deploy.onnx_graph import origin_of
from dcn_deploy.targets import NodeFacts

PLAIN = dict(zip(contract().attributes, ([3, 3], [1, 1], [1] * 4, [1, 1], 1, 1), strict=True))


def verdicts(
    form: str = "portable", dtype: str = "float32", mask: bool = True, bias: bool = True,
    invalid: str = "", **attributes: Any,
) -> dict[str, targets.Verdict]:  # fmt: skip
    facts = NodeFacts(
        Path("a folder/my model.onnx"),
        form,  # type: ignore[arg-type]
        dtype,
        PLAIN | attributes,
        mask,
        bias,
        invalid,
    )
    return {verdict.runtime: verdict for verdict in targets.targets(facts)}


RULED = [targets.ORT_OURS, targets.ORT_OLD, targets.ORT_CPU, targets.ORT_CUDA, targets.OPENVINO]
PLUGINS = [plugins.RTX, plugins.NEWER, plugins.OLDER, plugins.NEWER_ALONE, plugins.OTHERS_ALONE]


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ({}, [True, False, True, True, False, True]),
        ({"form": "standard"}, [True, False, True, True, False, True]),
        ({"form": "custom"}, [True, False, False, False, False, False]),
        ({"form": "foreign"}, [False] * 6),
        ({"invalid": "offset has 3 channels"}, [False] * 6),
        ({"dtype": "float16"}, [True, False, True, True, False, True]),
        ({"dtype": "bfloat16"}, [True, False, False, True, False, False]),
        ({"dtype": "float64"}, [True, False, True, True, False, False]),
        ({"pads": [1, 0, 1, 1]}, [True, False, True, True, False, False]),
        ({"pads": [1, 0, 1, 0]}, [True, False, True, True, False, False]),
        ({"strides": [2, 1]}, [True, False, True, True, False, False]),
        ({"dilations": [1, 2]}, [True, False, True, True, False, False]),
        ({"mask": False}, [True, False, True, True, False, True]),
        ({"bias": False}, [True, False, True, True, False, False]),
    ],
)
def test_who_takes_it(given: dict[str, Any], runs: list[bool]) -> None:
    found = verdicts(**given)
    assert list(found) == RULED + PLUGINS
    assert [found[name].runs for name in [*RULED, plugins.NEWER_ALONE]] == runs
    assert all(verdict.reason for verdict in found.values())
    ours = given.get("form") != "foreign" and "invalid" not in given
    assert all(found[name].runs == ours for name in PLUGINS[:3])


def test_the_command_that_helps() -> None:
    convert = "dcn-deploy convert 'my model.onnx' 'my model"
    assert verdicts()[targets.OPENVINO].fix == f"{convert}.decomposed.onnx' --to decomposed"
    custom, foreign = verdicts(form="custom"), verdicts(form="foreign")
    for found in (custom[targets.ORT_CPU], foreign[targets.ORT_OURS], foreign[plugins.RTX]):
        assert found.fix == f"{convert}.portable.onnx' --to portable"
    assert "strides" in verdicts(strides=[2, 1])[plugins.NEWER_ALONE].reason
    for name in PLUGINS:
        assert verdicts()[name].fix == "dcn-deploy build 'my model.onnx' -o 'my model.engine'"
    invalid = verdicts(invalid="offset has 3 channels")
    assert invalid[targets.ORT_CPU].fix == invalid[plugins.RTX].fix == ""


# conv 3->6, stride 2; deform 6->8, 3x2, two offset groups, masked; matmul over the last dimension.
def network(height: Any, width: Any, batch: Any = "N") -> onnx.ModelProto:
    weights = {
        "conv": (6, 3, 3, 3), "deform": (8, 6, 3, 2), "bias": (8,), "product": (5, 7),
    }  # fmt: skip
    attributes = {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "offset_group": 2}
    nodes = [
        helper.make_node("Conv", ["x", "conv"], ["a"], strides=[2, 2], pads=[1] * 4),
        helper.make_node(
            contract().op, ["a", "deform", "offset", "bias", "mask"], ["b"],
            domain=contract().domain, **attributes,
        ),
        helper.make_node("MatMul", ["b", "product"], ["y"]),
    ]  # fmt: skip
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, height, width]),
        helper.make_tensor_value_info("offset", TensorProto.FLOAT, [batch, 24, "h", "w"]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, [batch, 12, "h", "w"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(s, "float32"), n) for n, s in weights.items()],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid(contract().domain, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def inspected(model: onnx.ModelProto, folder: Path, **sizes: list[int]) -> ModelReport:
    onnx.save(model, folder / "model.onnx")
    return inspect_model(folder / "model.onnx", sizes=sizes or None)


def test_operations_are_counted(tmp_path: Path) -> None:
    report = inspected(
        network("H", "W"), tmp_path, x=[2, 3, 8, 10], offset=[2, 24, 4, 5], mask=[2, 12, 4, 5]
    )
    pixels = 2 * 4 * 5
    convolution = 2 * pixels * 6 * 3 * 9
    samples = pixels * 6 * 6
    deformable = 2 * pixels * 8 * 6 * 6 + samples * (8 + 1)
    product = 2 * (2 * 8 * 4 * 7) * 5
    assert report.nodes[0].flops == deformable
    assert report.flops == convolution + deformable + product
    assert report.share(report.nodes[0]) == pytest.approx(
        deformable / (convolution + deformable + product)
    )
    assert report.flops_at["x"] == (2, 3, 8, 10)


def test_usual_sizes_stand_in_for_dynamic_ones(tmp_path: Path) -> None:
    report = inspected(network("H", None), tmp_path)
    assert report.flops_at == {
        "x": (1, 3, 256, 256), "offset": (1, 24, 256, 256), "mask": (1, 12, 256, 256),
    }  # fmt: skip


def test_what_is_not_known_is_not_made_up(tmp_path: Path) -> None:
    """The weight's output channels count, and nothing says what a foreign node computes."""
    model = network(8, 10, 2)
    model.graph.node[1].domain, model.graph.node[1].op_type = "mmcv", "MMCVModulatedDeformConv2d"
    model.opset_import.append(helper.make_opsetid("mmcv", 1))
    report = inspected(model, tmp_path)
    assert report.flops is None
    assert report.nodes[0].flops is None
    assert report.share(report.nodes[0]) is None


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"z": [1, 3, 8, 8]}, "no input 'z'"),
        ({"x": [1, 4, 8, 8]}, r"size \[1, 4, 8, 8\] of 'x', expected \[N, 3, H, W\]"),
        ({"x": [1, 3, 8]}, r"size \[1, 3, 8\] of 'x'"),
    ],
)
def test_sizes_that_do_not_fit(sizes: dict[str, list[int]], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        inspected(network("H", "W"), tmp_path, **sizes)


@pytest.mark.parametrize(
    ("note", "scopes", "classes", "origin"),
    [
        ("mmcv::MMCVDeformConv2d conv_3", "", "", "mmcv::MMCVDeformConv2d conv_3"),
        ("File model.py, line 3\nFile net.py, line 4", "", "", ""),
        ("", "['', 'neck', 'neck.conv', 'op']", "['Net', 'Neck', 'nn.Deform', 'aten.op']",
         "neck.conv: nn.Deform"),
        ("", "['', 'op']", "['models.Net', 'aten.op']", "models.Net"),
        ("", "no list", "[]", ""),
        ("", "['op']", "['aten.op']", ""),
    ],
)  # fmt: skip
def test_where_a_node_came_from(
    note: str, scopes: str, classes: str, origin: str, tmp_path: Path
) -> None:
    node = ir.Node("", "DeformConv", [], doc_string=note)
    if scopes:
        node.metadata_props["pkg.torch.onnx.name_scopes"] = scopes
        node.metadata_props["pkg.torch.onnx.class_hierarchy"] = classes
    assert origin_of(node) == origin


@pytest.mark.parametrize("form", ["portable", "standard", "custom", "decomposed"])
def test_openvino_takes_what_the_table_says(form: str, tmp_path: Path) -> None:
    """Run in the release that the tests install: it reads only what has no deformable node left."""
    model = ir.from_proto(onnx_models.model(arrays(), ATTRIBUTES, form="custom"))
    path = tmp_path / "model.onnx"
    ir.save(to_form(model, form), path)  # type: ignore[arg-type]
    nodes = inspect_model(path).nodes
    taken = all(v.runs for node in nodes for v in node.targets if v.runtime == targets.OPENVINO)
    if taken:
        openvino.Core().read_model(path)
    else:
        with pytest.raises(RuntimeError, match=r"DeformConv|dcn_deploy"):
            openvino.Core().read_model(path)
