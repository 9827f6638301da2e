"""The command doctor: what works here, and what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from command_line import MISSING, OK, program

import dcn_deploy
from dcn_deploy.contract import contract
from dcn_deploy.runtimes.tensorrt.host import gpu_problem


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
