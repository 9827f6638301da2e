"""Whole verifications: right files pass, and every kind of wrong one fails with its place named."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from cases import Case, make_inputs
from exported import Layer, Network, arguments
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import dcn_deploy
from dcn_deploy import availability
from dcn_deploy.contract import contract
from dcn_deploy.exporting import export
from dcn_deploy.model_inputs import InputError
from dcn_deploy.tolerances import MODEL_TOLERANCE
from dcn_deploy.verification import SideReport, VerificationError, VerificationReport, verify

DYNAMIC = ({0: "N", 2: "H", 3: "W"},)
IMAGE = (2, 6, 12, 10)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(IMAGE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def exported(
    network: Network, image: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("exported")

    def path(form: str) -> Path:
        file = folder / f"{form}.onnx"
        if not file.exists():
            export(network, (image,), file, form=form, dynamic_shapes=DYNAMIC, verify=False)
        return file

    return path


def tampered(path: Path, folder: Path, change: Callable[[onnx.GraphProto], None]) -> Path:
    """A copy of the file with its graph changed."""
    model = onnx.load(path)
    change(model.graph)
    copied = folder / "tampered.onnx"
    onnx.save(model, copied)
    return copied


def set_attribute(name: str, value: Any, node: int = 0) -> Callable[[onnx.GraphProto], None]:
    """Another value of an attribute of the n-th deformable node."""

    def change(graph: onnx.GraphProto) -> None:
        found = [entry for entry in graph.node if entry.op_type == contract().op][node]
        (attribute,) = [item for item in found.attribute if item.name == name]
        attribute.CopyFrom(helper.make_attribute(name, value))

    return change


def side(report: VerificationReport, name: str) -> SideReport:
    (found,) = [entry for entry in report.sides if entry.name == name]
    return found


def ours(report: VerificationReport) -> SideReport:
    return side(report, availability.OURS)


def stock(report: VerificationReport) -> SideReport:
    return side(report, availability.STOCK)


def node_names(path: Path) -> list[str]:
    ops = (contract().op, "DeformConv")
    return [node.name for node in onnx.load(path).graph.node if node.op_type in ops]


@pytest.mark.parametrize("form", ["portable", "custom", "standard"])
def test_an_exported_file_agrees_everywhere(
    form: str, exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    report = verify(exported(form), network, (image,))

    assert report.passed
    assert report.baseline == "eager Network"
    assert report.node_names == tuple(node_names(exported(form)))
    assert len(report.node_names) == 2
    assert [case.name for case in ours(report).cases] == [
        "given", "random 1", "random 2", "N=4", "N=1", "H=16, W=14", "H=8, W=8",
    ]  # fmt: skip
    for case in ours(report).cases:
        assert len(case.outputs) == 1
        assert len(case.nodes) == 2
        for node in case.nodes:
            assert node.to_float64.tolerance == 1e-6
            assert node.to_baseline is not None
            assert node.baseline_to_float64 is None
    assert ours(report).status == "passed"
    assert stock(report).status == ("not run" if form == "custom" else "passed")
    if form == "custom":
        assert "no function body" in stock(report).not_run
    report.raise_if_failed()


def test_a_model_in_training_mode_is_verified_as_it_is_deployed(
    exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    training = copy.deepcopy(network).train()
    mean = training.norm.running_mean.clone()

    assert verify(exported("portable"), training, image, runs=1, sizes=()).passed
    assert training.training
    assert training.dropout.training
    assert torch.equal(training.norm.running_mean, mean)


def test_one_file_against_another(
    exported: Callable[[str], Path], image: Tensor, tmp_path: Path
) -> None:
    report = verify(exported("standard"), exported("custom"), (image,), runs=1)
    assert report.passed
    assert report.baseline == str(exported("custom"))
    assert ours(report).cases[0].nodes[1].to_baseline is not None

    other = tampered(exported("custom"), tmp_path, set_attribute("pads", [2, 1, 1, 0]))
    assert not verify(exported("standard"), other, (image,), runs=1, sizes=()).passed


# What keeps the output size passes every check of shapes: only the numbers can tell.
@pytest.mark.parametrize(
    ("name", "value", "node"),
    [("pads", [2, 1, 1, 0], 0), ("group", 1, 0), ("pads", [2, 0, 0, 2], 1)],
)
def test_a_tampered_attribute_is_found_and_its_node_named(
    name: str,
    value: Any,
    node: int,
    exported: Callable[[str], Path],
    network: Network,
    image: Tensor,
    tmp_path: Path,
) -> None:
    path = tampered(exported("portable"), tmp_path, set_attribute(name, value, node))
    report = verify(path, network, (image,), runs=1)

    assert not report.passed
    names = node_names(path)
    for entry in report.sides:
        assert entry.status == "failed"
        case = entry.first_failure
        assert case is not None
        if case.error:  # group = 1 does not fit the weight: the runtime says so
            assert name == "group"
            assert names[node] in case.error
        else:
            assert case.first_difference is not None
            assert case.first_difference.name == names[node]
            assert f"attribute {name} is {value} in the model" in case.first_difference.cause
    assert repr(names[node]) in report.summary
    with pytest.raises(VerificationError, match="does not agree") as raised:
        report.raise_if_failed()
    assert raised.value.report is report


def test_a_tampered_stride_fails_with_the_node_named(
    exported: Callable[[str], Path], network: Network, image: Tensor, tmp_path: Path
) -> None:
    path = tampered(exported("portable"), tmp_path, set_attribute("strides", [1, 2]))
    report = verify(path, network, (image,), runs=1, sizes=())

    assert not report.passed
    assert ours(report).status == "failed"
    assert repr(node_names(path)[0]) in report.summary


def corrupt(name_part: str) -> Callable[[onnx.GraphProto], None]:
    def change(graph: onnx.GraphProto) -> None:
        (weight,) = [item for item in graph.initializer if name_part in item.name]
        values = numpy_helper.to_array(weight).copy()
        values.flat[5] += 1
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))

    return change


def test_a_corrupted_weight_is_found_and_its_node_named(
    exported: Callable[[str], Path], network: Network, image: Tensor, tmp_path: Path
) -> None:
    path = tampered(exported("portable"), tmp_path, corrupt("second.weight"))
    report = verify(path, network, (image,), runs=1, sizes=())

    for entry in report.sides:
        case = entry.first_failure
        assert case is not None
        assert [check.ok for check in case.nodes] == [True, False]
        assert "its weight differs" in case.nodes[1].cause
        assert case.nodes[1].to_float64.ok  # the kernel did what the file says
        low, high = case.nodes[1].offset_range
        assert low < 0 < high


def test_an_offset_from_a_corrupted_layer_is_named_as_the_offset(
    exported: Callable[[str], Path], network: Network, image: Tensor, tmp_path: Path
) -> None:
    path = tampered(exported("portable"), tmp_path, corrupt("second.offset_conv.weight"))
    node = ours(verify(path, network, (image,), runs=1, sizes=())).cases[0].first_difference

    assert node is not None
    assert node.name == node_names(path)[1]
    assert "its offset differs" in node.cause
    assert "weight" not in node.cause


def test_a_fault_that_is_in_no_deformable_node_blames_none(
    exported: Callable[[str], Path], network: Network, image: Tensor, tmp_path: Path
) -> None:
    def negate(graph: onnx.GraphProto) -> None:
        name = graph.output[0].name
        graph.node[-1].output[0] = "inner"
        graph.node.append(helper.make_node("Neg", ["inner"], [name], name="negate"))

    report = verify(tampered(exported("portable"), tmp_path, negate), network, image, runs=1)
    case = ours(report).cases[0]

    assert not report.passed
    assert not case.outputs[0].ok
    assert case.first_difference is None
    assert case.outputs[0].difference is not None
    assert case.outputs[0].difference.error == pytest.approx(2)


def test_the_tolerance_decides(
    exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    report = verify(exported("portable"), network, image, runs=1, sizes=(), tolerance=1e-12)
    assert not report.passed
    assert ours(report).cases[0].outputs[0].difference is not None
    assert ours(report).cases[0].outputs[0].difference.tolerance == 1e-12
    default = verify(exported("portable"), network, image, runs=1, sizes=())
    assert ours(default).cases[0].outputs[0].difference is not None
    assert ours(default).cases[0].outputs[0].difference.tolerance == MODEL_TOLERANCE["float32"]


def test_sizes_that_the_model_cannot_take_are_noted_and_passed_over(
    exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    def picky(x: Tensor) -> Tensor:
        if x.shape[2] % 8 == 4:
            return network(x)
        raise RuntimeError("height must be 4 more than a multiple of 8")

    report = verify(exported("portable"), picky, image, runs=1)

    assert report.passed
    assert [case.name for case in ours(report).cases] == ["given", "N=4", "N=1"]
    assert sum("height must be 4 more" in note for note in report.notes) == 2
    assert report.baseline == "eager picky"
    assert "no other size could be confirmed" not in report.summary


def test_a_model_that_takes_no_other_size_is_said_to(
    exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    def rigid(x: Tensor) -> Tensor:
        assert x.shape == IMAGE
        return network(x)

    report = verify(exported("portable"), rigid, image, runs=1)
    assert report.passed
    assert report.summary.endswith("; no other size could be confirmed")


def test_a_file_that_cannot_take_a_size_that_the_model_takes_fails(
    network: Network, image: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "fixed.onnx"
    export(network, (image,), path, verify=False)

    def declare_dynamic(graph: onnx.GraphProto) -> None:
        nodes = graph.node
        batch = graph.input[0].type.tensor_type.shape.dim[0]
        batch.ClearField("dim_value")
        batch.dim_param = "N"
        fixed = numpy_helper.from_array(np.array([2, *[0] * 3], "int64"), "fixed")
        graph.initializer.append(fixed)
        name = graph.output[0].name
        nodes[-1].output[0] = "inner"
        nodes.append(helper.make_node("Reshape", ["inner", "fixed"], [name], name="bake"))
        del graph.output[0].type.tensor_type.shape.dim[:]
        del graph.value_info[:]

    path = tampered(path, tmp_path, declare_dynamic)
    report = verify(path, network, image, runs=1)

    assert not report.passed
    assert ours(report).cases[0].ok
    assert [case.name for case in ours(report).cases if not case.ok] == ["N=4", "N=1"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_every_dtype_of_the_contract(dtype: str, tmp_path: Path) -> None:
    case = Case("dtype")
    inputs = make_inputs(case, getattr(torch, dtype))
    layer = Layer(case, inputs)
    path = tmp_path / "layer.onnx"
    export(layer, arguments(inputs), path, verify=False)
    report = verify(path, layer, arguments(inputs))

    assert report.passed
    assert ours(report).status == "passed"
    difference = ours(report).cases[0].outputs[0].difference
    assert difference is not None
    assert difference.tolerance == MODEL_TOLERANCE[dtype]
    # On the CPU both are one kernel.
    assert difference.error == 0
    assert stock(report).status == ("not run" if dtype == "bfloat16" else "passed")


def test_nothing_compared_is_a_failure(tmp_path: Path) -> None:
    """onnxruntime has no bfloat16 convolution on the CPU."""
    model, image = Network().eval().bfloat16(), torch.randn(IMAGE).bfloat16()
    path = tmp_path / "bfloat16.onnx"
    export(model, (image,), path, verify=False)
    report = verify(path, model, image)

    assert [entry.status for entry in report.sides] == ["not run", "not run"]
    assert not report.passed
    assert "nothing could be compared" in report.summary
    assert all(entry.not_run for entry in report.sides)


@pytest.mark.parametrize("baseline", ["eager", "file"])
def test_outputs_of_nan_alone_show_nothing(
    baseline: str, network: Network, image: Tensor, tmp_path: Path
) -> None:
    spoiled = copy.deepcopy(network)
    nn.init.constant_(spoiled.second.bias, torch.nan)
    path = tmp_path / "spoiled.onnx"
    export(spoiled, image, path, verify=False)
    report = verify(path, spoiled if baseline == "eager" else path, image, runs=1)

    assert not report.passed
    assert [entry.status for entry in report.sides] == ["failed", "failed"]
    assert [case.compared for case in ours(report).cases] == [0]
    assert "is not shown to agree" in report.summary
    assert "nothing compared: no output of the baseline has a finite element" in report.summary


def test_an_empty_batch_shows_nothing(
    exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    report = verify(exported("portable"), network, image, runs=1, sizes=[{"N": 0}])

    assert [case.ok for case in ours(report).cases] == [True, False]
    assert "fails on the inputs 'N=0':\n  nothing compared" in report.summary


def test_nan_beside_finite_values_is_a_difference(
    exported: Callable[[str], Path], network: Network, image: Tensor, tmp_path: Path
) -> None:
    def spoil(graph: onnx.GraphProto) -> None:
        (weight,) = [item for item in graph.initializer if "second.weight" in item.name]
        values = numpy_helper.to_array(weight) * np.float32("nan")
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))

    path = tampered(exported("standard"), tmp_path, spoil)
    assert "does not agree" in verify(path, network, image, runs=1, sizes=()).summary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": 0}, "runs is 0, expected at least 1"),
        ({"tolerance": -1.0}, "tolerance is -1.0, expected 0 or more"),
        ({"tolerance": float("nan")}, "tolerance is nan, expected 0 or more"),
        ({"model": 3}, "model is 3, expected a module, a function or the path"),
    ],
)
def test_arguments_that_cannot_be_meant(
    arguments: Any, message: str, exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    given = {"model": network, "args": image} | arguments
    with pytest.raises(ValueError, match=message):
        verify(exported("portable"), **given)


def test_offsets_that_are_all_zero_are_noted(image: Tensor, tmp_path: Path) -> None:
    fresh = dcn_deploy.DeformConv2d(6, 4, 3)
    path = tmp_path / "fresh.onnx"
    export(fresh, image, path, verify=False)
    report = verify(path, fresh, image)
    nn.init.normal_(fresh.offset_conv.weight)
    export(fresh, image, path, verify=False)
    trained = verify(path, fresh, image)

    assert report.passed
    note = "every offset is 0, as in a fresh layer: sampling between pixels was not exercised"
    assert [note in text for text in report.notes] == [True]
    assert trained.notes == ()


def test_without_the_library_the_rest_is_compared(
    exported: Callable[[str], Path],
    network: Network,
    image: Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DCN_DEPLOY_LIBRARY_DIR", str(tmp_path))
    report = verify(exported("portable"), network, image, runs=1, sizes=())

    assert ours(report).status == "not run"
    assert "libdcn_deploy_onnxruntime.so" in ours(report).not_run
    assert stock(report).status == "passed"
    assert report.passed
    assert not verify(exported("custom"), network, image, runs=1, sizes=()).passed


def test_weights_beside_the_file_are_found_from_any_folder(
    network: Network, image: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    export(network, (image,), folder / "big.onnx", external_data=True, verify=False)
    assert (folder / "big.onnx.data").exists()
    monkeypatch.chdir(tmp_path)
    report = verify("model/big.onnx", network, image, runs=1)

    assert report.passed
    assert [len(case.nodes) for case in ours(report).cases] == [2]
    assert [len(case.nodes) for case in stock(report).cases] == [2]


class Indexed(nn.Module):
    """Integers in and out, two tensors besides, one of them by name."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 4)
        self.layer = dcn_deploy.DeformConv2d(4, 3, 3, padding=1)
        nn.init.normal_(self.layer.offset_conv.weight)

    def forward(self, index: Tensor, image: Tensor, *, scale: Tensor) -> tuple[Tensor, Tensor]:
        features = image * scale + self.table(index)[:, :, None, None]
        out = self.layer(features)
        return out, out.argmax(dim=1)


