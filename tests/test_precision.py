"""Models of half precision: what becomes half, what stays float32, what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
import torch
from cases import BY_NAME
from exported import FORMS, Network
from node_problems import arrays_of, float64_output, relative_error
from onnx import TensorProto, helper, numpy_helper

import dcn_deploy
from dcn_deploy.precision import PRECISIONS, PrecisionError, to_precision, verify_precision
from dcn_deploy.runtimes import onnxruntime as runtime
from dcn_deploy.tolerances import TOLERANCE

ELEMENT = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor of the main graph, by onnx's own inference."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
    values |= {v.name: v.type.tensor_type.elem_type for v in graph.output}
    return values | {tensor.name: tensor.data_type for tensor in graph.initializer}


def parsed(text: str, weights: Mapping[str, np.ndarray] | None = None) -> onnx.ModelProto:
    """A model from onnx's textual syntax, and initializers."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 22]>\n{text}')
    for name, array in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    return model


def lowered(model: onnx.ModelProto, dtype: str = "float16", **options: object) -> onnx.ModelProto:
    """The model in half precision, which must be valid ONNX."""
    made = to_precision(model, dtype, **options)  # type: ignore[arg-type]
    onnx.checker.check_model(made, full_check=True)
    return made


def input_types(model: onnx.ModelProto, op: str) -> list[int]:
    """Of the first node of that operator."""
    types = types_of(model)
    node = next(node for node in model.graph.node if node.op_type == op)
    return [types[name] for name in node.input if name]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One network with two learned deformable layers, in each form, of dynamic sizes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("precision")
    network = Network().eval()
    paths = {form: folder / f"{form}.onnx" for form in FORMS}
    for form, path in paths.items():
        dcn_deploy.export(
            network,
            torch.randn(2, 6, 20, 24),
            path,
            form=form,
            dynamic_shapes={"image": {0: "batch", 2: "height", 3: "width"}},
            verify=False,
        )
    return paths


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("form", FORMS)
def test_network_in_each_form(
    exported: dict[str, Path], tmp_path: Path, form: str, dtype: str
) -> None:
    original = onnx.load(exported[form])
    model = lowered(original, dtype)
    if form != "standard":  # whose operator takes one dtype for all: it computes between casts
        data, coordinate = ELEMENT[dtype], TensorProto.FLOAT
        expected = [data, data, coordinate, data, coordinate]
        assert input_types(model, "DeformConv2d") == expected
    assert input_types(model, "Conv")[0] == TensorProto.FLOAT, "it computes the offsets"
    assert input_types(model, "BatchNormalization")[0] == ELEMENT[dtype]
    for ours, theirs in (
        (model.graph.input, original.graph.input),
        (model.graph.output, original.graph.output),
    ):
        assert [(v.name, v.type) for v in ours] == [(v.name, v.type) for v in theirs]
    path = tmp_path / "half.onnx"
    onnx.save(model, path)
    report = verify_precision(path, exported[form], torch.randn(2, 6, 20, 24))
    assert report.passed, report
    errors = [
        check.difference.error
        for side in report.sides
        for case in side.cases
        for check in case.outputs
        if check.difference
    ]
    assert min(errors) > 1e-5, "half precision rounds: nothing was compared, or nothing lowered"
    assert max(errors) < (2e-3 if dtype == "float16" else 1e-2)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_node_is_within_the_contract(tmp_path: Path, dtype: str) -> None:
    """Offsets of tens of pixels, which float16 would round to 1/64."""
    case = BY_NAME["far_offsets"]
    arrays = arrays_of(case)
    model = lowered(onnx_models.model(arrays, case.attributes()), dtype)
    session = runtime.ort_session(model.SerializeToString())
    output = runtime.run(session, onnx_models.feeds(arrays))["output"]
    half = onnx.helper.tensor_dtype_to_np_dtype(ELEMENT[dtype])
    data = ("input", "weight", "bias")
    rounded = {
        name: array.astype(half).astype(np.float32) if name in data else array
        for name, array in arrays.items()
        if array is not None
    }
    wanted = float64_output(rounded, case.attributes())
    assert relative_error(output, wanted) <= TOLERANCE[dtype]


