"""AddressSanitizer and UndefinedBehaviorSanitizer over everything that is compiled.

The core's own test program runs in every build of the kernels that this machine runs; the libraries
run inside onnxruntime and torch, through the tests of onnxruntime.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from native_build import ROOT, sanitized

# The exit status of a process that a sanitizer found fault with.
_FOUND = 99
_LIBRARIES = ("torch", "onnxruntime")


@pytest.fixture(scope="module")
def built() -> Path:
    return sanitized(
        "core_test", "steps_test", "tiles_test", *(f"dcn_deploy_{host}" for host in _LIBRARIES)
    )


@pytest.mark.parametrize("instruction_set", ["avx512_bf16", "avx512", "avx2", "baseline"])
def test_core(built: Path, instruction_set: str) -> None:
    program = built / "tests" / "core" / "core_test"
    environment = {"DCN_DEPLOY_ISA": instruction_set}
    runs = _output(program, "--instruction-set", **environment).strip()
    if runs != instruction_set:
        pytest.skip(f"this machine cannot run {instruction_set}; the program would run {runs}")
    said = _output(program, **environment)
    assert re.search(rf"^{instruction_set}: [1-9]\d* runs, 0 failures\n$", said, re.M)


def test_work_is_shared_out_among_threads(built: Path) -> None:
    said = _output(built / "tests" / "core" / "steps_test")
    assert re.fullmatch(r"[1-9]\d* hosts, 0 failures\n", said)


def test_every_pixel_is_in_one_tile(built: Path) -> None:
    said = _output(built / "tests" / "core" / "tiles_test")
    assert re.fullmatch(r"[1-9]\d* cases, 0 failures\n", said)


def _output(program: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [str(program), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_libraries_inside_their_hosts(built: Path, tmp_path: Path) -> None:
    """Right and wrong calls, and many at a time, in a Python that starts with the runtime of ASan.

    The hosts are not instrumented: what is watched is our code, and every block of memory.
    """
    libraries = tmp_path / "lib"
    libraries.mkdir()
    for host in _LIBRARIES:
        name = f"libdcn_deploy_{host}.so"
        shutil.copy(built / "plugins" / host / name, libraries / name)
    found = tmp_path / "found"
    tests = ("test_onnxruntime.py", "test_onnxruntime_errors.py", "test_onnxruntime_threads.py")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not stock"),
            *(str(ROOT / "tests" / test) for test in tests),
        ],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if "PYTEST" not in name},
            "DCN_DEPLOY_LIBRARY_DIR": str(libraries),
            # The runtime must come first, and needs to see the C++ library to watch exceptions.
            "LD_PRELOAD": f"{_runtime('libasan.so')} {_runtime('libstdc++.so')}",
            "PYTHONMALLOC": "malloc",  # not from pools, where an overrun would stay unseen
            "ASAN_OPTIONS": f"detect_leaks=1:exitcode={_FOUND}:log_path={found}",
            "UBSAN_OPTIONS": f"print_stacktrace=1:exitcode={_FOUND}:log_path={found}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = "".join(path.read_text() for path in tmp_path.glob("found.*"))
    assert re.search(r"^[1-9]\d* passed", done.stdout, re.M), done.stdout + done.stderr + said
    assert done.returncode in (0, _FOUND), done.stdout + done.stderr
    # CPython leaves objects behind when it ends. Ours is what has a frame of ours.
    assert set(re.findall(r"ERROR: (.*)", said)) <= {"LeakSanitizer: detected memory leaks"}, said
    assert "runtime error" not in said
    leaks = re.findall(r"^(?:Direct|Indirect) leak of .*?\n\n", said, re.M | re.S)
    assert not [leak for leak in leaks if "libdcn_deploy" in leak or "dcn::" in leak]


def _runtime(name: str) -> str:
    """Path of a library of the compiler's."""
    command = ["g++", f"-print-file-name={name}"]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert Path(path).is_absolute(), f"g++ has no {name}"
    return path
