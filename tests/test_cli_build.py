"""``dcn-deploy build``, and what the other commands say of TensorRT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
import torch
from command_line import BAD_INPUT, FAILED, MISSING, OK
from exported import Network

import dcn_deploy
from dcn_deploy import tensorrt_plugins
from dcn_deploy.cli import main
from dcn_deploy.runtimes.tensorrt.host import gpu_problem

PROFILE = "image=1x6x16x16:2x6x20x24:4x6x40x40"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: a network of dynamic sizes, in portable form and spoiled."""
    made = tmp_path_factory.mktemp("user")
    torch.manual_seed(0)
    dcn_deploy.export(
        Network().eval(),
        torch.randn(2, 6, 20, 24),
        made / "model.onnx",
        dynamic_shapes={"image": {0: "batch", 2: "height", 3: "width"}},
        verify=False,
    )
    spoiled = onnx.load(made / "model.onnx")
    (weight,) = [item for item in spoiled.graph.initializer if item.name == "second.weight"]
    weight.raw_data = weight.raw_data[: weight.dims[0] * 4 * 7 * 9]
    weight.dims[1] = 7
    onnx.save(spoiled, made / "spoiled.onnx")
    return made


def program(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which TensorRT may end."""
    done = subprocess.run(
        [sys.executable, "-m", "dcn_deploy.cli", *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100"} | more,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


Call = Callable[..., tuple[object, str, str]]


@pytest.fixture
def cli(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command in this process, for what does not come as far as TensorRT."""
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["dcn-deploy", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code or 0, *capfd.readouterr()

    return call


def test_float16(folder: Path) -> None:
    done = program(folder, "build", "model.onnx", "--fp16", "--profile", PROFILE, "--json")
    assert done.returncode == OK, done.stderr
    report = json.loads(done.stdout)
    engine = report["engine"]
    assert engine["path"] == "model.engine"
    assert engine["bytes"] == (folder / "model.engine").stat().st_size
    assert engine["profiles"] == [{"image": [[1, 6, 16, 16], [2, 6, 20, 24], [4, 6, 40, 40]]}]
    assert [node["dtype"] for node in engine["inputs"] + engine["outputs"]] == ["float32"] * 2
    assert len(engine["nodes"]) == 2
    assert any("float16, float16, float32" in call for call in engine["plugin_calls"])
    assert report["precision"]["dtype"] == "float16"
    assert set(engine["nodes"]) <= set(report["precision"]["lowered"])
    assert report["verification"]["passed"]
    assert report["verification"]["baseline"] == "model.onnx"


def test_bfloat16_for_people(folder: Path) -> None:
    arguments = ("--bf16", "--keep", "/node_relu", "-o", "out/half.engine", "--profile", PROFILE)
    done = program(folder, "build", "model.onnx", *arguments, "--no-plugin-in-engine")
    assert done.returncode == OK, done.stderr
    text = " ".join(done.stdout.split())
    assert (folder / "out" / "half.engine").is_file()
    assert "out/half.engine, " in text
    assert "built by tensorrt_rtx" in text
    assert "image float32 [batch, 6, height, width]" in text
    assert "profile image 1x6x16x16 … 2x6x20x24 … 4x6x40x40" in text
    assert "(to be loaded beside it): /first/node_deform_conv2d, /second/" in text
    assert "named to be kept: /node_relu" in text
    assert "computes coordinates of /first/node_deform_conv2d: " in text
    assert "model.onnx in bfloat16, each operator in float32 between casts agrees with" in text


def test_model_that_cannot_be_built(folder: Path) -> None:
    done = program(folder, "build", "spoiled.onnx", "--profile", PROFILE, "--json")
    assert done.returncode == FAILED
    error = json.loads(done.stdout)
    assert error["exit_code"] == FAILED
    assert "'/second/node_deform_conv2d_1'" in error["error"]
    assert "weight has 7 input channels, expected C / group = 8" in error["error"]
    assert not (folder / "spoiled.engine").exists()


def test_half_precision_that_is_wrong_is_not_built(
    cli: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower = dcn_deploy.building.lower

    def lower_badly(model: ir.Model, *arguments: Any, **options: Any) -> object:
        report = lower(model, *arguments, **options)
        bias = model.graph.initializers["second.bias"]
        assert bias.const_value is not None
        bias.const_value = ir.tensor(bias.const_value.numpy() + 1)
        return report

    monkeypatch.setattr(dcn_deploy.building, "lower", lower_badly)
    code, _, err = cli("build", "model.onnx", "--fp16", "-o", "no.engine", "--profile", PROFILE)
    assert code == FAILED
    assert "model.onnx in float16 does not agree with model.onnx" in err
    assert not (folder / "no.engine").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "input 'image' is [batch, 6, height, width]: give its smallest, usual and largest"),
        (("--profile", "image=1x6x16x16:2x6x20x24"), "expected one size or three, like"),
        (("--profile", "image=1x6xA"), "expected one size or three, like"),
        (("--profile", "picture=1x6x16x16"), "the model has no such input; it takes image"),
        (("--profile", "1x5x16x16"), "the smallest size is [1, 5, 16, 16], expected [batch, 6,"),
        (("--profile", "1x6x16x16", "--profile", "1x6x16x16"), "the model takes only image"),
        (("--profile", "2x6x9x9:1x6x9x9:2x6x9x9"), "is larger than the usual"),
        (("--fp16", "--bf16"), "--fp16 and --bf16: give one of them"),
        (("--keep", "x"), "--keep is for --fp16 and --bf16"),
        (("--package", "tensorflow"), "expected tensorrt or tensorrt_rtx"),
        (("--profile", PROFILE, "--fp16", "--keep", "x"), "keep names 'x', which is no node of"),
        (("--profile", PROFILE, "-o", "."), "is a folder; give the name of a file"),
    ],
)
def test_wrong_arguments(cli: Call, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = cli("build", "model.onnx", *arguments)
    assert code == BAD_INPUT
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_tensorrt_that_is_not_installed(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    code, _, err = cli("build", "model.onnx", "--package", "tensorrt", "--profile", PROFILE)
    assert code == MISSING
    assert "pip install tensorrt-rtx" in err


# ---- loading elsewhere --------------------------------------------------------------------------


def test_show_loading(cli: Call, folder: Path) -> None:
    code, out, _ = cli("build", "model.onnx", "-o", "m.engine", "--profile", PROFILE,
                       "--show-loading")  # fmt: skip
    assert code == OK
    assert not (folder / "m.engine").exists()
    lines = [line.strip() for line in out.splitlines()]
    library = dcn_deploy.tensorrt_plugin_library()
    newer = (
        "trtexec --onnx=model.onnx --saveEngine=m.engine --minShapes=image:1x6x16x16 "
        "--optShapes=image:2x6x20x24 --maxShapes=image:4x6x40x40 --noTF32 "
        f"--dynamicPlugins={library} --setPluginsToSerialize={library} --skipInference"
    )
    assert newer in lines
    assert f"{newer} --stronglyTyped" in lines
    assert lines.count("trtexec --loadEngine=m.engine") == 2
    assert "tritonserver --model-repository=models " in out
    assert f'builder->getPluginRegistry().loadLibrary("{library}");' in out
    assert "runtime->setEngineHostCodeAllowed(true);" in out


def test_show_loading_of_an_engine_without_the_plugin(cli: Call) -> None:
    code, out, _ = cli("build", "model.onnx", "--profile", PROFILE, "--no-plugin-in-engine",
                       "--tf32", "--show-loading", "--json")  # fmt: skip
    assert code == OK
    ways = {way["title"]: " ".join(way["lines"]) for way in json.loads(out)}
    library = dcn_deploy.tensorrt_plugin_library()
    assert f"trtexec --loadEngine=model.engine --dynamicPlugins={library}" in ways["trtexec 11.x"]
    assert "setPluginsToSerialize" not in str(ways)
    assert "noTF32" not in str(ways)
    assert "Triton Inference Server" not in ways
    assert f'getPluginRegistry()->loadLibrary("{library}");' in ways["C++, to load"]


# ---- the other commands -------------------------------------------------------------------------


def test_inspect_says_which_plugin_would_run_each_node(cli: Call) -> None:
    code, out, _ = cli("inspect", "model.onnx", "--json")
    assert code == OK
    first, second = json.loads(out)["nodes"]
    verdicts = {verdict["runtime"]: verdict for verdict in first["targets"]}
    assert verdicts[tensorrt_plugins.RTX] == {
        "runtime": tensorrt_plugins.RTX, "runs": True, "reason": "our plugin",
        "fix": "dcn-deploy build model.onnx -o model.engine"}  # fmt: skip
    assert not verdicts[tensorrt_plugins.NEWER_ALONE]["runs"]
    assert "pads [1, 0, 2, 1]" in verdicts[tensorrt_plugins.NEWER_ALONE]["reason"]
    alone = {verdict["runtime"]: verdict["runs"] for verdict in second["targets"]}
    assert alone[tensorrt_plugins.NEWER_ALONE]
    assert not alone[tensorrt_plugins.OTHERS_ALONE]
    _, out, _ = cli("inspect", "model.onnx")
    assert "dcn-deploy build model.onnx -o model.engine" in out


def test_verify_in_tensorrt_says_in_one_sentence_that_there_is_no_gpu(cli: Call) -> None:
    if gpu_problem() is None:
        pytest.skip("this machine has a GPU")
    arguments = ("--against", "model.onnx", "--size", "2x6x20x24", "--runtime", "tensorrt")
    code, out, err = cli("verify", "model.onnx", *arguments, "--json")
    assert (code, err) == (FAILED, "")
    (side,) = json.loads(out)["sides"]
    assert side["status"] == "not run"
    assert side["not_run"] == f"an engine cannot run here: {gpu_problem()}"


def test_verify_in_a_runtime_that_it_does_not_know(cli: Call) -> None:
    code, _, err = cli("verify", "model.onnx", "--against", "model.onnx", "--runtime", "tvm")
    assert code == BAD_INPUT
    assert "--runtime tvm: expected onnxruntime or tensorrt" in err