def test_verification_sees_a_wrong_weight(exported: dict[str, Path], tmp_path: Path) -> None:
    model = lowered(onnx.load(exported["portable"]), "bfloat16")
    weight = next(t for t in model.graph.initializer if t.name == "second.weight")
    weight.raw_data = weight.raw_data[::-1]
    onnx.save(model, tmp_path / "wrong.onnx")
    report = verify_precision(
        tmp_path / "wrong.onnx", exported["portable"], torch.randn(2, 6, 20, 24)
    )
    assert not report.passed
    assert "/second/" in report.summary


def test_sizes_stay_float32() -> None:
    """2049 is no float16: what becomes an integer is computed in float32."""
    model = parsed(
        """g (float[1,3,H,W] x) => (float[1,3,h,w] y, int64[4] sizes) {
            shape = Shape(x)
            as_float = Cast<to: int = 1>(shape)
            scaled = Mul(as_float, factor)
            sizes = Cast<to: int = 7>(scaled)
            none = Constant<value: tensor = float[0] {}>()
            y = Resize<mode: string = "linear">(x, none, none, sizes)
        }""",
        {"factor": np.array([1, 1, 1, 1])},
    )
    half = lowered(model)
    assert input_types(half, "Mul") == [TensorProto.FLOAT] * 2
    assert input_types(half, "Resize")[0] == TensorProto.FLOAT16
    image = np.random.default_rng(0).normal(size=(1, 3, 1, 2049)).astype(np.float32)
    outputs = runtime.run(runtime.stock_session(half.SerializeToString()), {"x": image})
    assert outputs["sizes"].tolist() == [1, 3, 1, 2049]
    np.testing.assert_allclose(outputs["y"], image, rtol=1e-3)


def test_chain_of_coordinates_stays_float32_back_to_the_convolution() -> None:
    model = parsed(
        """g (float[1,4,8,8] x, float[1,8,8,2] flow) => (float[1,4,8,8] y) {
            before = Relu(x)
            moves = Conv(before, w)
            shift = Tanh(moves)
            placed = Transpose<perm: ints = [0, 2, 3, 1]>(shift)
            grid = Add(placed, flow)
            sampled = GridSample(before, grid)
            y = Sigmoid(sampled)
        }""",
        {"w": np.ones((2, 4, 1, 1))},
    )
    half = lowered(model)
    for op in ("Conv", "Tanh", "Transpose", "Add", "GridSample"):
        assert set(input_types(half, op)) == {TensorProto.FLOAT}, op
    for op in ("Relu", "Sigmoid"):
        assert set(input_types(half, op)) == {TensorProto.FLOAT16}, op


def test_weights_are_converted_once() -> None:
    model = parsed(
        """g (float[1,4,4] x) => (float[1,4,4] y) {
            c = Constant<value: tensor = float[4,4] {0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}>()
            a = MatMul(x, w)
            b = MatMul(a, w)
            d = MatMul(b, c)
            e = Add(d, c)
            y = MatMul(e, both)
            unused = MatMul(x, both)
        }""",
        {"w": np.eye(4), "both": np.eye(4)},
    )
    model.graph.node[-1].name = "precise"
    model.graph.output.append(helper.make_tensor_value_info("unused", TensorProto.FLOAT, [1, 4, 4]))
    half = lowered(model, keep=["precise"])
    types = {t.name: t.data_type for t in half.graph.initializer}
    assert types == {
        "w": TensorProto.FLOAT16,
        "c": TensorProto.FLOAT16,
        "both": TensorProto.FLOAT,
        "both.float16": TensorProto.FLOAT16,
    }
    assert not any(node.op_type == "Constant" for node in half.graph.node)
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    assert len(casts) == 2, "the input down, the output up, each once"