def test_integers_and_arguments_by_name(tmp_path: Path) -> None:
    model = Indexed().eval()
    args = (torch.tensor([3, 19]), torch.randn(2, 4, 6, 5))
    kwargs = {"scale": torch.tensor([[[[2.0]]]])}
    path = tmp_path / "indexed.onnx"
    export(model, args, path, kwargs=kwargs, verify=False)
    report = verify(path, model, args, kwargs)

    assert report.passed
    outputs = ours(report).cases[1].outputs
    assert [check.dtype for check in outputs] == ["float32", "int64"]
    assert [check.shape for check in outputs] == [(2, 3, 6, 5), (2, 6, 5)]
    with pytest.raises(InputError, match=r"args and kwargs hold 2 tensors, .* takes 3: index"):
        verify(path, model, args)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            torch.zeros(2, 5, 12, 10),
            r"is float32 \[2, 5, 12, 10\], expected float32 \[N, 6, H, W\]",
        ),
        (torch.zeros(2, 6, 12), "expected float32"),
        (torch.zeros(IMAGE).double(), r"is float64 \[2, 6, 12, 10\], expected float32"),
    ],
)
def test_arguments_that_do_not_fit_the_file(
    wrong: Tensor, message: str, exported: Callable[[str], Path], network: Network
) -> None:
    with pytest.raises(InputError, match=message):
        verify(exported("portable"), network, wrong)


