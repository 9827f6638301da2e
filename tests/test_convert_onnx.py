"""Files from elsewhere become ours, compute the same, or are refused with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import foreign_models
import numpy as np
import onnx
import onnx_models
import pytest
from cases import BY_NAME
from exported import attributes, deformable
from foreign_models import FOREIGN, Foreign
from gather_models import TWO, WRITTEN
from node_problems import arrays_of, float64_output, relative_error
from onnx import TensorProto, helper

import dcn_deploy
from dcn_deploy import ConversionError, VerificationError, convert_onnx
from dcn_deploy.contract import contract
from dcn_deploy.exporting import decomposition
from dcn_deploy.exporting.forms import FORMS
from dcn_deploy.inspection import inspect_model
from dcn_deploy.rewriting import check, foreign_nodes, gathers
from dcn_deploy.runtimes.onnxruntime import ort_session, run, stock_session

HERE = Path(__file__).parent
ARRAYS = arrays_of(BY_NAME["asymmetric"])
ATTRIBUTES = BY_NAME["asymmetric"].attributes()


def saved(model: onnx.ModelProto, folder: Path, name: str = "in.onnx") -> Path:
    onnx.save(model, folder / name)
    return folder / name


def output_of(path: Path, feed: dict[str, Any]) -> np.ndarray:
    """In our kernel, where the file has a node for it."""
    return run(ort_session(path, override=True), feed)["output"]


# ---- other projects' nodes --------------------------------------------------------------------


@pytest.mark.parametrize("name", FOREIGN)
def test_computes_what_the_project_says(name: str, tmp_path: Path) -> None:
    """Against an evaluator that knows the node from the project's own documentation."""
    kind = FOREIGN[name]
    model = foreign_models.model(kind)
    feed = foreign_models.feeds(model)
    expected = foreign_models.evaluate(model, feed).astype(np.float64)
    source = saved(model, tmp_path)
    report = convert_onnx(source, tmp_path / "out.onnx")
    assert report.verification is not None
    assert report.verification.passed
    assert [node.was.rpartition("::")[2] for node in report.nodes] == [kind.op]
    (node,) = deformable(tmp_path / "out.onnx")
    assert node.name == "deform"
    assert attributes(node).items() >= kind.case.attributes().items()
    assert len(node.input) == 5 - (not kind.case.mask)
    assert relative_error(output_of(tmp_path / "out.onnx", feed), expected) <= 1e-6
    assert kind.op in inspect_model(tmp_path / "out.onnx").nodes[0].origin


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["mmcv v2", "DCNv2", "Plugin"])
def test_in_every_form(name: str, form: Any, tmp_path: Path) -> None:
    model = foreign_models.model(FOREIGN[name])
    feed = foreign_models.feeds(model)
    source, path = saved(model, tmp_path), tmp_path / "out.onnx"
    report = convert_onnx(source, path, to=form, verify=False)
    assert report.verification is None
    onnx.checker.check_model(path, full_check=True)
    assert bool(deformable(path)) == (form != "decomposed")
    # Only as new as the form needs: old runtimes read it.
    assert report.opset == {"portable": 19, "standard": 19, "custom": 11, "decomposed": 16}[form]
    expected = foreign_models.evaluate(model, feed).astype(np.float64)
    assert relative_error(output_of(path, feed), expected) <= 2e-6


def test_inputs_may_be_of_any_size(tmp_path: Path) -> None:
    """A network that computes its offsets, with nodes that opset 13 spells differently."""
    source, path = saved(_network(), tmp_path), tmp_path / "out.onnx"
    report = convert_onnx(source, path)
    assert report.verification is not None
    assert len(report.verification.sides[0].cases) == 4, "other sizes are compared too"
    assert report.opset == 19
    assert report.source_opset == 11
    random = np.random.default_rng(0)
    for batch, height, width in ((1, 9, 14), (3, 20, 8)):
        feed = {"image": random.normal(size=(batch, 4, height, width)).astype(np.float32)}
        expected = foreign_models.evaluate(onnx.load(source), feed).astype(np.float64)
        for converted in (output_of(path, feed), run(stock_session(path), feed)["output"]):
            assert relative_error(converted, expected) <= 1e-5


