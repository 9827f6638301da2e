"""The commands run and bench."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import BAD_INPUT, FAILED, MISSING, OK, Call, program

import dcn_deploy


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