def test_a_baseline_that_cannot_run_is_told_so(
    exported: Callable[[str], Path], image: Tensor
) -> None:
    def broken(x: Tensor) -> Tensor:
        raise ZeroDivisionError("here")

    with pytest.raises(InputError, match=r"eager broken cannot run .* ZeroDivisionError: here"):
        verify(exported("portable"), broken, image)


def test_a_baseline_file_that_runs_nowhere_is_told_so(
    exported: Callable[[str], Path], image: Tensor, tmp_path: Path
) -> None:
    def rename(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if node.op_type == contract().op:
                node.op_type = "MyDeformConv"

    other = tampered(exported("custom"), tmp_path, rename)
    with pytest.raises(InputError, match=r"tampered\.onnx cannot run here: .*MyDeformConv"):
        verify(exported("portable"), other, image)
    report = verify(other, exported("portable"), image, runs=1)
    assert [entry.status for entry in report.sides] == ["not run", "not run"]
    assert not report.passed


def test_a_baseline_with_other_outputs_is_a_failure(
    exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    report = verify(exported("portable"), lambda x: (network(x), x), image, runs=1, sizes=())
    assert "1 outputs, the baseline has 2" in report.summary
    shaped = verify(exported("portable"), lambda x: network(x)[:, :2], image, runs=1, sizes=())
    assert "the baseline's is [2, 2, 6, 10]" in shaped.summary


def test_nodes_in_a_branch_are_compared_through_the_outputs(tmp_path: Path) -> None:
    layer = dcn_deploy.DeformConv2d(3, 2, 3, padding=1)
    image = torch.randn(1, 3, 5, 6)
    path = tmp_path / "plain.onnx"
    export(layer, (image,), path, form="standard", verify=False)
    model = onnx.load(path)
    body = onnx.GraphProto()
    body.CopyFrom(model.graph)
    del body.input[:]
    outer = helper.make_graph(
        [
            helper.make_node(
                "If", ["which"], ["y"], name="choice", then_branch=body, else_branch=body
            )
        ],
        "outer",
        [*model.graph.input, helper.make_tensor_value_info("which", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 5, 6])],
    )
    wrapped = helper.make_model(outer, opset_imports=model.opset_import, ir_version=9)
    onnx.save(wrapped, path)
    report = verify(path, lambda x, which: layer(x), (image, torch.tensor(True)), runs=1)

    assert report.passed
    assert report.node_names == ()
    assert sum("is inside choice" in note for note in report.notes) == 2


def test_a_file_without_deformable_nodes_is_compared_by_its_outputs(tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value], [result])
    opsets = [helper.make_opsetid("", 19)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    report = verify(path, torch.neg, torch.randn(3))

    assert report.passed
    assert any("has no deformable node" in note for note in report.notes)
    assert not verify(path, torch.abs, torch.randn(3)).passed


def test_nan_on_one_side_fails_and_on_both_passes(
    exported: Callable[[str], Path], network: Network, image: Tensor
) -> None:
    holey = image.clone()
    holey[0, 0, 0, 0] = torch.nan
    passed = verify(exported("portable"), network, holey, runs=1, sizes=())
    assert ours(passed).status == "passed"
    assert any(
        re.match(r"output \S+: \d\S* % of the expected values are NaN", n) for n in passed.notes
    )

    def healed(x: Tensor) -> Tensor:
        return network(x).nan_to_num(0.0)

    report = verify(exported("portable"), healed, holey, runs=1, sizes=())
    assert not report.passed
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["sides"][0]["cases"][0]["outputs"][0]["difference"]["error"] == "inf"


def test_the_report_as_data_and_as_text(
    exported: Callable[[str], Path], network: Network, image: Tensor, tmp_path: Path
) -> None:
    report = verify(exported("portable"), network, image)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["passed"] is True
    assert [entry["status"] for entry in data["sides"]] == ["passed", "passed"]
    assert data["sides"][0]["cases"][0]["ok"] is True
    assert "agrees with eager Network on 7 sets of inputs" in " ".join(str(report).split())

    path = tampered(exported("portable"), tmp_path, set_attribute("pads", [2, 1, 1, 0]))
    failed = verify(path, network, image, runs=1)
    assert failed.to_dict()["passed"] is False
    text = str(failed)
    assert "failed" in text
    assert node_names(path)[0] in text
    assert "fails on the inputs 'given' in the same place" in text
    assert "\x1b" not in text
