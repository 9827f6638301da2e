"""Random problems in onnxruntime: the valid as in eager to the bit, the others refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from cases import DTYPES, Case, make_inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from node_problems import arrays_of, arrays_of_inputs, eager_output
from onnx_models import CONSTANTS, feeds, model
from problems import Spoiled, spoiled_calls, valid_cases

from dcn_deploy.contract import contract
from dcn_deploy.runtimes.onnxruntime import QUIET, ort_session, run


@settings(max_examples=200, deadline=None)
@given(
    case=valid_cases(),
    dtype=st.sampled_from(list(DTYPES)),
    constants=st.sampled_from([CONSTANTS, ()]),
    form=st.sampled_from(["custom", "standard"]),
)
def test_valid_problems(case: Case, dtype: str, constants: tuple[str, ...], form: str) -> None:
    arrays, attributes = arrays_of(case, dtype), case.attributes()
    proto = model(arrays, attributes, form=form, constants=constants)
    session = ort_session(proto.SerializeToString(), override=form == "standard")
    output = run(session, feeds(arrays, constants))["output"]
    np.testing.assert_array_equal(output, eager_output(arrays, attributes))


@settings(max_examples=400, deadline=None)
@given(call=spoiled_calls(make_inputs), declared=st.booleans())
def test_invalid_problems_are_refused_by_name(call: Spoiled, declared: bool) -> None:
    """Where shapes are declared, when the session is made; else when the tensors arrive."""
    arrays = arrays_of_inputs(call.inputs)
    message = call.message.removeprefix("^deform_conv2d: ")
    if arrays["input"].dtype.name not in DTYPES:
        # The host compares the first input with the operator's signature before it asks us.
        message = r"Type 'tensor\(int32\)' of input parameter \(input\)"
    proto = model(
        arrays,
        call.attributes,
        constants=CONSTANTS if declared else (),
        shapes={} if declared else dict.fromkeys(contract().inputs),
    )
    if declared:
        with pytest.raises(Exception, match=message):
            ort_session(proto.SerializeToString(), **QUIET)
    else:
        with pytest.raises(Exception, match=message):
            run(ort_session(proto.SerializeToString(), **QUIET), feeds(arrays, ()))
