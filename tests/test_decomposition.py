"""The op in standard operators: the same results in runtimes that have no such op."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_models
import openvino
import pytest
import torch
from cases import BY_NAME, CASES, relative_error
from exported import Network, run_ours, run_stock
from foreign_models import FOREIGN, evaluate, feeds
from foreign_models import model as foreign_model
from node_problems import arrays_of, float64_output
from node_problems import relative_error as array_error

import dcn_deploy
from dcn_deploy.exporting import ExportError, export
from dcn_deploy.exporting.decomposition import DECOMPOSED_SINCE
from dcn_deploy.exporting.forms import to_form
from dcn_deploy.runtimes.onnxruntime import run as run_session
from dcn_deploy.runtimes.onnxruntime import stock_session

# The positions pass through fractions of the image: float32 resolves them to 1e-6 of these sizes.
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "float16": 5e-4, "bfloat16": 5e-3}
# An empty batch leaves a reshape's -1 without a meaning.
SOLVABLE = [case for case in CASES if case.batch]


def decomposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Valid, and without anything of ours or any deformable convolution."""
    proto = ir.to_proto(to_form(ir.from_proto(model), "decomposed"))
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.domain for entry in proto.opset_import} == {""}
    assert not proto.functions
    assert not {"DeformConv", "DeformConv2d"} & {node.op_type for node in proto.graph.node}
    return proto


def dynamic(case: Any, arrays: Any, dtype: str = "float32", opset: int = 20) -> onnx.ModelProto:
    """One layer whose batch and sizes are names."""
    shapes: dict[str, tuple[Any, ...]] = {"input": ("N", case.in_channels, "H", "W")}
    for name in ("offset", "mask"):
        if arrays[name] is not None:
            shapes[name] = ("N", arrays[name].shape[1], "oH", "oW")
    return onnx_models.model(arrays, case.attributes(), shapes=shapes, opset=opset)


class OpenVino:
    """A model in OpenVINO's CPU plugin, which takes bfloat16 by itself where the CPU has it."""

    _core = openvino.Core()

    def __init__(self, model: onnx.ModelProto | Path) -> None:
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        self._model = self._core.compile_model(self._core.read_model(source), "CPU", options)

    def __call__(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(self._model(feed)[self._model.output(0)])


@pytest.mark.parametrize("case", SOLVABLE, ids=lambda case: case.name)
def test_every_case_in_onnxruntime_and_openvino(case: Any) -> None:
    arrays = arrays_of(case)
    model, feed = decomposed(dynamic(case, arrays)), onnx_models.feeds(arrays)
    expected = float64_output(arrays, case.attributes())
    session = stock_session(model.SerializeToString())
    assert array_error(run_session(session, feed)["output"], expected) <= TOLERANCE["float32"]
    assert array_error(OpenVino(model)(feed), expected) <= TOLERANCE["float32"]


# onnxruntime has GridSample in float64 from opset 20 on.
@pytest.mark.parametrize(
    ("dtype", "opset"),
    [(dtype, opset) for dtype in ("float32", "float16") for opset in (16, 18, 19, 20, 22)]
    + [("float64", 20), ("float64", 22)],
)
def test_dtypes_and_opsets(dtype: str, opset: int) -> None:
    case = BY_NAME["asymmetric"]
    arrays = arrays_of(case, dtype)
    model = decomposed(dynamic(case, arrays, dtype, opset))
    output = run_session(stock_session(model.SerializeToString()), onnx_models.feeds(arrays))
    error = array_error(output["output"], float64_output(arrays, case.attributes()))
    assert error <= TOLERANCE[dtype]
    assert output["output"].dtype == dtype


def test_before_grid_sample() -> None:
    model = ir.from_proto(onnx_models.model(arrays_of(BY_NAME["asymmetric"]), {}, opset=15))
    with pytest.raises(
        ExportError, match=f"is 15, expected at least {DECOMPOSED_SINCE}.*GridSample"
    ):
        to_form(model, "decomposed")


def test_float32_offsets_beside_half_data() -> None:
    """Offsets of tens of pixels, which float16 would round to 1/64 of one."""
    case = BY_NAME["far_offsets"]
    arrays = arrays_of(case, "float16", "float32")
    model = decomposed(dynamic(case, arrays))
    output = run_session(stock_session(model.SerializeToString()), onnx_models.feeds(arrays))
    error = array_error(output["output"], float64_output(arrays, case.attributes()))
    assert error <= TOLERANCE["float16"]


def test_one_session_takes_every_size() -> None:
    case = BY_NAME["asymmetric"]
    model = decomposed(dynamic(case, arrays_of(case)))
    sides = (stock_session(model.SerializeToString()), OpenVino(model))
    for name in ("asymmetric", "batch_1", "batch_33", "image_1x1"):
        other = BY_NAME[name]
        # Of the same weight, on another batch and other sizes.
        arrays = arrays_of(other) | {n: arrays_of(case)[n] for n in ("weight", "bias")}
        attributes = case.attributes()
        if other.pads != case.pads:
            continue
        expected = float64_output(arrays, attributes)
        feed = onnx_models.feeds(arrays)
        session, compiled = sides
        assert array_error(run_session(session, feed)["output"], expected) <= TOLERANCE["float32"]
        assert array_error(compiled(feed), expected) <= TOLERANCE["float32"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 2.0**20, -(2.0**20), 1e5])
