"""The core's own test program, compiled with AddressSanitizer and UndefinedBehaviorSanitizer, in
every build of the kernels that this machine can run."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "sanitized"


@pytest.fixture(scope="module")
def program() -> Path:
    for tool in ("cmake", "g++"):
        assert shutil.which(tool), f"{tool} is needed to build the core's test program"
    options = [f"-DDCN_{host}=OFF" for host in ("TORCH", "ONNXRUNTIME", "TENSORRT")]
    options += ["-DDCN_CORE_TEST=ON", "-DDCN_SANITIZE=address,undefined"]
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at a time
        for command in (
            ["cmake", "-S", str(ROOT), "-B", str(BUILD), *options],
            ["cmake", "--build", str(BUILD), "-j", "2"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return BUILD / "tests" / "core" / "core_test"


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
