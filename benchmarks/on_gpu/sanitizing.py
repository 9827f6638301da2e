"""NVIDIA's compute-sanitizer over small cases: stray accesses, and races in shared memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cuda_core.core import Core
from cuda_core.nvcc import find_nvcc

from .checks import NotRunError, need_gpu

_CASES = Path(__file__).parent / "small_cases.py"
_SECONDS = 75


def sanitize(core: Core, library: Path, tool: str, quick: bool) -> str:
    need_gpu(core)
    if quick:
        raise NotRunError("left out by --quick")
    program = _find()
    done = subprocess.run(
        [
            *(program, "--tool", tool, "--error-exitcode", "9"),
            *(sys.executable, str(_CASES), str(library)),
        ],
        # Every tensor is a block of its own, beside which there is nothing.
        env={**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    said = done.stdout + done.stderr
    if found := re.search(r"(Error: Target application.*|.*not supported.*)", said):
        raise NotRunError(f"compute-sanitizer does not run here: {found.group(1).strip()}")
    summary = re.findall(r"={3,} (?:ERROR|RACECHECK) SUMMARY: (.*)", said)
    ran = re.search(r"^\d+ calls$", done.stdout, re.M)
    if done.returncode or not summary or not ran:
        shown = "\n".join(said.splitlines()[:40])
        raise AssertionError(f"exit status {done.returncode}:\n{shown}")
    return f"{ran.group()}, {summary[-1]}"


def _find() -> str:
    nvcc = find_nvcc()
    beside = [str(Path(nvcc).parent / "compute-sanitizer")] if nvcc else []
    found = next(filter(None, map(shutil.which, ["compute-sanitizer", *beside])), None)
    if found is None:
        raise NotRunError("there is no compute-sanitizer in PATH or beside nvcc")
    return found
