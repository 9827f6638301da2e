"""Runs test modules in a process where the CUDA half of a library is the library."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from native_build import ROOT, emulated


def built() -> Path:
    """The folder of the libraries: ``emulated``, and ``absent`` for a build without CUDA."""
    return emulated("cuda_hosts_test") / "tests" / "cuda_hosts"


def environment(libraries: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return {**kept, "DCN_DEPLOY_LIBRARY_DIR": str(libraries)}


def run_tests(libraries: Path, *arguments: str, least: int) -> None:
    """Run pytest with ``arguments``, and require that at least so many tests pass and none fails.

    Files are those of the ``tests`` folder.
    """
    files = [str(ROOT / "tests" / a) if a.endswith(".py") else a for a in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env=environment(libraries),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    passed = re.search(r"^(\d+) passed", done.stdout, re.M)
    assert passed, said
    assert int(passed[1]) >= least, said
