"""The benchmark of the layers as a user runs it, on one small layer: no timing is judged."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LAYER = "37→50 61x47"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench") / "results" / "layers.json"
    done = run("layers.py", "--layers", LAYER, "--rounds", "1", "--threads", "2", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"written: {out}" in done.stdout
    return out


@pytest.fixture(scope="module")
def report(out: Path) -> Any:
    return json.loads(out.read_text())


def test_leaves_two_whole_files(out: Path) -> None:
    assert {path.name for path in out.parent.iterdir()} == {"layers.json", "layers.png"}
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_names_the_machine(report: Any) -> None:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    name = report["machine"]["cpu"].split(", family")[0]
    assert f": {name}\n" in cpuinfo
    assert report["machine"]["threads"] == 2


def test_forward_by_everybody_who_is_installed(report: Any) -> None:
    (row,) = report["sections"]["forward"]
    assert row["layer"] == LAYER
    assert set(row["ms"]) == {"1", "2"}
    for ms in row["ms"].values():
        assert {"conv", "ours", "ours_eager", "onnxruntime"} <= set(ms)
        assert ("openvino" in ms) == (importlib.util.find_spec("openvino") is not None)
        assert all(0 < best < float("inf") for best in ms.values())
        assert set(ms) | set(row["not_run"]) >= {"openvino", "torchvision"}
    assert all(row["not_run"].values())


def test_every_other_section_measured_something(report: Any) -> None:
    sections = report["sections"]
    assert set(sections["dtypes"][0]["ms"]) == {"float32", "float16", "bfloat16", "float64"}
    assert report["machine"]["instruction_set"] in sections["instruction_sets"][0]["ms"]
    assert {"forward", "ours_eager"} <= set(sections["backward"][0]["ms"])
    assert set(sections["channels_last"][0]["ms"]) == {"contiguous", "channels last"}


def test_breakdown_adds_up(report: Any) -> None:
    (row,) = report["sections"]["breakdown"]
    shares = row["phases"]
    assert {"stage", "sample", "multiply", "store", "idle"} <= set(shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(-0.05 < share < 1 for share in shares.values())
    assert shares["multiply"] > 0


def test_memory_is_bounded_and_the_same_for_any_batch(report: Any) -> None:
    rows = {(row["pass"], row["batch"]): row["mib"] for row in report["sections"]["memory"]}
    for what in ("forward", "forward and backward"):
        one, four = (rows[what, batch]["ours_eager"] for batch in (1, 4))
        assert abs(four - one) < 8
    for batch in (1, 4):
        assert 0 < rows["forward", batch]["ours"] <= 40
        # A full column buffer: this figure is of the method, which would not see ours otherwise.
        assert rows["forward", batch]["onnxruntime"] > 200


def test_goals_are_judged(out: Path) -> None:
    done = run("goals.py", str(out))
    assert done.returncode in (0, 1), done.stderr
    judged = done.stdout.count(" met ") + done.stdout.count(" missed ")
    assert judged > 5
    assert (done.returncode == 1) == (" missed " in done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layers", "k9"), "no layer's name has 'k9'"),
        (("--sections", "sideways"), "no section 'sideways'; there are: forward"),
    ],
)
def test_refuses_what_it_does_not_know(arguments: tuple[str, ...], message: str) -> None:
    done = run("layers.py", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
