"""What is wrong with a model or with its inputs is said by name, and nothing crashes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from cases import BY_NAME
from node_problems import arrays_of
from onnx_models import CONSTANTS, UNKNOWN_RANKS, feeds, model

from dcn_deploy.runtimes.onnxruntime import QUIET, ort_session, run, stock_session

BASE = BY_NAME["asymmetric"]
ASYMMETRIC = BASE.attributes()

# Name -> the tensor, what is done to it, what the error must say.
WRONG_SIZES = {
    "offset channels": ("offset", lambda a: a[:, :-2], "offset has 34 channels, expected 2"),
    "offset height": ("offset", lambda a: a[:, :, 1:], "offset has height 4, expected the output"),
    "offset batch": ("offset", lambda a: a[:1], "offset has batch 1, expected 2 like input"),
    "mask channels": ("mask", lambda a: a[:, 1:], "mask has 17 channels, expected offset_group"),
    "mask width": ("mask", lambda a: a[..., 1:], "mask has width 9, expected 10 like offset"),
    "input rank": ("input", lambda a: a[0], "input has 3 dimensions, expected 4"),
    "input channels": ("input", lambda a: a[:, 1:], "input has 11 channels, expected a multiple"),
    "input height": (
        "input",
        lambda a: a[:, :, :1],
        "offset has height 5, expected the output height 1",
    ),
}
WRONG_DTYPES = {
    "mask dtype": ("mask", lambda a: a.astype(np.float64), "mask is float64, expected float32"),
    "offset dtype": ("offset", lambda a: a.astype(np.float16), "offset is float16, expected float"),
    "integer mask": (
        "mask",
        lambda a: a.astype(np.int32),
        "mask has the unsupported dtype ONNX type 6",
    ),
}
# onnxruntime describes a scalar like a tensor of unknown rank until it comes.
WRONG_SCALARS = {
    "scalar input": ("input", lambda a: a[0, 0, 0, 0], "input has 0 dimensions, expected 4"),
}
WRONG_CONSTANTS = {
    "weight rank": ("weight", lambda a: a[0], "weight has 3 dimensions, expected 4"),
    "weight kernel": ("weight", lambda a: a[..., 1:], "weight has kernel width 1, expected 2"),
    "weight channels": ("weight", lambda a: a[:, 1:], "weight has 5 input channels, expected C"),
    "weight dtype": ("weight", lambda a: a.astype(np.float16), "weight is float16, expected float"),
    "bias size": ("bias", lambda a: a[1:], "bias has 7 values, expected 8"),
}
WRONG_ATTRIBUTES = {
    "stride of zero": ("strides", [0, 1], "attribute strides is [0, 1], expected every value"),
    "negative pad": ("pads", [1, 0, -2, 1], "attribute pads is [1, 0, -2, 1], expected every"),
    "two pads": ("pads", [1, 1], "attribute pads has 2 values, expected 4"),
    "group of zero": ("group", 0, "attribute group is 0, expected at least 1"),
    "group that does not divide": ("group", 5, "input has 12 channels, expected a multiple of"),
    "overflowing pad": ("pads", [2**40, 0, 0, 0], "attribute pads is"),
    "float for an integer": ("group", 2.0, "attribute group is a float, expected an integer"),
    "floats for an integer": ("group", [2.0], "attribute group is a list of floats, expected an"),
    "string for an integer": ("group", "2", "attribute group is a string, expected an integer"),
    "list for an integer": ("group", [2], "attribute group is not an integer, expected"),
    "integer for a list": ("strides", 2, "attribute strides is an integer, expected a list of"),
    "float for a list": ("dilations", 2.0, "attribute dilations is a float, expected a list of"),
    "floats for a list": ("pads", [1.0] * 4, "attribute pads is a list of floats, expected a list"),
    "string for a list": ("kernel_shape", "3x2", "attribute kernel_shape is a string, expected"),
    "strings for a list": ("strides", ["2", "1"], "attribute strides has 0 values, expected 2"),
}


@pytest.fixture(params=["custom", "standard"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make_and_run(arrays: Any, attributes: Any, form: str, **options: Any) -> None:
    proto = model(arrays, attributes, form=form, **options)
    session = ort_session(proto.SerializeToString(), override=form == "standard", **QUIET)
    run(session, feeds(arrays, options.get("constants", CONSTANTS)))


@pytest.mark.parametrize("name", [*WRONG_SIZES, *WRONG_DTYPES])
def test_wrong_tensor_is_refused_when_the_session_is_made(name: str, form: str) -> None:
    tensor, spoil, message = (WRONG_SIZES | WRONG_DTYPES)[name]
    arrays = arrays_of(BASE)
    arrays[tensor] = spoil(arrays[tensor])
    proto = model(arrays, ASYMMETRIC, form=form)
    with pytest.raises(Exception, match=re.escape(f"'deform': {message}")):
        ort_session(proto.SerializeToString(), override=form == "standard", **QUIET)


@pytest.mark.parametrize("name", [*WRONG_SIZES, *WRONG_SCALARS])
def test_wrong_tensor_is_refused_when_it_arrives(name: str, form: str) -> None:
    tensor, spoil, message = (WRONG_SIZES | WRONG_SCALARS)[name]
    arrays = arrays_of(BASE)
    proto = model(arrays, ASYMMETRIC, form=form, shapes=UNKNOWN_RANKS)
    session = ort_session(proto.SerializeToString(), override=form == "standard", **QUIET)
    with pytest.raises(Exception, match=re.escape(message)):
        run(session, feeds({**arrays, tensor: np.asarray(spoil(arrays[tensor]))}))
    # The session is as good as before.
    run(session, feeds(arrays))


@pytest.mark.parametrize("constants", [CONSTANTS, ()], ids=["constant", "computed"])
@pytest.mark.parametrize("name", WRONG_CONSTANTS)
def test_wrong_weights(name: str, constants: tuple[str, ...], form: str) -> None:
    tensor, spoil, message = WRONG_CONSTANTS[name]
    arrays = arrays_of(BASE)
    arrays[tensor] = spoil(arrays[tensor])
    with pytest.raises(Exception, match=re.escape(f"'deform': {message}")):
        make_and_run(arrays, ASYMMETRIC, form, constants=constants)


@pytest.mark.parametrize("name", WRONG_ATTRIBUTES)
def test_wrong_attribute(name: str, form: str) -> None:
    attribute, value, message = WRONG_ATTRIBUTES[name]
    with pytest.raises(Exception, match=re.escape(f"'deform': {message}")):
        make_and_run(arrays_of(BASE), {**ASYMMETRIC, attribute: value}, form)


@pytest.mark.parametrize("missing", ["weight", "offset"])
def test_missing_input(missing: str, form: str) -> None:
    arrays = {**arrays_of(BASE), missing: None}
    with pytest.raises(Exception, match=f"{missing} is missing"):
        make_and_run(arrays, ASYMMETRIC, form)


def test_integer_input(form: str) -> None:
    """The dtype of the input selects the kernel: the host refuses it before we are asked."""
    arrays = arrays_of(BASE)
    arrays["input"] = arrays["input"].astype(np.int32)
    with pytest.raises(Exception, match="input"):
        make_and_run(arrays, ASYMMETRIC, form)


def test_unknown_session_option() -> None:
    with pytest.raises(TypeError, match=r"no attribute 'threads'; it has: .*intra_op_num_threads"):
        ort_session(b"", threads=2)
    with pytest.raises(TypeError, match="no attribute 'register_custom_ops_library'"):
        stock_session(b"", register_custom_ops_library="x")
