"""The CUDA half of the onnxruntime op, without a GPU: its code, with the kernels on the emulator.

What a machine without a GPU cannot show: a stream that is not the default one, and scratch memory
in its order.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cuda_hosts.runs import built, run_tests


@pytest.fixture(scope="module")
def libraries() -> Path:
    return built()


def test_what_is_its_own(libraries: Path) -> None:
    run_tests(libraries / "emulated", "cuda_hosts/onnxruntime_checks.py", least=5)


def test_it_runs_and_refuses_what_the_cpu_half_does(libraries: Path) -> None:
    run_tests(
        libraries / "emulated",
        *("test_onnxruntime.py", "test_onnxruntime_errors.py", "-k", "not stock"),
        least=400,
    )
