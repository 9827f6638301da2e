"""``benchmarks/gpu_check.py`` without a GPU: its checks run on the emulator, what it times with
runs on the CPU, and what it says must be so."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cases import make_inputs
from cuda_core.core import Core
from cuda_core.emulated import library
from cuda_core.judging import FORWARD

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu_check.py"
sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu_check  # noqa: E402
from on_gpu import contenders, goals, measuring, report, workload  # noqa: E402
from on_gpu.checks import Outcome, attempt  # noqa: E402

ABOUT_A_GPU = {
    "a stream of its own",
    "several streams at once",
    "a CUDA graph",
    "the op for torch",
    "compute-sanitizer, memcheck",
    "compute-sanitizer, racecheck",
    "timing",
}


def test_the_checks_pass_on_the_emulator(tmp_path: Path) -> None:
    built = library(watched=False)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device=cpu", f"--library={built}", f"--out={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu-check.json").read_text())["checks"]
    assert {c["check"] for c in found if c["result"] == "not run"} == ABOUT_A_GPU
    passed = {c["check"] for c in found if c["result"] == "ok"}
    assert passed >= {f"forward, {kind}" for kind in FORWARD}
    assert len(passed) + len(ABOUT_A_GPU) == len(found)
    page = (tmp_path / "gpu-check.md").read_text()
    for check in found:
        assert check["check"] in page
        assert check["check"] in done.stdout


def test_a_wrong_result_fails_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = Core.forward

    def wrong(self: Core, *args: Any, **named: Any) -> torch.Tensor:
        output = right(self, *args, **named)
        output.view(-1)[:1] += 1
        return output

    monkeypatch.setattr(Core, "forward", wrong)
    kinds = {"float16": FORWARD["float16"]}
    monkeypatch.setattr(gpu_check, "FORWARD", kinds)
    monkeypatch.setattr(gpu_check, "BACKWARD", {})
    for check in ("random_problems", "wild_values", "wild_gradients", "deterministic"):
        monkeypatch.setattr(gpu_check.checks, check, lambda *_: "left out")
    built = library(watched=False)
    arguments = ["--device=cpu", f"--library={built}", f"--out={tmp_path}"]
    assert gpu_check.main(arguments) == 1
    assert "outputs are off: asymmetric: " in capsys.readouterr().out


def test_what_a_check_raises_is_its_result() -> None:
    def raises() -> str:
        raise RuntimeError("an illegal memory access was encountered")

    expected = Outcome("it", "FAILED", "an illegal memory access was encountered")
    assert attempt("it", raises) == expected


def test_without_a_gpu_it_says_so() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == "There is no GPU here that torch can use: nothing was checked.\n"


# ---- the measuring half, on the CPU --------------------------------------------------------------


class StandIn:
    """For a replayed graph: runs its calls once, and takes as long as it is told."""

    us_of = staticmethod(lambda: 10.0)

    def __init__(self, calls: Any) -> None:
        for call in calls:
            call()
        self.us = self.us_of


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Core:
    """Everything that the measuring half asks of a GPU, on the CPU."""
    for name in ("synchronize", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(measuring, "Replay", StandIn)
    monkeypatch.setattr(measuring, "sets_of_inputs", lambda _: 2)
    monkeypatch.setattr(measuring, "DEVICE", "cpu")
    monkeypatch.setattr(
        measuring,
        "make_layer_inputs",
        lambda case, dtype, seed: make_inputs(case, dtype, None, seed),
    )
    return Core(library(watched=False))


CEILINGS = workload.Ceilings(4e6, {"float16": 8e8, "bfloat16": 8e8, "float32": 4e8})
SMALL = replace(workload.LAYERS[0], in_channels=16, out_channels=24, size=(9, 11))


def work_for(kind: str) -> list[workload.Work]:
    return [(SMALL, kind, which) for which in workload.PASSES]


def test_when_time_is_up_the_rest_is_said_to_be_left_out(cpu: Core) -> None:
    rows = measuring.measure_all(cpu, work_for("float16"), CEILINGS, 1, -math.inf)
    assert [(row.which, row.not_run) for row in rows] == [
        (which, "no time was left") for which in workload.PASSES
    ]


def test_the_goals_are_measured_first() -> None:
    quick, whole = (workload.all_work(quick=quick) for quick in (True, False))
    assert whole[: len(quick)] == quick
    assert len(set(whole)) == len(whole) == len(quick) + 24
    for layer, kind in workload.TARGET_US:
        assert any((case.name, k) == (layer, kind) for case, k, _ in quick)


@pytest.mark.parametrize("kind", workload.KINDS)
def test_every_contender_is_timed_or_said_why_not(cpu: Core, kind: str) -> None:
    rows = measuring.measure_all(cpu, work_for(kind), CEILINGS, 2, math.inf)
    ran = {(row.which, row.contender) for row in rows if row.us is not None}
    ours = {(workload.FORWARD_PASS, name) for name in contenders.FORWARD_PASSES if "ours" in name}
    conv = {(which, contenders.CONV) for which in workload.PASSES}
    assert ran >= ours | conv | {(workload.BOTH_PASSES, contenders.OURS_BOTH)}
    for row in rows:
        if row.us is None:
            assert row.not_run
            continue
        cost = workload.cost_of(SMALL, kind, row.which)
        assert row.us == 10
        assert row.tflops == pytest.approx(cost.flops / 10e6)
        assert row.to_ours == 1
        assert row.of_floor == pytest.approx(cost.floor_us(CEILINGS, FORWARD[kind].dtype) / 10)
        judged = row.which == workload.FORWARD_PASS and row.contender != contenders.CONV
        assert (row.error is not None) == judged
        if judged and "ours" in row.contender:
            assert row.error <= FORWARD[kind].tolerance
    everyone = {(workload.FORWARD_PASS, name) for name in contenders.FORWARD_PASSES}
    everyone |= {(workload.BOTH_PASSES, name) for name in contenders.BOTH}
    everyone |= {(workload.FORWARD_PASS, name) for name in measuring.RUNTIMES}
    assert {(row.which, row.contender) for row in rows} == everyone


def test_a_contender_that_computes_something_else_is_left_out(
    cpu: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        contenders.FORWARD_PASSES,
        contenders.TORCHVISION,
        contenders.FORWARD_PASSES[contenders.CONV],
    )
    rows = measuring.measure_all(cpu, work_for("float16")[:1], CEILINGS, 1, math.inf)
    (row,) = [row for row in rows if row.contender == contenders.TORCHVISION]
    assert row.us is None
    assert row.not_run.startswith("its result is another: relative error ")


def test_cost_of_a_published_layer() -> None:
    """4.95 GFLOP, and 6.3 us of a device that makes 790 TFLOP/s."""
    layer = workload.LAYERS[0]
    cost = workload.cost_of(layer, "float16", workload.FORWARD_PASS)
    assert cost.flops == 2 * 256 * 256 * 9 * 50 * 84
    assert cost.bytes == 2 * (256 * 4200 * 2 + 256 * 256 * 9 + 27 * 4200)
    ceilings = workload.Ceilings(4.3e6, {"float16": 7.9e8, "float32": 4e8})
    assert cost.floor_us(ceilings, torch.float16) == pytest.approx(6.3, abs=0.05)
    exact = workload.cost_of(layer, "float32", workload.FORWARD_PASS)
    assert exact.floor_us(ceilings, torch.float32) == pytest.approx(3 * cost.flops / 4e8)


def test_goals_are_met_missed_or_open() -> None:
    layer = workload.LAYERS[0].name

    def row(contender: str, us: float, which: str = workload.FORWARD_PASS) -> measuring.Row:
        return measuring.Row(layer, "float16", which, contender, us=us, spread=0.01)

    rows = [
        row(contenders.OURS, 14.0),
        row(contenders.TORCHVISION, 37.0),
        row(contenders.CONV, 8.0),
        row(contenders.OURS_BOTH, 62.0, workload.BOTH_PASSES),
        row(contenders.TORCHVISION, 250.0, workload.BOTH_PASSES),
    ]
    found = {goal.what: goal.verdict for goal in goals.goals(rows, "NVIDIA H200")}
    name = f"{layer}, float16"
    assert found[f"{name}: us"] == "met"
    assert found[f"{name}: to torchvision's"] == "missed"  # 2.6 times as fast, not 3
    assert found[f"{name}: with backward, to torchvision's"] == "met"
    assert found[f"{name}: with backward, to forward"] == "met"
    assert found[f"{name}: to cuDNN's plain convolution"] == "met"
    assert found[f"{layer}, float32: us"] == "not run"
    assert len(set(found.values())) == 3


def test_the_page_shows_what_was_measured_and_why_not(tmp_path: Path) -> None:
    rows = [
        measuring.Row("a layer", "float16", "forward", contenders.OURS, 12.34, 0.02, 400.0, 0.5),
        measuring.Row("a layer", "float16", "forward", "torchvision", not_run="no torchvision"),
    ]
    results = report.Results([Outcome("a check", "ok", "fine")], CEILINGS, rows)
    report.write(tmp_path, results)
    page = (tmp_path / "gpu-check.md").read_text()
    assert "| a layer | ours, channels-last | float16 | forward | 12.3 | 2 | 400.0 | 50 |" in page
    assert "- not run: torchvision, float16: no torchvision" in page
    assert "| a check | ok | fine |" in page
