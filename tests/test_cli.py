"""The command line as a user meets it: its output, its messages, its exit codes.

Most commands run as a program of their own once; what is left runs in this process, because a
program spends seconds on importing PyTorch.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command_line import Call, program, run_program
from onnx import TensorProto, helper, numpy_helper

import dcn_deploy
from dcn_deploy.cli import main
from dcn_deploy.contract import contract
from dcn_deploy.exporting import export
from dcn_deploy.runtimes.tensorrt.host import gpu_problem

OK, FAILED, BAD_INPUT, MISSING, UNEXPECTED = 0, 1, 2, 3, 4

MODELS = '''
import torch
import dcn_deploy

class Net(torch.nn.Module):
    """conv -> deform -> deform, nothing symmetric."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = dcn_deploy.DeformConv2d(
            6, 8, (3, 2), (2, 1), (1, 0, 2, 1), (2, 1), groups=2, deformable_groups=3,
            modulated=True,
        )
        self.second = dcn_deploy.DeformConv2d(8, 5, 3, padding=1, bias=False)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2

    def forward(self, image):
        return self.second(self.first(image).relu())

def build():
    return Net().eval()

def other():
    model = build()
    model.second.weight.data[0] += 1
    return model

text = "not a model"

def raises():
    raise KeyError("no such backbone")
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: models.py, its model.onnx and weights, inputs, and files that are wrong."""
    made = tmp_path_factory.mktemp("user")
    (made / "models.py").write_text(MODELS)
    namespace: dict[str, Any] = {}
    exec(MODELS, namespace)
    model = namespace["build"]()
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(2, 6, 12, 10, generator=generator)
    export(
        model,
        (image,),
        made / "model.onnx",
        dynamic_shapes=({0: "N", 2: "H", 3: "W"},),
        input_names=["image"],
        output_names=["result"],
        verify=False,
    )
    torch.save({"state_dict": model.state_dict()}, made / "weights.pth")
    torch.save({"wrong": torch.zeros(1)}, made / "wrong.pth")
    np.save(made / "x.npy", image.numpy())
    np.save(made / "wide.npy", image.numpy()[:, :5])
    np.save(made / "double.npy", image.double().numpy())
    np.savez(made / "named.npz", image=image.numpy())
    np.savez(made / "misnamed.npz", picture=image.numpy())
    (made / "text.npy").write_text("1, 2, 3")
    whole = (made / "model.onnx").read_bytes()
    (made / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (made / "text.onnx").write_text("no model\n")
    _save_tampered(made)
    _save_plain(made)
    with torch.no_grad():
        np.save(made / "expected.npy", model(image).numpy())
    return made


def _save_tampered(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    first = next(node for node in model.graph.node if node.op_type == contract().op)
    first.name = "the_tampered_one"
    (strides,) = [item for item in first.attribute if item.name == "strides"]
    strides.CopyFrom(helper.make_attribute("strides", [1, 2]))
    onnx.save(model, folder / "stride.onnx")

    model = onnx.load(folder / "model.onnx")
    (weight,) = [item for item in model.graph.initializer if item.name == "second.weight"]
    values = numpy_helper.to_array(weight).copy()
    values.flat[7] += 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, folder / "corrupted.onnx")


def _save_plain(folder: Path) -> None:
    """No deformable node; an integer input."""
    value = helper.make_tensor_value_info("index", TensorProto.INT64, [3])
    result = helper.make_tensor_value_info("y", TensorProto.INT64, [3])
    graph = helper.make_graph([helper.make_node("Neg", ["index"], ["y"])], "g", [value], [result])
    opsets = [helper.make_opsetid("", 19)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "plain.onnx")


# ---- doctor -----------------------------------------------------------------------------------


def test_doctor_runs_the_op_in_every_runtime(folder: Path) -> None:
    result = program(folder, "doctor", "--json")
    assert result.code == OK, result.err
    report = result.json

    assert report["versions"]["torch"] == torch.__version__
    assert report["instruction_set"] == contract().instruction_set
    assert report["cuda_architectures"] == contract().cuda_architectures
    assert [library["problem"] for library in report["libraries"]] == ["", "", ""]
    eager, ours, stock, tensorrt = report["runtimes"]
    for runtime in (eager, ours):
        assert [test["dtype"] for test in runtime["tests"]] == list(contract().dtypes)
        assert all(test["works"] for test in runtime["tests"])
        assert all(0 < test["error"] < 5e-3 for test in runtime["tests"])
    works = {test["dtype"]: test["works"] for test in stock["tests"]}
    assert works == {"float32": True, "float16": True, "bfloat16": False, "float64": True}
    assert tensorrt["name"] == "TensorRT"
    *floats, double = tensorrt["tests"]
    if gpu_problem() is not None:
        assert all("builds engines here" in test["reason"] for test in floats)
        assert all(gpu_problem() in test["reason"] for test in floats)
    assert double["reason"] == "TensorRT has no float64"


@pytest.mark.parametrize(
    ("present", "missing"), [("torch", "onnxruntime"), ("onnxruntime", "torch")]
)
def test_doctor_says_what_is_missing(
    folder: Path, tmp_path: Path, present: str, missing: str
) -> None:
    """Only one of the libraries is there; the build said why it left the other out."""
    shutil.copy(dcn_deploy._native.library(present), tmp_path)
    (tmp_path / "left_out").mkdir()
    (tmp_path / "left_out" / f"{missing}.txt").write_text("because of the weather\n")
    result = program(folder, "doctor", DCN_DEPLOY_LIBRARY_DIR=str(tmp_path))

    assert result.code == MISSING
    output = " ".join(result.out.split())
    assert f"libdcn_deploy_{missing}.so" in output
    assert "because of the weather" in output
    assert "This installation is not complete." in result.out
    assert "\x1b" not in result.out


# ---- inspect ----------------------------------------------------------------------------------


def test_inspect(folder: Path) -> None:
    result = program(folder, "inspect", "model.onnx", "--json")
    assert result.code == OK, result.err
    first, second = result.json["nodes"]

    assert list(first["attributes"]) == list(contract().attributes)
    assert list(first["attributes"].values()) == [[3, 2], [2, 1], [1, 0, 2, 1], [2, 1], 2, 3]
    assert first["form"] == "portable"
    assert first["shapes"]["input"] == ["N", 6, "H", "W"]
    assert "mask" in first["shapes"]
    assert "mask" not in second["shapes"]
    assert [verdict["runs"] for verdict in first["runtimes"]] == [True, True]
    assert first["origin"] == "first: dcn_deploy.modules.DeformConv2d"
    assert 0 < first["flops_share"] < 1
    takes = {verdict["runtime"]: verdict["runs"] for verdict in first["targets"]}
    assert takes["OpenVINO"] is False
    assert takes["onnxruntime >= 1.25, CPU"] is True


def test_inspect_for_people(cli: Call) -> None:
    for width in (80, 100):
        result = cli("inspect", "model.onnx", width=width)
        assert result.code == OK
        assert "strides=2x1" in result.out
        assert "pads=1,0,2,1" in result.out
        assert "portable form" in result.out
        assert "TensorRT" in result.out
        assert "dcn-deploy convert model.onnx model.decomposed.onnx" in result.out
        assert max(map(len, result.out.splitlines())) <= width
        assert "\x1b" not in result.out


def test_inspect_a_model_without_deformable_nodes(cli: Call) -> None:
    result = cli("inspect", "plain.onnx")
    assert result.code == OK
    assert "It has no deformable convolution." in result.out
    assert cli("inspect", "plain.onnx", "--json").json["nodes"] == []


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.onnx", "missing.onnx: no such file"),
        ("text.onnx", "text.onnx: not an ONNX model, or cut off"),
        ("cut.onnx", "cut.onnx: not an ONNX model, or cut off"),
        (".", ".: is a folder"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "run"])
def test_what_is_not_a_model(file: str, message: str, command: str, cli: Call) -> None:
    result = cli(command, file, "--json")

    assert result.code == BAD_INPUT
    assert f"error: {message}" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert result.json["exit_code"] == BAD_INPUT
    assert message in result.json["error"]


def test_a_message_is_all_that_is_printed(folder: Path) -> None:
    result = program(folder, "inspect", "missing.onnx")
    assert result.code == BAD_INPUT
    assert result.out == ""
    assert result.err == "error: missing.onnx: no such file; give the path of an ONNX model\n"


# ---- verify -----------------------------------------------------------------------------------


def test_verify_against_eager(folder: Path) -> None:
    result = program(
        folder, "verify", "model.onnx", "--against", "models:build", "--checkpoint", "weights.pth",
        "--input", "x.npy", "--runs", 2, "--json",
    )  # fmt: skip
    assert result.code == OK, result.err
    report = result.json

    assert report["passed"] is True
    assert report["baseline"] == "eager Net"
    assert [side["status"] for side in report["sides"]] == ["passed", "passed"]
    names = [case["name"] for case in report["sides"][0]["cases"]]
    assert names == ["given", "random 1", "N=4", "N=1", "H=16, W=14", "H=8, W=8"]
    assert len(report["node_names"]) == 2


def test_verify_against_another_file(cli: Call) -> None:
    result = cli("verify", "model.onnx", "--against", "corrupted.onnx", "--size", "1x6x8x6")
    assert result.code == FAILED
    assert "model.onnx does not agree with corrupted.onnx" in result.out
    assert "its weight differs" in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 100
    same = cli("verify", "model.onnx", "--against", "model.onnx", "--size", "1x6x8x6")
    assert same.code == OK
    assert "model.onnx agrees with model.onnx" in same.out


@pytest.mark.parametrize(
    ("file", "against", "node", "what"),
    [
        ("stride.onnx", "models:build", "the_tampered_one", "attribute strides is [1, 2]"),
        ("corrupted.onnx", "models:build", "/second/", "its weight differs"),
        ("model.onnx", "models:other", "/second/", "its weight differs"),
    ],
)
def test_verify_finds_the_node(file: str, against: str, node: str, what: str, cli: Call) -> None:
    result = cli("verify", file, "--against", against, "--input", "x.npy", "--json")

    assert result.code == FAILED
    assert result.json["passed"] is False
    assert node in result.json["summary"]
    assert what in result.json["summary"]


def test_verify_with_a_tolerance_of_ones_own(cli: Call) -> None:
    arguments = ("verify", "corrupted.onnx", "--against", "models:build", "--input", "x.npy")
    assert cli(*arguments, "--runs", 1, "--tolerance", 10).code == OK


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "models:missing"), "AttributeError: module 'models' has no attribute"),
        (("--against", "nowhere:build"), "ModuleNotFoundError: No module named 'nowhere'"),
        (("--against", "models:raises"), "KeyError: 'no such backbone'"),
        (("--against", "models:text"), "'str' object is not callable"),
        (("--against", "models"), "expected an ONNX file that exists, or package.module:callable"),
        (("--against", "missing.onnx"), "missing.onnx: no such file"),
        (("--against", "models:build", "--checkpoint", "none.pth"), "none.pth: no such file"),
        (("--against", "models:build", "--checkpoint", "wrong.pth"), "Unexpected key"),
        (
            ("--against", "models:build", "--checkpoint", "x.npy"),
            "x.npy: it cannot be read; expected a state dict",
        ),
        (("--against", "model.onnx", "--checkpoint", "weights.pth"), "not for a file"),
        (("--checkpoint", "weights.pth"), "not without it"),
        (("--against", "models:build", "--input", "wide.npy"), "expected float32 [N, 6, H, W]"),
    ],
)
def test_verify_with_wrong_arguments(arguments: tuple[str, ...], message: str, cli: Call) -> None:
    given = () if "--input" in arguments else ("--size", "1x6x8x6")
    result = cli("verify", "model.onnx", *arguments, *given)

    assert result.code == BAD_INPUT
    assert message in result.err
    assert result.out == ""


# ---- run --------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["x.npy", "image=x.npy", "named.npz"])
def test_run_writes_what_the_model_computes(
    given: str, cli: Call, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.npz"
    result = cli("run", "model.onnx", "--input", given, "-o", output, "--json")
    assert result.code == OK, result.err
    (name, about), = result.json["outputs"].items()  # fmt: skip

    written = np.load(output)
    assert written.files == [name] == ["result"]
    expected = np.load(folder / "expected.npy")
    np.testing.assert_allclose(written[name], expected, rtol=1e-4, atol=1e-5)
    assert about["shape"] == list(expected.shape)
    assert about["dtype"] == "float32"
    assert about["mean"] == pytest.approx(expected.mean(), rel=1e-3)
    assert about["max"] == pytest.approx(expected.max(), rel=1e-3)
    assert about["not_finite"] == 0
    assert list(tmp_path.iterdir()) == [output]


def test_run_on_random_input(cli: Call) -> None:
    result = cli("run", "model.onnx", "--random", "--size", "image=3x6x10x8", width=80)
    assert result.code == OK, result.err
    assert "float32 3x5x5x8" in result.out
    assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("file", "arguments", "message"),
    [
        ("model.onnx", (), "the model takes image: float32 [N, 6, H, W]; give --input image=x.npy"),
        ("model.onnx", ("--random",), "give its size, for instance --size image=1x6x64x64"),
        ("model.onnx", ("--random", "--size", "1x6xAx8"), "expected numbers, like 1x3x224x224"),
        ("model.onnx", ("--random", "--size", "1x6x-4x8"), "expected numbers, like 1x3x224x224"),
        ("model.onnx", ("--input", "none.npy"), "none.npy: no such file"),
        ("model.onnx", ("--input", "text.npy"), "text.npy: not a .npy or .npz file of numbers"),
        ("model.onnx", ("--input", "misnamed.npz"), "misnamed.npz holds 'picture'"),
        ("model.onnx", ("--input", "picture=x.npy"), "the model has no input 'picture'"),
        ("model.onnx", ("--input", "x.npy", "--input", "x.npy"), "the model takes only image"),
        (
            "model.onnx",
            ("--input", "wide.npy"),
            "input 'image' is float32 [2, 5, 12, 10], expected float32 [N, 6, H, W]",
        ),
        ("model.onnx", ("--input", "double.npy"), "is float64 [2, 6, 12, 10], expected float32"),
        ("plain.onnx", ("--random",), "input 'index' is int64"),
        ("model.onnx", ("--random", "--size", "99999x6x99999x99999"), "give a smaller --size"),
        ("model.onnx", ("--random", "--size", f"{2**62}x6x8x6"), "give a smaller --size"),
        ("model.onnx", ("--random", "--seed", str(2**70)), "'--seed'"),
        ("model.onnx", ("--input", "x.npy", "-o", "no/folder.npz"), "cannot be written"),
        ("model.onnx", ("--input", "x.npy", "-o", "."), "--output .: is a folder"),
    ],
)
def test_run_with_wrong_arguments(
    file: str, arguments: tuple[str, ...], message: str, cli: Call
) -> None:
    result = cli("run", file, *arguments)

    assert result.code == BAD_INPUT
    assert message in result.err
    assert result.out == ""


def test_run_a_model_that_does_not_run(cli: Call) -> None:
    result = cli("run", "stride.onnx", "--input", "x.npy")
    assert result.code == FAILED
    assert "stride.onnx does not run:" in result.err
    assert "the_tampered_one" in result.err


def test_run_without_the_library(folder: Path, tmp_path: Path) -> None:
    shutil.copy(dcn_deploy._native.library("torch"), tmp_path)
    result = program(
        folder, "run", "model.onnx", "--input", "x.npy", DCN_DEPLOY_LIBRARY_DIR=str(tmp_path)
    )
    assert result.code == MISSING
    assert "libdcn_deploy_onnxruntime.so" in result.err


# ---- bench ------------------------------------------------------------------------------------


def test_bench(folder: Path) -> None:
    result = program(
        folder, "bench", "model.onnx", "--size", "1x6x8x6", "--repeat", 7, "--threads", 1,
        "--dtype", "float32", "--dtype", "float16", "--against", "models:build", "--json",
    )  # fmt: skip
    assert result.code == OK, result.err
    report = result.json

    assert report["input_shapes"] == {"image": [1, 6, 8, 6]}
    rows = report["timings"]
    assert [(row["backend"], row["dtype"], row["threads"]) for row in rows] == [
        (backend, dtype, 1)
        for dtype in ("float32", "float16")
        for backend in ("onnxruntime + dcn_deploy", "onnxruntime alone", "PyTorch eager")
    ]
    for row in rows:
        assert row["runs"] == 7
        assert 0 < row["best_ms"] <= row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["memory_bytes"] > 0
    ours, stock, eager = rows[:3]
    assert ours["speedup_over_stock"] == pytest.approx(stock["median_ms"] / ours["median_ms"])
    assert ours["speedup_over_eager"] == pytest.approx(eager["median_ms"] / ours["median_ms"])
    assert eager["speedup_over_eager"] == 1


def test_bench_of_a_model_that_runs_nowhere(cli: Call) -> None:
    result = cli("bench", "stride.onnx", "--size", "1x6x8x6")
    assert result.code == FAILED
    assert "onnxruntime alone, float32: " in result.out


# ---- the program ------------------------------------------------------------------------------


def test_help_explains_the_exit_codes(cli: Call) -> None:
    text = " ".join(cli("--help").out.split())
    assert "Exit codes: 0 all is well; 1 the check failed" in text


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inspect` fails in a way that nobody foresaw."""

    def fail(path: Path) -> None:
        raise LookupError(f"no [bold] idea\nwhat {path} is")

    monkeypatch.setattr(sys.modules["dcn_deploy.cli.inspect"], "inspect_model", fail)


