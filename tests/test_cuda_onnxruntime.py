"""The CUDA half of the onnxruntime op, without a GPU: its code, with the kernels on the emulator.

An onnxruntime without a GPU lends no stream: ``onnxruntime_stream_test.cpp`` plays one that does.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cuda_hosts.runs import built, run_tests


@pytest.fixture(scope="module")
def libraries() -> Path:
    return built()


def test_what_is_its_own(libraries: Path) -> None:
    run_tests(libraries / "emulated", "cuda_hosts/onnxruntime_checks.py", least=5)


def test_a_run_is_on_the_hosts_stream_with_memory_in_its_order(libraries: Path) -> None:
    program = str(libraries / "onnxruntime_stream_test")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0 failures\n"), done.stdout + done.stderr


def test_it_runs_and_refuses_what_the_cpu_half_does(libraries: Path) -> None:
    run_tests(
        libraries / "emulated",
        *("test_onnxruntime.py", "test_onnxruntime_errors.py", "-k", "not stock"),
        least=400,
    )