def _network() -> onnx.ModelProto:
    text = """<ir_version: 6, opset_import: ["" : 11, "mmcv" : 1]>
    network (float[N, 4, H, W] image) => (float[N, 6, h, w] output) {
        moves = Conv<pads = [1, 1, 1, 1]>(image, move)
        shift = Slice(moves, zero, eighteen, one)
        rest = Slice(moves, eighteen, twentyseven, one)
        mask = Sigmoid(rest)
        first = mmcv.MMCVModulatedDeformConv2d<stride = [1, 1], padding = [1, 1],
            dilation = [1, 1], groups = 2, deform_groups = 1>(image, shift, mask, weight)
        more = Unsqueeze<axes = [0]>(first)
        less = Squeeze<axes = [0]>(more)
        positive = Relu(less)
        output = mmcv.MMCVDeformConv2d<stride = [1, 1], padding = [1, 1], dilation = [1, 1],
            groups = 2, deform_groups = 1, bias = 0, im2col_step = 32>(positive, shift, weight2)
    }"""
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(3)
    shapes = {"move": (27, 4, 3, 3), "weight": (6, 2, 3, 3), "weight2": (6, 3, 3, 3)}
    constants: dict[str, np.ndarray] = {
        name: (random.normal(size=shape) * 0.3).astype(np.float32) for name, shape in shapes.items()
    }
    numbers = {"zero": 0, "one": 1, "eighteen": 18, "twentyseven": 27}
    constants |= {name: np.array([number]) for name, number in numbers.items()}
    for name, array in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def test_sizes_settle_which_order_a_tensorrt_node_has(tmp_path: Path) -> None:
    kind = FOREIGN["TensorRT's plugin"]
    (node,) = deformable(_converted(foreign_models.model(kind), tmp_path))
    assert attributes(node)["strides"] == list(kind.case.stride)
    # The same sizes as an exporter of PyTorch's writes them: height first.
    exporters = {
        "stride": list(kind.case.stride),
        "padding": list(kind.case.pads[:2]),
        "dilation": list(kind.case.dilation),
    }
    (node,) = deformable(_converted(foreign_models.model(kind, **exporters), tmp_path))
    assert attributes(node).items() >= kind.case.attributes().items()


def test_sizes_that_settle_nothing(tmp_path: Path) -> None:
    case = replace(BY_NAME["asymmetric"], size=(9, 9), kernel=(3, 3), stride=(1, 1),
                   pads=(1, 2, 1, 2), dilation=(1, 2))  # fmt: skip
    kind = replace(FOREIGN["TensorRT's plugin"], case=case)
    with pytest.raises(ConversionError, match=r"'deform' .*the tensors' sizes fit both"):
        _converted(foreign_models.model(kind), tmp_path)


def _converted(model: onnx.ModelProto, folder: Path, **options: Any) -> Path:
    convert_onnx(saved(model, folder), folder / "out.onnx", verify=False, **options)
    return folder / "out.onnx"


# ---- nodes that are not understood -------------------------------------------------------------