@pytest.mark.usefixtures("faulty")
def test_a_fault_of_the_program_is_no_failed_check(cli: Call) -> None:
    result = cli("inspect", "model.onnx", "--json")

    assert result.code == UNEXPECTED
    assert "error: unexpected LookupError: no [bold] idea" in result.err
    assert "please report it" in result.err
    assert len(result.err.splitlines()) == 1
    assert result.json["exit_code"] == UNEXPECTED
    assert "unexpected LookupError" in result.json["error"]
    assert cli("inspect", "model.onnx").out == ""
    assert f"{UNEXPECTED} a fault of this program" in " ".join(cli("--help").out.split())


@pytest.mark.usefixtures("faulty")
def test_a_fault_shows_its_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DCN_DEPLOY_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["dcn-deploy", "inspect", "model.onnx"])
    with pytest.raises(SystemExit) as stopped:
        main()

    assert stopped.value.code == UNEXPECTED
    assert capfd.readouterr().err.startswith("Traceback")


@pytest.mark.parametrize(
    ("arguments", "message", "usage"),
    [
        (("inspect",), "missing argument 'model'", "inspect --help"),
        (("inspect", "a", "b"), "(b)", "inspect --help"),
        (("inspect", "a", "--frob"), "no such option: --frob", "inspect --help"),
        (("report", "model.onnx"), "missing option '--output'", "report --help"),
        (("bench", "model.onnx", "--repeat", 0), "invalid value for '--repeat'", "bench --help"),
        (("frobnicate",), "no such command 'frobnicate'", "--help"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], message: str, usage: str, cli: Call) -> None:
    result = cli(*arguments)
    assert result.code == BAD_INPUT
    assert result.out == ""
    assert message in result.err.lower()
    assert result.err.endswith(f"{usage}\n")
    assert len(result.err.splitlines()) == 1

    as_json = cli(*arguments, "--json")
    assert as_json.code == BAD_INPUT
    assert as_json.err == result.err
    assert as_json.json == {
        "error": result.err.removeprefix("error: ").strip(),
        "exit_code": BAD_INPUT,
    }


def test_without_arguments_it_shows_its_help(cli: Call) -> None:
    result = cli()
    assert result.code == BAD_INPUT
    assert "inspect" in result.out
    assert result.err == ""


def test_version(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the installed package has it; the tests may run on one that is not installed."""
    versions = {"dcn_deploy": "12.34"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    result = cli("--version")
    assert result.code == OK
    assert result.out == "dcn-deploy 12.34\n"


def test_an_interrupt_is_no_failure(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["dcn_deploy.cli.inspect"], "inspect_model", interrupt)
    result = cli("inspect", "model.onnx")
    assert result.code == 130
    assert result.out == result.err == ""


def test_the_installed_program(folder: Path) -> None:
    script = Path(sysconfig.get_path("scripts")) / "dcn-deploy"
    result = run_program((str(script),), folder, "inspect", "model.onnx", "--json")
    assert result.code == OK, result.err
    assert len(result.json["nodes"]) == 2