def test_tensor_that_is_an_output_and_used_inside() -> None:
    model = parsed(
        """g (float[2,2] x) => (float[2,2] x_too, float[2,2] middle, float[2,2] y) {
            x_too = Identity(x)
            middle = Relu(x)
            y = Exp(middle)
        }"""
    )
    half = lowered(model)
    array = np.array([[-1, 0.5], [0.25, 2]], np.float32)
    outputs = runtime.run(runtime.stock_session(half.SerializeToString()), {"x": array})
    assert {a.dtype for a in outputs.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(outputs["y"], np.exp(np.maximum(array, 0)), rtol=2e-3)
    np.testing.assert_array_equal(outputs["middle"], np.maximum(array, 0))


def test_control_flow_stays_float32_inside() -> None:
    model = parsed(
        """g (float[2,2] x, bool flag) => (float[2,2] y) {
            inner = Relu(x)
            chosen = If (flag) <
                then_branch = yes () => (float[2,2] a) { a = Exp(inner) },
                else_branch = no () => (float[2,2] b) { b = MatMul(inner, w) }
            >
            y = Tanh(chosen)
        }""",
        {"w": np.eye(2)},
    )
    half = lowered(model)
    assert set(input_types(half, "Tanh")) == {TensorProto.FLOAT16}
    array = np.array([[-1, 0.5], [0.25, 2]], np.float32)
    session = runtime.stock_session(half.SerializeToString())
    for flag, inside in ((True, np.exp(np.maximum(array, 0))), (False, np.maximum(array, 0))):
        output = runtime.run(session, {"x": array, "flag": np.array(flag)})["y"]
        np.testing.assert_allclose(output, np.tanh(inside), rtol=2e-3)


def test_unknown_operators_stay_float32() -> None:
    model = parsed(
        """g (float[2,2] x) => (float[2,2] y) {
            a = Relu(x)
            b = Mystery(a)
            c = Exp(b)
            y = Relu(c)
        }"""
    )
    model.graph.node[1].domain = "elsewhere"
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    half = to_precision(model, "float16")
    producers = {name: node for node in half.graph.node for name in node.output}
    mystery = next(node for node in half.graph.node if node.op_type == "Mystery")
    cast = producers[mystery.input[0]]
    assert (cast.op_type, cast.attribute[0].i) == ("Cast", TensorProto.FLOAT)


def test_raises_the_opset_for_bfloat16(exported: dict[str, Path]) -> None:
    original = onnx.load(exported["portable"])
    assert original.opset_import[0].version < 22
    model = lowered(original, "bfloat16")
    versions = {entry.domain: entry.version for entry in model.opset_import}
    assert versions[""] == 22
    assert model.functions[0].opset_import[0].version == 22


OVERFLOWING = """g (float[1,2] x) => (float[1,2] y) {
    a = MatMul(x, small)
    y = MatMul(a, huge)
}"""
WEIGHTS = {"small": np.eye(2), "huge": np.array([[7e4, 0], [0, -8e4]])}


def test_overflow_names_the_weight_and_the_cure() -> None:
    model = parsed(OVERFLOWING, WEIGHTS)
    with pytest.raises(
        PrecisionError,
        match=r"weight 'huge' of node 'y' holds -80000, expected at most 65504 in magnitude.*keep",
    ):
        to_precision(model, "float16")
    assert types_of(lowered(model, keep=["y"]))["huge"] == TensorProto.FLOAT
    assert types_of(lowered(model, "bfloat16"))["huge"] == TensorProto.BFLOAT16


def test_infinities_are_no_overflow() -> None:
    model = parsed(OVERFLOWING, {**WEIGHTS, "huge": np.full((2, 2), -np.inf)})
    assert types_of(lowered(model))["huge"] == TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("dtype", "keep", "message"),
    [
        ("float8", [], "dtype is 'float8', expected one of float16, bfloat16"),
        ("float16", ["nowhere"], "keep names 'nowhere', which is no node .* it has a, y"),
    ],
)
def test_wrong_arguments(dtype: str, keep: list[str], message: str) -> None:
    model = parsed(OVERFLOWING, {**WEIGHTS, "huge": np.eye(2)})
    with pytest.raises(ValueError, match=message):
        to_precision(model, dtype, keep=keep)  # type: ignore[arg-type]


def test_nothing_to_lower() -> None:
    half = lowered(parsed(OVERFLOWING, {**WEIGHTS, "huge": np.eye(2)}))
    for value in (*half.graph.input, *half.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    kept = [node for node in half.graph.node if node.op_type != "Cast"]
    kept[0].input[0], kept[-1].output[0] = "x", "y"
    del half.graph.node[:]
    half.graph.node.extend(kept)
    onnx.checker.check_model(half, full_check=True)
    with pytest.raises(PrecisionError, match="no node of the model can be bfloat16"):
        to_precision(half, "bfloat16")