BAD_ATTRIBUTES: dict[str, tuple[str, dict[str, Any], str]] = {
    "three strides": ("mmcv v2", {"stride": [1, 1, 1]}, r"stride has 3 values, \[1, 1, 1\]"),
    "text": ("mmcv v2", {"stride": "two"}, "attribute stride is 'two', expected integers"),
    "a fraction": ("mmcv v2", {"dilation": [1.0, 1.0]}, "attribute dilation is "),
    "unknown": ("mmcv v2", {"flavour": 3}, "has the unknown attribute flavour"),
    "two spellings": ("mmcv v2", {"group": 1}, "has both group and groups"),
    "a list of groups": ("mmcv v2", {"groups": [1, 2]}, r"groups is \[1, 2\], expected one number"),
    "wrong groups": ("mmcv v2", {"groups": 5}, "expected a multiple of group = 5"),
    "wrong offset groups": ("mmcv v2", {"deform_groups": 2}, "offset has 36 channels"),
    "zero stride": ("mmcv v2", {"stride": [0, 1]}, r"strides is \[0, 1\]"),
    "negative padding": ("mmcv v2", {"padding": [-1, 1]}, "pads"),
    "a bias where none is": ("mmcv v1", {"bias": 1}, "bias is 1, expected 0"),
    "four pads in another order": ("mmdeploy v1", {"padding": [1, 2, 1, 2]}, r"\(h, h, w, w\)"),
    "no padding": ("DCNv2", {"padding": None}, "lacks its attribute padding"),
    "half a padding": ("yolact::DCNv2", {"padding_w": None}, "lacks its attribute padding"),
    "another kernel": ("OpenVINO's", {"kernel_shape": [5, 5]}, "kernel_shape"),
    "ambiguous pads": ("OpenVINO's", {"pads": [1, 1, 2, 2]}, "OpenVINO reads"),
    "no JSON": ("Plugin", {"info": "stride 1"}, "expected JSON"),
    "JSON of something else": ("Plugin", {"info": "[1, 2]"}, "expected JSON"),
    "absurd JSON": (
        "Plugin",
        {"info": '{"stride": 1, "padding": 1, "dilation": 1, "deformable_groups": 1e30}'},
        "expected JSON",
    ),
    "too little JSON": ("Plugin", {"info": '{"stride": 1}'}, "expected JSON"),
}


@pytest.mark.parametrize("name", BAD_ATTRIBUTES)
def test_attributes_that_mean_nothing(name: str, tmp_path: Path) -> None:
    kind, changes, message = BAD_ATTRIBUTES[name]
    source = saved(foreign_models.model(FOREIGN[kind], **changes), tmp_path)
    with pytest.raises(ConversionError, match=rf"node 'deform' .*{message}"):
        convert_onnx(source, tmp_path / "out.onnx")
    assert os.listdir(tmp_path) == ["in.onnx"]


def _drop_input(node: onnx.NodeProto) -> None:
    del node.input[-2:]


def _empty_input(node: onnx.NodeProto) -> None:
    node.input[1] = ""


def _more_inputs(node: onnx.NodeProto) -> None:
    node.input.append(node.input[0])


def _other_op(node: onnx.NodeProto) -> None:
    node.op_type = "DCNv3"


BAD_NODES = {
    "missing inputs": (_drop_input, "lacks its input weight"),
    "an empty input": (_empty_input, "lacks its input offset"),
    "too many inputs": (_more_inputs, "has 6 inputs, expected input, offset, mask, weight, bias"),
    "an unknown operator": (_other_op, r"the operator mmcv::DCNv3 is not known; known are .*DCNv2"),
}


@pytest.mark.parametrize("name", BAD_NODES)
def test_nodes_that_are_malformed(name: str, tmp_path: Path) -> None:
    spoil, message = BAD_NODES[name]
    model = foreign_models.model(FOREIGN["mmcv v2"])
    spoil(model.graph.node[1])
    with pytest.raises(ConversionError, match=rf"node 'deform'.*{message}"):
        convert_onnx(saved(model, tmp_path), tmp_path / "out.onnx")
    assert os.listdir(tmp_path) == ["in.onnx"]


