"""Random valid problems are right; random invalid ones are refused by name, never crash."""

from __future__ import annotations

import pytest
import torch
from cases import Case, expected, make_inputs, relative_error
from hypothesis import assume, given, settings
from problems import Spoiled, spoiled_calls, valid_cases

from dcn_deploy.contract import TensorSpec, check
from dcn_deploy.tolerances import TOLERANCE

OP = torch.ops.dcn_deploy.deform_conv2d.default


@settings(max_examples=300, deadline=None)
@given(case=valid_cases())
def test_valid_problems(case: Case) -> None:
    inputs = make_inputs(case, torch.float32)
    values = list(case.attributes().values())
    actual, wanted = OP(*inputs.tensors(), *values[1:]), expected(case, inputs)
    # Inputs are scaled so that outputs are near 1. Where all are far smaller, the samples hardly
    # touch the image, and 1 - fraction, rounded to 6e-8, is all there is: no relative accuracy.
    size = wanted.square().mean().sqrt() if wanted.numel() else torch.zeros(())
    assume(size == 0 or size > 0.1)
    assert relative_error(actual, wanted) <= TOLERANCE["float32"]


@settings(max_examples=500, deadline=None)
@given(call=spoiled_calls(make_inputs))
def test_invalid_problems_are_refused_by_name(call: Spoiled) -> None:
    with pytest.raises(RuntimeError, match=call.message):
        OP(*call.inputs.tensors(), *call.attributes.values())


@settings(max_examples=200, deadline=None)
@given(call=spoiled_calls(make_inputs))
def test_the_same_refusals_reach_python_s_check(call: Spoiled) -> None:
    """What tracing and exporting go through: the same function, by another door."""
    specs = [
        None if t is None else TensorSpec(str(t.dtype).removeprefix("torch."), t.shape)
        for t in call.inputs.tensors()
    ]
    with pytest.raises(ValueError, match=call.message.removeprefix("^deform_conv2d: ")):
        check(call.attributes, specs)
