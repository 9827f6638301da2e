"""The core with its CUDA kernels on the emulator, for the tests: as it is, or watched by
AddressSanitizer and UBSan, which makes it ten times as slow.

The kernels run in a worker process, and one object here passes calls on to the ``Core`` there: the
sanitizers must be in a process from its beginning, and what they or the emulator find ends it. Then
the call that it died of fails, with what they said.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from native_build import emulated, sanitized

from .core import Core, CudaError

_TARGET = "dcn_cuda_core_emulated"
_TESTS = Path(__file__).parents[1]


def library(*, watched: bool) -> Path:
    """The path of the library, built here."""
    built = sanitized(_TARGET) if watched else emulated(_TARGET)
    return built / "tests" / "cuda_core" / f"lib{_TARGET}.so"


class EmulatedCore:
    """Has the methods of ``Core`` that return plain values or tensors."""

    emulated, device = True, "cpu"

    def __init__(self, *, watched: bool) -> None:
        self._library, self._watched = library(watched=watched), watched
        self._worker: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this does)

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_") or not hasattr(Core, method):
            raise AttributeError(method)
        return lambda *args, **named: self._call(method, args, named)

    def close(self) -> None:
        if self._worker:
            assert self._worker.stdin
            self._worker.stdin.close()
            self._worker.wait()
            self._worker = None

    def _call(self, method: str, args: tuple[object, ...], named: dict[str, object]) -> Any:
        worker = self._worker = self._worker or self._start()
        assert worker.stdin
        assert worker.stdout
        try:
            pickle.dump((method, args, named), worker.stdin)
            worker.stdin.flush()
            result = pickle.load(worker.stdout)
        except (BrokenPipeError, EOFError):
            worker.wait()
            self._worker = None  # the next call gets another
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
            raise AssertionError(f"the worker ended with {worker.returncode}:\n{said}") from None
        if isinstance(result, CudaError | AssertionError):
            raise result
        return result

    def _start(self) -> subprocess.Popen[bytes]:
        self._said.seek(0)
        self._said.truncate()
        environment = {**os.environ, "PYTHONPATH": f"{_TESTS}{os.pathsep}{_TESTS.parent}"}
        if self._watched:
            runtimes = ("libasan.so", "libubsan.so", "libstdc++.so")
            environment["LD_PRELOAD"] = " ".join(map(_compilers, runtimes))
            environment["ASAN_OPTIONS"] = "detect_leaks=0"  # Python itself leaves its memory behind
            environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
        return subprocess.Popen(
            [sys.executable, "-m", "cuda_core.worker", str(self._library)],
            cwd=_TESTS,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )


@contextmanager
def emulated_core(*, watched: bool) -> Iterator[EmulatedCore]:
    core = EmulatedCore(watched=watched)
    try:
        yield core
    finally:
        core.close()


def _compilers(name: str) -> str:
    """Path of a library of the compiler's."""
    command = ["g++", f"-print-file-name={name}"]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert Path(path).is_absolute(), f"g++ has no {name}"
    return path
