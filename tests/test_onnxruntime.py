"""onnxruntime through our library: the right values, from the right kernel, for any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cases import BY_NAME, CASES, DTYPES, Case
from node_problems import arrays_of, eager_output, float64_output, relative_error
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx_models import DYNAMIC_SHAPES, UNKNOWN_RANKS, feeds, model

from dcn_deploy.runtimes.onnxruntime import ort_session, run, stock_session
from dcn_deploy.tolerances import TOLERANCE

BASE = BY_NAME["asymmetric"]
ASYMMETRIC = BASE.attributes()


def our_output(
    proto: onnx.ModelProto, fed: Mapping[str, NDArray[Any]], *, override: bool = False
) -> NDArray[Any]:
    session = ort_session(proto.SerializeToString(), override=override)
    return run(session, fed)["output"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_float64_and_eager(case: Case, dtype: str) -> None:
    arrays = arrays_of(case, dtype)
    output = our_output(model(arrays, case.attributes()), feeds(arrays))
    assert output.dtype == dtype
    assert relative_error(output, float64_output(arrays, case.attributes())) <= TOLERANCE[dtype]
    np.testing.assert_array_equal(output, eager_output(arrays, case.attributes()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_function_body_on_stock_onnxruntime(case: Case) -> None:
    """Every case is a model that runs without us too."""
    arrays = arrays_of(case)
    proto = model(arrays, case.attributes(), form="portable")
    output = run(stock_session(proto.SerializeToString()), feeds(arrays))["output"]
    expected = float64_output(arrays, case.attributes())
    assert relative_error(output, expected) <= TOLERANCE["float32"]


@pytest.mark.parametrize("form", ["portable", "standard"])
@pytest.mark.parametrize("name", ["asymmetric", "no_bias", "no_mask", "no_bias_no_mask"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_form_runs_the_same_kernel(dtype: str, name: str, form: str) -> None:
    arrays = arrays_of(BY_NAME[name], dtype)
    proto = model(arrays, ASYMMETRIC, form=form)
    output = our_output(proto, feeds(arrays), override=form == "standard")
    np.testing.assert_array_equal(output, eager_output(arrays, ASYMMETRIC))


@pytest.mark.parametrize("form", ["custom", "standard"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_data_with_float32_coordinates(dtype: str, form: str) -> None:
    case = BY_NAME["far_offsets"]  # a half rounds them by up to 1/32 pixel
    arrays = arrays_of(case, dtype, "float32")
    proto = model(arrays, case.attributes(), form=form)
    output = our_output(proto, feeds(arrays), override=form == "standard")
    assert relative_error(output, float64_output(arrays, case.attributes())) <= TOLERANCE[dtype]


def test_constant_and_computed_weights_agree() -> None:
    """A packed constant must not be used for a weight that changes from run to run."""
    arrays = arrays_of(BASE)
    constant = our_output(model(arrays, ASYMMETRIC), feeds(arrays))
    session = ort_session(model(arrays, ASYMMETRIC, constants=()).SerializeToString())
    for sign in (1, -1, 1):
        changed = {**arrays, "weight": sign * arrays["weight"], "bias": sign * arrays["bias"]}
        output = run(session, feeds(changed, constants=()))["output"]
        np.testing.assert_array_equal(output, sign * constant)


def test_weight_that_overrides_an_initializer() -> None:
    """An initializer that is a graph input too may be replaced at any run: it is no constant."""
    arrays = arrays_of(BASE)
    proto = model(arrays, ASYMMETRIC)
    proto.graph.input.append(
        helper.make_tensor_value_info("weight", TensorProto.FLOAT, arrays["weight"].shape)
    )
    session = ort_session(proto.SerializeToString())
    for weight in (None, 3 * arrays["weight"]):
        fed = feeds(arrays) | ({} if weight is None else {"weight": weight})
        expected = float64_output({**arrays, **fed}, ASYMMETRIC)
        assert relative_error(run(session, fed)["output"], expected) <= TOLERANCE["float32"]


def test_weight_that_another_node_computes() -> None:
    arrays = arrays_of(BASE)
    proto = model(arrays, ASYMMETRIC, constants=("bias",))
    proto.graph.node.insert(0, helper.make_node("Neg", ["weight"], ["negative"]))
    proto.graph.node[1].input[1] = "negative"
    output = our_output(proto, feeds(arrays, constants=("bias",)))
    expected = float64_output({**arrays, "weight": -arrays["weight"]}, ASYMMETRIC)
    assert relative_error(output, expected) <= TOLERANCE["float32"]


def test_model_in_memory_with_weights_on_disk(tmp_path: Path) -> None:
    arrays = arrays_of(BASE)
    onnx.save(
        model(arrays, ASYMMETRIC, form="portable"),
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="model.data",
        size_threshold=0,
    )
    source = (tmp_path / "model.onnx").read_bytes()
    output = run(ort_session(source, weights_folder=tmp_path), feeds(arrays))["output"]
    np.testing.assert_array_equal(output, eager_output(arrays, ASYMMETRIC))
    stock = run(stock_session(source, weights_folder=tmp_path), feeds(arrays))["output"]
    assert relative_error(stock, output) <= TOLERANCE["float32"]


@pytest.mark.parametrize("shapes", [DYNAMIC_SHAPES, UNKNOWN_RANKS], ids=["symbols", "unknown"])
def test_sizes_that_change_from_run_to_run(shapes: Any) -> None:
    first = arrays_of(BASE)
    session = ort_session(model(first, ASYMMETRIC, shapes=shapes).SerializeToString())
    for batch, size in ((2, (9, 11)), (1, (30, 5)), (0, (9, 11)), (3, (4, 11))):
        arrays = arrays_of(replace(BASE, batch=batch, size=size))
        arrays |= {name: first[name] for name in ("weight", "bias")}
        output = run(session, feeds(arrays))["output"]
        assert relative_error(output, float64_output(arrays, ASYMMETRIC)) <= TOLERANCE["float32"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_offsets_that_are_no_positions_sample_zero(dtype: str, value: float) -> None:
    arrays = arrays_of(BASE, dtype)
    with np.errstate(over="ignore"):  # 1e30 is infinity in float16
        arrays["offset"] = np.full_like(arrays["offset"], value)
    output = our_output(model(arrays, ASYMMETRIC), feeds(arrays))
    bias = arrays["bias"].reshape(1, -1, 1, 1)
    np.testing.assert_array_equal(output, np.broadcast_to(bias, output.shape))


@pytest.mark.filterwarnings("error")  # which onnxruntime gives for names that it does not know
@pytest.mark.parametrize("session_of", [ort_session, stock_session])
def test_one_provider_may_be_given_by_its_name(session_of: Callable[..., Any]) -> None:
    source = model(arrays_of(BASE), ASYMMETRIC, form="portable").SerializeToString()
    session = session_of(source, providers="CPUExecutionProvider")
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_shape_inference_names_the_output() -> None:
    shapes = {**DYNAMIC_SHAPES, "weight": ("O", 6, "kH", "kW")}
    proto = model(arrays_of(BASE), ASYMMETRIC, shapes=shapes, constants=("bias",))
    (output,) = ort_session(proto.SerializeToString()).get_outputs()
    assert output.shape == ["N", "O", "oH", "oW"]
    assert output.type == "tensor(float)"


def test_shape_inference_says_nothing_of_unnamed_dimensions() -> None:
    arrays = arrays_of(BASE)
    shapes = {**DYNAMIC_SHAPES, "offset": (None, 36, None, None)}
    session = ort_session(model(arrays, ASYMMETRIC, shapes=shapes).SerializeToString())
    assert session.get_outputs()[0].shape == []  # onnxruntime's word for an unknown shape
    output = run(session, feeds(arrays))["output"]
    np.testing.assert_array_equal(output, eager_output(arrays, ASYMMETRIC))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bitwise_equal_for_any_number_of_threads(threads: int) -> None:
    case = BY_NAME["several_tiles"]
    arrays = arrays_of(case)
    session = ort_session(
        model(arrays, case.attributes()).SerializeToString(), intra_op_num_threads=threads
    )
    output = run(session, feeds(arrays))["output"]
    np.testing.assert_array_equal(output, eager_output(arrays, case.attributes()))


def test_absent_attributes_take_their_defaults() -> None:
    case = Case("", kernel=(3, 2), stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), group=1)
    arrays = arrays_of(case)
    attributes = {"offset_group": case.offset_group}
    for form in ("custom", "standard"):
        proto = model(arrays, attributes, form=form)
        output = our_output(proto, feeds(arrays), override=form == "standard")
        np.testing.assert_array_equal(output, eager_output(arrays, attributes))


def test_attributes_of_other_runtimes_are_passed_over() -> None:
    arrays = arrays_of(BASE)
    attributes = {**ASYMMETRIC, "plugin_namespace": "dcn_deploy", "plugin_version": "1"}
    output = our_output(model(arrays, attributes), feeds(arrays))
    np.testing.assert_array_equal(output, eager_output(arrays, ASYMMETRIC))


@pytest.mark.parametrize("opset", [19, 22])
def test_override_replaces_onnxruntimes_kernel(opset: int) -> None:
    case = BY_NAME["several_tiles"]
    arrays = arrays_of(case)
    proto = model(arrays, case.attributes(), form="standard", opset=opset)
    eager = eager_output(arrays, case.attributes())
    np.testing.assert_array_equal(our_output(proto, feeds(arrays), override=True), eager)
    stock = run(stock_session(proto.SerializeToString()), feeds(arrays))["output"]
    assert not np.array_equal(stock, eager)
    # Without the request the standard operator stays the host's, although the library is loaded.
    np.testing.assert_array_equal(our_output(proto, feeds(arrays)), stock)


def test_both_faces_in_one_model() -> None:
    """Also with standard operators around them, whose schemas are looked up beside ours."""
    arrays = arrays_of(BASE)
    proto = model(arrays, ASYMMETRIC)
    standard = model(arrays, ASYMMETRIC, form="standard").graph.node[0]
    standard.output[0] = "standard"
    proto.graph.node[0].output[0] = "ours"
    standard.name = "standard"
    proto.graph.node.extend([standard, helper.make_node("Sub", ["ours", "standard"], ["output"])])
    output = our_output(proto, feeds(arrays), override=True)
    np.testing.assert_array_equal(output, np.zeros_like(output))
