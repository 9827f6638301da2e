"""What a node's offsets need of their dtype, against offsets whose rounding is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
import torch
from cases import Case, make_inputs
from test_inspection import ATTRIBUTES, arrays

from dcn_deploy.arrays import to_tensor
from dcn_deploy.contract import contract
from dcn_deploy.verification import verify
from dcn_deploy.verification.difference import DECADES, difference
from dcn_deploy.verification.observation import NodeRun
from dcn_deploy.verification.offsets import measure_offsets, positions


def node(offset: torch.Tensor | None = None) -> NodeRun:
    """The asymmetric base case, with its own offsets or others."""
    case = Case("base")
    given = make_inputs(case, torch.float64)
    inputs = {name: getattr(given, name) for name in contract().inputs}
    if offset is not None:
        inputs["offset"] = offset.double().expand_as(given.offset)
    output = torch.zeros(case.batch, case.out_channels, *case.output_size, dtype=torch.float64)
    return NodeRun("n", inputs, output, case.attributes())


@pytest.mark.parametrize(
    ("offset", "float16", "bfloat16"),
    [
        (0.5, 0.0, 0.0),
        (4 + 1 / 64, 0.0, 1 / 64),
        (31 + 1 / 128, 1 / 128, 1 / 128),
        (33 + 1 / 64, 1 / 64, 1 / 64),
        (70000.0, math.inf, 144.0),
    ],
)
def test_rounding(offset: float, float16: float, bfloat16: float) -> None:
    found = measure_offsets(node(torch.tensor(offset)))
    assert found is not None
    assert (found.least, found.greatest, found.usual, found.not_finite) == (offset,) * 3 + (0,)
    assert found.rounding["float16"].moves == float16
    assert found.rounding["bfloat16"].moves == pytest.approx(bfloat16)
    assert found.rounding["float16"].holds is (float16 <= 1 / 128)
    assert found.rounding["bfloat16"].holds is (bfloat16 <= 1 / 128)


def test_an_output_that_changes() -> None:
    """The offsets of the case itself are rounded, and the output follows."""
    found = measure_offsets(node())
    assert found is not None
    half, brain = found.rounding["float16"], found.rounding["bfloat16"]
    assert 0 < half.output_changes < brain.output_changes < 0.1
    assert 0 < half.moves < brain.moves


def test_offsets_that_are_not_finite() -> None:
    offset = node().inputs["offset"].clone()
    offset[0, 0, 0, :2] = torch.tensor([math.nan, math.inf])
    found = measure_offsets(node(offset))
    assert found is not None
    assert found.not_finite == 2
    assert math.isfinite(found.greatest)
    assert measure_offsets(node(torch.tensor(math.nan))) is None


def test_samples_outside() -> None:
    assert measure_offsets(node(torch.tensor(1e6))).outside == 1  # type: ignore[union-attr]
    inside = measure_offsets(node(torch.tensor(0.25)))
    assert inside is not None
    assert 0 < inside.outside < 0.3  # the padding


def test_positions_are_those_that_the_reference_samples() -> None:
    """An image whose pixel (y, x) holds 1 there: found where the positions say."""
    run = node()
    y, x = positions(run)
    stride, pads, dilation = (run.attributes[name] for name in ("strides", "pads", "dilations"))
    offset = run.inputs["offset"]
    kernel_w = run.attributes["kernel_shape"][1]
    groups, taps = y.shape[1:3]
    for group, tap, row, column in ((0, 0, 0, 0), (groups - 1, taps - 1, 2, 1), (1, 1, 1, 3)):
        channel = 2 * (group * taps + tap)
        expected_y = row * stride[0] - pads[0] + tap // kernel_w * dilation[0]
        expected_x = column * stride[1] - pads[1] + tap % kernel_w * dilation[1]
        assert y[1, group, tap, row, column] == expected_y + offset[1, channel, row, column]
        assert x[1, group, tap, row, column] == expected_x + offset[1, channel + 1, row, column]


def saved(
    folder: Path, scale: float, dtype: str = "float32"
) -> tuple[Path, tuple[torch.Tensor, ...]]:
    """A file of one node, and its inputs."""
    generator = np.random.default_rng(0)
    given = {
        name: None if array is None else generator.standard_normal(array.shape).astype(dtype)
        for name, array in arrays(dtype).items()
    }
    given["offset"] *= scale
    path = folder / "model.onnx"
    onnx.save(onnx_models.model(given, ATTRIBUTES, form="portable"), path)
    return path, tuple(to_tensor(array) for array in onnx_models.feeds(given).values())


def test_verify_without_a_model_judges_the_nodes(tmp_path: Path) -> None:
    path, tensors = saved(tmp_path, 1.0)
    report = verify(path, None, tensors)
    assert report.passed
    assert report.baseline == "the float64 reference"
    for side in report.sides:
        assert [case.name for case in side.cases] == ["given", "random 1", "random 2"]
        assert all(len(case.nodes) == 1 and not case.outputs for case in side.cases)
    assert any("compared with nothing" in note for note in report.notes)
    assert report.offset_ranges == {}


def test_verify_warns_of_offsets_that_half_precision_cannot_hold(tmp_path: Path) -> None:
    path, tensors = saved(tmp_path, 40.0)
    report = verify(path, None, tensors, offsets=True)
    assert report.passed
    (found,) = report.offset_ranges.values()
    assert found.greatest > 64
    warnings = [note for note in report.notes if note.startswith("warning: node deform")]
    assert len(warnings) == 2
    assert "float16 cannot hold its offsets" in warnings[0]
    assert "offsets on the given inputs" in str(report)

    small, tensors = saved(tmp_path, 0.1)
    assert not [n for n in verify(small, None, tensors, offsets=True).notes if "warning" in n]


def test_a_model_that_only_fails_is_not_passed(tmp_path: Path) -> None:
    """Without a model too: a file that no runtime loads, and one with nothing to compare."""
    path, tensors = saved(tmp_path, 1.0)
    model = onnx.load(path)
    (pads,) = [item for item in model.graph.node[0].attribute if item.name == "pads"]
    pads.ints[:] = [0, 0, 0, 0]
    onnx.save(model, path)
    report = verify(path, None, tensors)
    assert not report.passed
    assert "fails on the inputs 'given'" in report.summary

    plain = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])],
            "g",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 19)],
        ir_version=9,
    )
    onnx.save(plain, path)
    nothing = verify(path, None, torch.ones(2))
    assert not nothing.passed
    assert "no deformable node has a finite element" in nothing.summary


def test_the_histogram_of_errors() -> None:
    expected = torch.full((6,), 2.0, dtype=torch.float64)
    errors = torch.tensor([0.0, 0.0, 2e-3 * 2, 2e-3 * 2, 0.5 * 2, 1e9], dtype=torch.float64)
    found = difference(expected + errors, expected, 1e-3)
    counts = dict(zip((None, *DECADES), found.histogram, strict=True))
    assert {decade: count for decade, count in counts.items() if count} == {
        None: 2, -3: 2, -1: 1, DECADES[-1]: 1,
    }  # fmt: skip
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 3]), 1.0).histogram == ()
