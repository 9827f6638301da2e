"""The measuring parts of a verification, one by one: each against a fault put there on purpose."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torchvision_stand_in as torchvision
from cases import Case, make_inputs
from torch import Tensor, nn

import dcn_deploy
from dcn_deploy.contract import contract
from dcn_deploy.inspection import TensorReport
from dcn_deploy.model_inputs import InputError, check_inputs
from dcn_deploy.tolerances import TOLERANCE
from dcn_deploy.verification import observation
from dcn_deploy.verification.cases import make_cases, other_sizes
from dcn_deploy.verification.difference import difference
from dcn_deploy.verification.eager import EagerSide
from dcn_deploy.verification.nodes import check_node
from dcn_deploy.verification.observation import NodeRun

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("actual", "expected", "error", "largest"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0, 0.0),
        ([3.0, 4.5], [3.0, 4.0], 0.1, 0.5),
        ([0.0, 0.0], [0.0, 0.0], 0.0, 0.0),
        ([1e-30, 0.0], [0.0, 0.0], INF, 1e-30),
        ([NAN, 3.0, 4.5], [NAN, 3.0, 4.0], 0.1, 0.5),
        ([INF, -INF, 5.0], [INF, -INF, 5.0], 0.0, 0.0),
        ([NAN, 3.0], [1.0, 3.0], INF, INF),
        ([1.0, 3.0], [NAN, 3.0], INF, INF),
        ([INF, 3.0], [-INF, 3.0], INF, INF),
        ([INF, 3.0], [NAN, 3.0], INF, INF),
        ([], [], 0.0, 0.0),
    ],
)
def test_difference(
    actual: list[float], expected: list[float], error: float, largest: float
) -> None:
    found = difference(torch.tensor(actual).double(), torch.tensor(expected).double(), 1e-3)

    assert found.error == pytest.approx(error)
    assert found.max_abs == pytest.approx(largest)
    assert found.ok is (error <= 1e-3)


def test_difference_of_integers_is_the_share_that_differs() -> None:
    found = difference(torch.tensor([1, 2, 3, 9]), torch.tensor([1, 2, 3, 4]), 0.2)
    assert (found.error, found.max_abs, found.ok) == (0.25, 5.0, False)
    booleans = difference(torch.tensor([True, True]), torch.tensor([True, False]), 0.5)
    assert (booleans.error, booleans.ok) == (0.5, True)


def node_run(case: Case, dtype: torch.dtype = torch.float32) -> NodeRun:
    """The case in eager PyTorch, as a node."""
    inputs = make_inputs(case, dtype)
    tensors = {
        name: tensor
        for name, tensor in zip(contract().inputs, inputs.tensors(), strict=True)
        if tensor is not None
    }
    output = dcn_deploy.deform_conv2d(
        **tensors, stride=case.stride, padding=case.pads, dilation=case.dilation
    )
    return NodeRun("node", tensors, output, case.attributes())


@pytest.mark.parametrize("mask", [True, False])
def test_the_float64_output_does_not_depend_on_how_it_is_cut(
    mask: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = node_run(Case("cut", batch=3, mask=mask, bias=mask), torch.float64)
    whole = node.float64_output()
    monkeypatch.setattr(observation, "_BLOCK_BYTES", 1)  # one output row at a time
    by_row = node.float64_output()

    assert difference(by_row, whole, 1e-14).ok
    assert difference(node.output, whole, TOLERANCE["float64"]).ok


def test_the_float64_output_of_an_empty_batch_is_empty() -> None:
    node = node_run(Case("empty", batch=0))
    assert node.float64_output().shape == node.output.shape


def test_a_node_that_agrees_has_no_cause() -> None:
    node = node_run(Case("fine"))
    check = check_node(node, node, own_kernel=True)

    assert check.ok
    assert check.cause == ""
    assert check.to_baseline is not None
    assert check.to_baseline.error == 0
    low, high = check.offset_range
    assert low == node.inputs["offset"].min().item()
    assert high == node.inputs["offset"].max().item()


def wrong(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor.flatten()[3] += 1
    return tensor


def test_the_side_that_is_wrong_beside_float64_is_named() -> None:
    right = node_run(Case("right"))
    broken = replace(right, output=wrong(right.output))

    ours = check_node(broken, right, own_kernel=True)
    assert not ours.to_float64.ok
    assert "this side computes it wrong" in ours.cause
    assert "baseline computes" not in ours.cause

    theirs = check_node(right, broken, own_kernel=True)
    assert theirs.to_float64.ok
    assert "the baseline computes it wrong" in theirs.cause
    assert "this side" not in theirs.cause


@pytest.mark.parametrize("name", contract().inputs)
def test_an_input_that_differs_is_named(name: str) -> None:
    case = Case("inputs")
    right = node_run(case)
    inputs = dict(right.inputs) | {name: right.inputs[name] + 0.5}
    output = dcn_deploy.deform_conv2d(
        **inputs, stride=case.stride, padding=case.pads, dilation=case.dilation
    )
    check = check_node(replace(right, inputs=inputs, output=output), right, own_kernel=True)

    assert check.to_float64.ok
    assert f"its {name} differs" in check.cause
    assert check.cause.count("differs") == 1


def test_an_attribute_that_differs_is_named_even_where_shapes_do_not_fit() -> None:
    right = node_run(Case("stride"))
    tampered = node_run(Case("stride", stride=(1, 2)))
    check = check_node(tampered, right, own_kernel=True)

    assert check.to_baseline is None
    assert "attribute strides is [1, 2] in the model and [2, 1] in the baseline" in check.cause


def test_no_bias_and_a_bias_of_zeros_are_the_same() -> None:
    without = node_run(Case("bias", bias=False))
    zeros = replace(without, inputs=dict(without.inputs) | {"bias": torch.zeros(8)})
    ones = replace(without, inputs=dict(without.inputs) | {"bias": torch.ones(8)})
    moved = replace(ones, output=without.output + 1)

    broken = replace(zeros, output=wrong(without.output))

    assert check_node(zeros, without, own_kernel=True).ok
    assert "bias" not in check_node(broken, without, own_kernel=True).cause
    assert "only one side has a bias" in check_node(moved, without, own_kernel=True).cause


def spec(name: str, *shape: int | str | None, dtype: str = "float32") -> TensorReport:
    return TensorReport(name, dtype, shape)


def test_other_sizes_keep_what_divides_and_tell_height_from_width() -> None:
    image = [spec("x", "N", 3, "H", "W")]
    assert other_sizes([torch.zeros(1, 3, 64, 224)], image) == [
        {"N": 3},
        {"H": 96, "W": 288},
        {"H": 32, "W": 192},
    ]
    assert other_sizes([torch.zeros(2, 3, 17, 1)], image) == [
        {"N": 4},
        {"N": 1},
        {"H": 18, "W": 3},
        {"H": 16, "W": 1},
    ]
    assert other_sizes([torch.zeros(2, 3, 8, 8)], [spec("x", 2, 3, 8, 8)]) == []


def test_a_size_that_another_follows_from_is_left_alone() -> None:
    specs = [spec("x", "N", 3, "H", 8), spec("y", "N", 3, "2*H", 8)]
    assert other_sizes([torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 8)], specs) == [{"N": 3}]


def test_cases_start_with_the_given_inputs_and_draw_from_them() -> None:
    index = torch.tensor([[5, 7, 9]])
    mask = torch.rand(1, 40)
    tensors = [index, mask, torch.zeros(1, 50)]
    specs = [spec("i", "N", 3, dtype="int64"), spec("m", "N", 40), spec("z", "N", 50)]
    cases = list(make_cases(tensors, specs, runs=3, seed=4, sizes=None))

    assert [case.name for case in cases] == ["given", "random 1", "random 2", "N=3"]
    assert cases[0].tensors is tensors
    assert [case.resized for case in cases] == [False, False, False, True]
    for case in cases[1:]:
        assert set(case.tensors[0].flatten().tolist()) <= {5, 7, 9}
        assert set(case.tensors[1].flatten().tolist()) <= set(mask.flatten().tolist())
        assert case.tensors[2].std() > 0.5
    assert cases[3].tensors[1].shape == (3, 40)
    assert not torch.equal(cases[1].tensors[1], cases[2].tensors[1])
    again = list(make_cases(tensors, specs, runs=3, seed=4, sizes=None))
    assert all(
        torch.equal(one, other)
        for a, b in zip(cases, again, strict=True)
        for one, other in zip(a.tensors, b.tensors, strict=True)
    )


def test_sizes_of_dimensions_that_are_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="no dynamic dimension 'Q'; it has N, H"):
        list(
            make_cases(
                [torch.rand(1, 3, 8)],
                [spec("x", "N", 3, "H")],
                runs=1,
                seed=0,
                sizes=[{"Q": 5}],
            )
        )


def test_sizes_of_ones_own_are_used_instead() -> None:
    cases = list(
        make_cases(
            [torch.rand(1, 3, 8, 8)],
            [spec("x", "N", 3, "H", "W")],
            runs=1,
            seed=0,
            sizes=[{"H": 5, "W": 6}],
        )
    )
    assert [case.name for case in cases] == ["given", "H=5, W=6"]
    assert cases[1].tensors[0].shape == (1, 3, 5, 6)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"x": torch.zeros(2, 3)}, r"lacks its input 'y'; it takes x: float32 \[N, 3\]"),
        (
            {"x": torch.zeros(2, 3), "y": torch.zeros(2), "z": torch.zeros(1)},
            "has no input 'z'",
        ),
        (
            {"x": torch.zeros(2, 3).double(), "y": torch.zeros(2)},
            r"input 'x' is float64 \[2, 3\], expected float32 \[N, 3\]",
        ),
        ({"x": torch.zeros(2, 4), "y": torch.zeros(2)}, r"is float32 \[2, 4\], expected"),
        ({"x": torch.zeros(2, 3, 1), "y": torch.zeros(2)}, r"is float32 \[2, 3, 1\], expected"),
        ({"x": torch.zeros(2, 3), "y": torch.zeros(4)}, "its N is 4, expected 2 as in input 'x'"),
    ],
)
def test_inputs_that_do_not_fit_are_told_so(tensors: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_inputs(tensors, [spec("x", "N", 3), spec("y", "N")])


class Chain(nn.Module):
    """Both ops in a row, with in-place operations on what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dcn_deploy.DeformConv2d(
            6, 4, (3, 2), (2, 1), (1, 0, 2, 1), (2, 1), groups=2, deformable_groups=3
        )
        self.weight = nn.Parameter(torch.randn(5, 4, 1, 2))
        self.dropout = nn.Dropout(0.9)
        nn.init.normal_(self.first.offset_conv.weight)

    def forward(self, pair: tuple[Tensor, Tensor], scale: float) -> dict[str, Any]:
        image, offset = pair
        middle = self.first(image).mul_(scale)
        last = torchvision.deform_conv2d(
            middle, offset, self.weight, stride=(1, 2), padding=(2, 1), dilation=(1, 3)
        )
        return {"last": self.dropout(last.clone()).add_(1), "sizes": [list(last.shape), middle]}