def _named(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    return next(attribute for attribute in node.attribute if attribute.name == name)


STANDARD_SPOILS: dict[str, tuple[Callable[[onnx.NodeProto], object], str]] = {
    "unknown attribute": (
        lambda node: node.attribute.append(helper.make_attribute("deform_groups", 1)),
        "unknown attribute deform_groups, expected kernel_shape, strides",
    ),
    "attribute of another kind": (
        lambda node: _named(node, "strides").CopyFrom(helper.make_attribute("strides", 1)),
        "attribute strides is .*, expected INTS",
    ),
    "wrong offset groups": (
        lambda node: _named(node, "offset_group").CopyFrom(
            helper.make_attribute("offset_group", 1)
        ),
        "offset has 36 channels, expected",
    ),
    "missing offset": (lambda node: node.input.__setitem__(2, ""), "offset"),
    "too many inputs": (lambda node: node.input.append("input"), "it has 6 inputs"),
}


@pytest.mark.parametrize("form", ["standard", "portable", "custom"])
@pytest.mark.parametrize("name", STANDARD_SPOILS)
def test_own_nodes_that_are_invalid(name: str, form: str, tmp_path: Path) -> None:
    spoil, message = STANDARD_SPOILS[name]
    model = onnx_models.model(ARRAYS, ATTRIBUTES, form=form)
    spoil(model.graph.node[0])
    with pytest.raises(ConversionError, match=message) as raised:
        convert_onnx(saved(model, tmp_path), tmp_path / "out.onnx", to="standard")
    if form != "portable" or "input" not in name:  # a call of a function is not a node for long
        assert "deform" in str(raised.value)
    assert os.listdir(tmp_path) == ["in.onnx"]


# ---- this project's forms and ONNX's own -------------------------------------------------------


@pytest.mark.parametrize("target", FORMS)
@pytest.mark.parametrize("source", ["standard", "portable", "custom"])
def test_between_the_forms(source: Any, target: Any, tmp_path: Path) -> None:
    model = onnx_models.model(ARRAYS, ATTRIBUTES, form=source, opset=22)
    path = tmp_path / "out.onnx"
    report = convert_onnx(saved(model, tmp_path), path, to=target)
    assert report.verification is not None
    assert report.opset == 22
    for node in deformable(path):
        assert attributes(node).items() >= ATTRIBUTES.items(), "the four pads are kept"
    expected = float64_output(ARRAYS, ATTRIBUTES)
    assert relative_error(output_of(path, onnx_models.feeds(ARRAYS)), expected) <= 2e-6


def test_shared_weights_stay_shared_and_zeros_are_shared(tmp_path: Path) -> None:
    """Two nodes with a mask and no bias get one bias of zeros, and keep one weight."""
    path = tmp_path / "out.onnx"
    convert_onnx(saved(_twins(), tmp_path), path)
    first, second = deformable(path)
    assert first.input[1] == second.input[1] == "weight"
    assert first.input[3] == second.input[3] != ""
    values = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert set(values) == {"weight", first.input[3]}
    assert not values[first.input[3]].any()


def _twins() -> onnx.ModelProto:
    arrays = arrays_of(BY_NAME["no_bias"])
    model = onnx_models.model(arrays, ATTRIBUTES, form="standard")
    twin = onnx.NodeProto()
    twin.CopyFrom(model.graph.node[0])
    twin.name, twin.output[0] = "twin", "second"
    model.graph.node.append(twin)
    model.graph.output.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, None))
    return model


def test_inside_an_if(tmp_path: Path) -> None:
    """A node in a branch is rewritten too; it can only be compared through the outputs."""
    inner = onnx_models.model(ARRAYS, ATTRIBUTES, form="standard").graph
    branch = helper.make_graph(
        list(inner.node), "branch", [], list(inner.output), inner.initializer
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["output_else"], ["output"])], "other", [], list(inner.output)
    )
    inputs = [*inner.input, helper.make_tensor_value_info("choice", TensorProto.BOOL, [])]
    inputs.append(helper.make_tensor_value_info("output_else", TensorProto.FLOAT, [None] * 4))
    node = helper.make_node("If", ["choice"], ["output"], then_branch=branch, else_branch=other)
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "graph", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    path = _converted(model, tmp_path)
    feed = onnx_models.feeds(ARRAYS)
    feed |= {"choice": np.array(True), "output_else": np.zeros((1, 1, 1, 1), np.float32)}
    assert inspect_model(path).nodes[0].form == "portable"
    expected = float64_output(ARRAYS, ATTRIBUTES)
    assert relative_error(output_of(path, feed), expected) <= 1e-6


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_keeps_offsets_in_float32(precision: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    report = convert_onnx(saved(_network(), tmp_path), path, to="custom", precision=precision)
    assert report.precision == precision
    assert report.verification is not None
    for node in inspect_model(path).nodes:
        assert node.dtype == precision
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    for proto in deformable(path):
        assert kinds[proto.input[2]] == TensorProto.FLOAT
    assert {v.type.tensor_type.elem_type for v in model.graph.input} == {TensorProto.FLOAT}


# ---- deform_conv2d_onnx_exporter ---------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that the exporter wrote."""
    folder = tmp_path_factory.mktemp("gathered")
    environment = dict(os.environ) | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, str(HERE / "gather_models.py"), str(folder)]
    subprocess.run(command, env=environment, check=True, timeout=300)
    return folder


