"""What of running engines can be tested without a GPU: refusals, inputs, and the verified side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_worker import write_model
from exported import Network
from torch import Tensor

import dcn_deploy
from dcn_deploy import tensorrt_plugins
from dcn_deploy.contract import contract
from dcn_deploy.inspection import TensorReport
from dcn_deploy.runtimes import onnxruntime as runtime
from dcn_deploy.runtimes.tensorrt import failure, host
from dcn_deploy.verification import tensorrt_side

NO_GPU = host.gpu_problem()


@pytest.mark.skipif(NO_GPU is None, reason="this machine has a GPU")
@pytest.mark.parametrize("built", [True, False], ids=["engine", "not an engine"])
def test_without_a_gpu_one_sentence_says_so(tmp_path: Path, built: bool) -> None:
    """Never the crash of a runtime that looks for a driver."""
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"\0" * 4096)
    if built:
        model = write_model(tmp_path / "model.onnx", "portable")
        program = "import sys, dcn_deploy as d; d.build_engine(*sys.argv[1:])"
        subprocess.run([sys.executable, "-c", program, model, engine], check=True)
    program = "import sys, dcn_deploy as d; d.TensorRTRunner(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, engine], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith(f"EngineError: {engine} cannot run here: {NO_GPU}")


def test_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.engine"):
        dcn_deploy.TensorRTRunner(tmp_path / "none.engine")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "lacks its input 'image'"),
        ({"picture": np.zeros((1, 3, 4, 4), np.float32)}, "has no input 'picture'"),
        ({"image": np.zeros((1, 3, 4, 4))}, "is float64 .*, expected float32"),
        (
            {"image": torch.zeros(1, 4, 4, 4)},
            r"is float32 \[1, 4, 4, 4\], expected float32",
        ),
        ({"image": torch.zeros(3, 4, 4)}, r"expected float32 \[\?, 3, \?, \?\]"),
    ],
)
def test_inputs_are_checked_by_name(inputs: Mapping[str, Any], message: str) -> None:
    runner = object.__new__(dcn_deploy.TensorRTRunner)  # loaded on a machine that has a GPU
    runner.inputs = (TensorReport("image", "float32", (None, 3, None, None)),)
    with pytest.raises(dcn_deploy.InputError, match=message):
        runner.run(inputs)


# ---- as a side of a verification ----------------------------------------------------------------


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """onnxruntime in the place of the engine; what was asked of the build."""
    asked: dict[str, Any] = {"error": 0.0}

    def build(onnx_path: Path, engine_path: Path, *, profiles: Any) -> None:
        asked.update(onnx=onnx_path, profiles=profiles)

    class Runner:
        def __init__(self, engine_path: Path) -> None:
            self.session = runtime.ort_session(asked["onnx"])
            self.outputs = [TensorReport(o.name, None, None) for o in self.session.get_outputs()]

        def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
            outputs = runtime.run(self.session, arrays)
            return {n: torch.from_numpy(a) + asked["error"] for n, a in outputs.items()}

    monkeypatch.setattr(tensorrt_side, "require_gpu", lambda what: None)
    monkeypatch.setattr(tensorrt_side, "build_engine", build)
    monkeypatch.setattr(tensorrt_side, "TensorRTRunner", Runner)
    return asked


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    network = Network().eval()
    path = tmp_path_factory.mktemp("verified") / "model.onnx"
    sizes = {0: "batch", 2: "height", 3: "width"}
    dcn_deploy.export(
        network, torch.randn(2, 6, 16, 24), path, dynamic_shapes={"image": sizes}, verify=False
    )
    return path, network


def test_verification_builds_for_the_sizes_that_it_runs(
    exported: tuple[Path, torch.nn.Module], stood_in: dict[str, Any]
) -> None:
    path, network = exported
    image = torch.randn(2, 6, 16, 24)
    report = dcn_deploy.verify(path, network, image, runtimes=["tensorrt"])
    assert report.passed, report
    (side,) = report.sides
    assert side.name == tensorrt_side.TENSORRT
    shapes = [case.input_shapes[0] for case in side.cases]
    assert len(set(shapes)) > 3
    smallest, usual, largest = stood_in["profiles"]["image"]
    assert usual == (2, 6, 16, 24)
    assert smallest == tuple(map(min, zip(*shapes, strict=True)))
    assert largest == tuple(map(max, zip(*shapes, strict=True)))
    assert any("through the outputs only" in note for note in report.notes)


def test_verification_sees_an_engine_that_computes_something_else(
    exported: tuple[Path, torch.nn.Module], stood_in: dict[str, Any]
) -> None:
    stood_in["error"] = 0.01
    report = dcn_deploy.verify(*exported, torch.randn(2, 6, 16, 24), runtimes=["tensorrt"])
    assert not report.passed
    assert "does not agree" in report.summary


@pytest.mark.parametrize("runtimes", [[], ["tvm"], ["tensorrt", "tvm"]])
def test_runtimes_that_are_none(
    exported: tuple[Path, torch.nn.Module], runtimes: list[Any]
) -> None:
    with pytest.raises(ValueError, match=r"runtimes is .*, expected a list of onnxruntime or"):
        dcn_deploy.verify(*exported, torch.randn(2, 6, 16, 24), runtimes=runtimes)


# ---- which plugin, and what TensorRT says -------------------------------------------------------

SQUARE = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1]}


def nvidia(form: str = "standard", dtype: str = "float32", **attributes: Any) -> tuple[bool, str]:
    """Whether TensorRT >= 10.1 alone runs the node, and what is said of it."""
    verdicts = tensorrt_plugins.plugin_verdicts(
        form,  # type: ignore[arg-type]
        dtype,
        dict(contract().attributes) | SQUARE | attributes,
        mask_without_bias=False,
    )
    found = {verdict.runtime: verdict for verdict in verdicts}
    assert all(found[name].runs for name in list(found)[:3])
    return found[tensorrt_plugins.NEWER_ALONE].runs, found[tensorrt_plugins.NEWER_ALONE].reason


@pytest.mark.parametrize(
    ("options", "runs", "reason"),
    [
        ({}, True, "NVIDIA's plugin"),
        ({"form": "portable", "dtype": "float16"}, True, "adds up in float16"),
        ({"form": "custom"}, False, "only our plugin"),
        ({"dtype": "bfloat16"}, False, "has no bfloat16"),
        ({"pads": [1, 0, 2, 1]}, False, r"refuses pads [1, 0, 2, 1]"),
        ({"pads": [1, 0, 1, 0]}, False, "takes the height of pads for width"),
        ({"strides": [2, 1]}, False, "takes the height of strides for width"),
        ({"dilations": [1, 2]}, False, "takes the height of dilations for width"),
    ],
)
def test_what_nvidias_plugin_makes_of_a_node(
    options: dict[str, Any], runs: bool, reason: str
) -> None:
    found = nvidia(**options)
    assert found[0] == runs
    assert reason in found[1]


def test_mask_without_bias_is_for_our_build_only() -> None:
    verdicts = tensorrt_plugins.plugin_verdicts(
        "standard", "float32", SQUARE, mask_without_bias=True
    )
    assert all("dcn-deploy build" in verdict.reason for verdict in verdicts[:3])
    assert not any(verdict.runs for verdict in verdicts[3:])


def test_error_leads_with_the_reason() -> None:
    said = [
        host.Message(host.ERROR, "deformable convolution 'a': offset has 1 channels, expected 2"),
        host.Message(host.ERROR, "ModelImporter.cpp:140: While parsing node number 0"),
        host.Message(host.ERROR, "Error Code 4: API Usage Error\n(cudaError 35: no driver)"),
        host.Message(host.ERROR, "Error Code 9: something\nelse"),
        host.Message(host.ERROR, "Error Code 9: something\nelse"),
        host.Message(host.WARNING, "a warning"),
    ]
    text = str(failure.builder_failure("m.onnx", "tensorrt 11", said))
    first, *rest = text.splitlines()
    assert first == (
        "m.onnx cannot be built by tensorrt 11: deformable convolution 'a': offset has 1 channels, "
        "expected 2"
    )
    assert [line.strip() for line in rest] == ["Error Code 9: something else"]
    silent = failure.builder_failure("m.onnx", "tensorrt 11", [])
    assert str(silent).endswith("it gives no reason")