def test_absurd_offsets_count_as_zero(value: float) -> None:
    """As in our kernels: such a sample is outside, whatever a runtime makes of it as an integer."""
    case = BY_NAME["asymmetric"]
    arrays = arrays_of(case)
    offset = np.array(arrays["offset"])
    offset[:, ::5] = value
    offset[0, 1, 2, 3] = value
    arrays |= {"offset": offset}
    far = np.where(np.isfinite(offset) & (np.abs(offset) < 1e4), offset, 1e4)
    expected = float64_output(arrays | {"offset": far}, case.attributes())
    model, feed = decomposed(dynamic(case, arrays)), onnx_models.feeds(arrays)
    output = run_session(stock_session(model.SerializeToString()), feed)["output"]
    assert array_error(output, expected) <= TOLERANCE["float32"]
    assert array_error(OpenVino(model)(feed), expected) <= TOLERANCE["float32"]


def test_network_exported_decomposed(tmp_path: Path) -> None:
    """``export(form=...)`` writes it too, verifies it, and OpenVINO runs it at two sizes."""
    torch.manual_seed(0)
    network, path = Network().eval(), tmp_path / "model.onnx"
    report = export(
        network,
        torch.randn(2, 6, 20, 24),
        path,
        form="decomposed",
        dynamic_shapes={"image": {0: "batch", 2: "height", 3: "width"}},
    )
    assert report.verification is not None
    assert report.verification.passed
    assert not report.nodes
    compiled = OpenVino(path)
    for size in ((2, 6, 20, 24), (1, 6, 33, 18)):
        image = torch.randn(size)
        with torch.no_grad():
            expected = network(image)
        assert relative_error(run_stock(path, image), expected) <= 1e-5
        assert relative_error(run_ours(path, image), expected) <= 1e-5
        output = torch.from_numpy(compiled({"image": image.numpy()}))
        assert relative_error(output, expected) <= 1e-5


def test_the_readme_says_what_was_measured() -> None:
    root = Path(__file__).parents[1]
    script = [sys.executable, str(root / "benchmarks" / "decomposed.py"), "--summary"]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip()
    assert said in " ".join((root / "README.md").read_text().split())


def test_openvino_runs_what_was_a_foreign_node(tmp_path: Path) -> None:
    source, path = tmp_path / "in.onnx", tmp_path / "out.onnx"
    proto = foreign_model(FOREIGN["mmcv v2"])
    onnx.save(proto, source)
    with pytest.raises(RuntimeError, match="MMCVModulatedDeformConv2d"):
        OpenVino(source)
    dcn_deploy.convert_onnx(source, path, to="decomposed")
    feed = feeds(proto)
    expected = evaluate(proto, feed).astype(np.float64)
    assert array_error(OpenVino(path)(feed), expected) <= TOLERANCE["float32"]