@pytest.mark.parametrize("name", WRITTEN)
def test_gathers_fold_into_one_node(name: str, gathered: Path, tmp_path: Path) -> None:
    case, path = WRITTEN[name].case, tmp_path / "out.onnx"
    assert len(onnx.load(gathered / f"{name}.onnx").graph.node) > 100
    report = convert_onnx(gathered / f"{name}.onnx", path)
    assert report.verification is not None
    model = onnx.load(path)
    assert [node.op_type for node in model.graph.node] == [contract().op]
    assert len(model.graph.initializer) == 2, "weight and bias"
    wanted = case.attributes()
    if name == "one_output":  # one output says nothing of strides
        wanted |= {"strides": [1, 1]}
    assert attributes(model.graph.node[0]).items() >= wanted.items()
    arrays = arrays_of(case)
    expected = float64_output(arrays, case.attributes())
    assert relative_error(output_of(path, onnx_models.feeds(arrays)), expected) <= 1e-6


def test_two_layers_that_share_their_weights(gathered: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    report = convert_onnx(gathered / "two.onnx", path)
    assert report.verification is not None
    model = onnx.load(path)
    first, second = deformable(path)
    assert first.input[1] == second.input[1]
    assert first.input[3] == second.input[3]
    assert "GatherND" not in {node.op_type for node in model.graph.node}
    feed = onnx_models.feeds(arrays_of(TWO))
    expected = run(stock_session(gathered / "two.onnx"), feed)["output"].astype(np.float64)
    assert relative_error(output_of(path, feed), expected) <= 1e-5


def _shift_a_position(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Constant" and len(node.attribute[0].t.dims) == 6:
            positions = onnx.numpy_helper.to_array(node.attribute[0].t).copy()
            positions[0, 0, 2, 0, 1, 1] += 1
            node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(positions))


def _add_instead_of_floor(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Floor").op_type = "Ceil"


def _mirror(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Pad").attribute[0].s = b"reflect"


@pytest.mark.parametrize("spoil", [_shift_a_position, _add_instead_of_floor, _mirror])
def test_gathers_that_compute_something_else(
    spoil: Callable[[onnx.ModelProto], None], gathered: Path, tmp_path: Path
) -> None:
    """What only looks like the operator is not taken for it, verified or not."""
    model = onnx.load(gathered / "gather_nd.onnx")
    spoil(model)
    with pytest.raises(ConversionError, match=r"node '/Conv' ends .* computes something else"):
        convert_onnx(saved(model, tmp_path), tmp_path / "out.onnx", verify=False)
    assert os.listdir(tmp_path) == ["in.onnx"]


# ---- what is written, and when -----------------------------------------------------------------


def test_a_wrong_rewrite_is_found_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = foreign_nodes.read

    def wrong(entry: Any) -> Any:
        reading = read(entry)
        return replace(reading, attributes=dict(reading.attributes) | {"pads": [2, 1, 0, 3]})

    monkeypatch.setattr(foreign_nodes, "read", wrong)
    source = saved(foreign_models.model(FOREIGN["mmcv v2"]), tmp_path)
    (tmp_path / "out.onnx").write_bytes(b"older")
    with pytest.raises(VerificationError, match="pads is"):
        convert_onnx(source, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == b"older"
    assert sorted(os.listdir(tmp_path)) == ["in.onnx", "out.onnx"]


def test_a_wrong_decomposition_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decomposition, "_FAR", 1.0)
    source = saved(onnx_models.model(ARRAYS, ATTRIBUTES), tmp_path)
    with pytest.raises(VerificationError, match="does not agree"):
        convert_onnx(source, tmp_path / "out.onnx", to="decomposed")
    assert os.listdir(tmp_path) == ["in.onnx"]


def test_onto_itself_and_with_weights_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = foreign_models.model(FOREIGN["mmcv v2"])
    feed = foreign_models.feeds(model)
    expected = foreign_models.evaluate(model, feed).astype(np.float64)
    onnx.save(model, path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    convert_onnx(path, path)
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert relative_error(output_of(path, feed), expected) <= 1e-6
    convert_onnx(path, tmp_path / "far" / "off.onnx", external_data=True)
    assert sorted(os.listdir(tmp_path / "far")) == ["off.onnx", "off.onnx.data"]
    assert relative_error(output_of(tmp_path / "far" / "off.onnx", feed), expected) <= 1e-6


def test_what_the_file_said_of_itself_is_kept(tmp_path: Path) -> None:
    model = foreign_models.model(FOREIGN["mmcv v2"])
    model.producer_name = "their exporter"
    helper.set_model_props(model, {"classes": "cat, dog"})
    converted = onnx.load(_converted(model, tmp_path))
    assert converted.producer_name == "their exporter"
    props = {entry.key: entry.value for entry in converted.metadata_props}
    assert props["classes"] == "cat, dog"
    assert props["dcn_deploy.form"] == "portable"
    assert props["dcn_deploy.converted_from"] == "mmcv::MMCVModulatedDeformConv2d"
    assert {entry.domain for entry in converted.opset_import} == {"", "dcn_deploy"}


def test_a_model_without_any(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))
    with pytest.raises(ConversionError, match="has no deformable convolution"):
        _converted(model, tmp_path)


def test_too_large_to_verify_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_MOST_OPERATIONS", 1000)
    source = saved(foreign_models.model(FOREIGN["mmcv v2"]), tmp_path)
    with pytest.warns(UserWarning, match="not verified.*give smaller sizes"):
        report = convert_onnx(source, tmp_path / "out.onnx")
    assert report.verification is None
    assert "G operations" in str(report)


def test_inputs_that_cannot_be_made_up(tmp_path: Path) -> None:
    model = onnx_models.model(ARRAYS, ATTRIBUTES, shapes=onnx_models.DYNAMIC_SHAPES)
    source, path = saved(model, tmp_path), tmp_path / "out.onnx"
    # The sizes of image and offset depend on each other, which the file does not say.
    with pytest.raises(dcn_deploy.InputError, match="cannot run on the inputs"):
        convert_onnx(source, path)
    sizes = {name: ARRAYS[name].shape for name in ("input", "offset", "mask")}  # type: ignore[union-attr]
    report = convert_onnx(source, path, sizes=sizes)
    assert report.verification is not None
    with pytest.raises(dcn_deploy.InputError, match="no input 'image'"):
        convert_onnx(source, path, sizes={"image": [1]})


@pytest.mark.parametrize("argument", [{"to": "portabel"}, {"precision": "fp16"}])
def test_arguments_that_are_none(argument: dict[str, Any], tmp_path: Path) -> None:
    (name,) = argument
    with pytest.raises(ValueError, match=f"{name} is '{argument[name]}', expected one of"):
        convert_onnx(tmp_path / "in.onnx", tmp_path / "out.onnx", **argument)


def test_every_skeleton_is_tried(gathered: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The trial is what keeps a wrong reading of the skeleton from being written."""
    attributes_of = gathers._attributes

    def wrong(*arguments: Any) -> Any:
        return attributes_of(*arguments) | {"dilations": [2, 1], "pads": [0, 0, 0, 0]}

    monkeypatch.setattr(gathers, "_attributes", wrong)
    with pytest.raises(ConversionError, match="computes something else"):
        convert_onnx(gathered / "gather_nd.onnx", tmp_path / "out.onnx", verify=False)


def test_foreign_kinds_are_asymmetric() -> None:
    """Sizes that are alike would hide a swap; where a project allows, they differ."""
    alike = {name for name, kind in FOREIGN.items() if _is_symmetric(kind)}
    assert alike == {"DCNv2"}, "whose sizes are one number each"


def _is_symmetric(kind: Foreign) -> bool:
    return len(set(kind.case.stride)) == 1
