"""The core's own test program, compiled with AddressSanitizer and UndefinedBehaviorSanitizer, in
every build of the kernels that this machine can run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from sanitized import build


@pytest.fixture(scope="module")
def program() -> Path:
    return build("core_test") / "tests" / "core" / "core_test"


@pytest.mark.parametrize("instruction_set", ["avx512", "avx2", "baseline"])
def test_forward_and_backward_without_a_stray_access(program: Path, instruction_set: str) -> None:
    done = subprocess.run(
        [str(program)],
        env={**os.environ, "DCN_DEPLOY_ISA": instruction_set},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = done.stdout.splitlines()[-1].split(":")[0]
    if ran != instruction_set:
        pytest.skip(f"this machine cannot run {instruction_set}; the program ran {ran}")
    assert re.search(r": [1-9]\d* runs, 0 failures\n$", done.stdout)