def test_eager_nodes_are_watched_in_order_and_as_they_were() -> None:
    model = Chain().train()
    image, offset = torch.randn(2, 6, 9, 8), torch.randn(2, 4, 8, 4)
    side = EagerSide(model, ((image, offset), 3.0), {})
    seen = side.run([image, offset])

    first, second = seen.nodes
    assert [node.name for node in seen.nodes] == [
        "dcn_deploy::deform_conv2d #0",
        "torchvision::deform_conv2d #1",
    ]
    assert list(first.attributes.values()) == [[3, 2], [2, 1], [1, 0, 2, 1], [2, 1], 2, 3]
    assert list(second.attributes.values()) == [[1, 2], [1, 2], [2, 1, 2, 1], [1, 3], 1, 1]
    assert set(first.inputs) == {"input", "weight", "offset", "bias"}
    assert set(second.inputs) == {"input", "weight", "offset", "bias"}
    # As they came out of the op, not as the in-place operations left them; without dropout.
    for node in seen.nodes:
        assert difference(node.output, node.float64_output(), 1e-6).ok
    assert torch.equal(second.inputs["input"], first.output * 3)
    assert torch.equal(seen.outputs[0], second.output + 1)
    assert torch.equal(seen.outputs[1], first.output * 3)
    assert model.training
    assert model.dropout.training
    assert side.name == "eager Chain"
