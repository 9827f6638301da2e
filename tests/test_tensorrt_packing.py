"""When the TensorRT plugin packs its weight: once for an execution context, if it is constant."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from native_build import sanitized
from test_tensorrt_plugin import _library

FOLDER = Path(__file__).parent / "tensorrt_plugin"


def test_a_constant_weight_is_packed_once() -> None:
    tests = sanitized("tensorrt_test") / "tests" / "tensorrt_plugin"
    libraries = (tests / "libfake_tensorrt.so", tests / "libdcn_deploy_tensorrt_emulated.so")
    preload = [_library("libasan.so"), _library("libubsan.so")]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "packing.py"), *map(str, libraries)],
        # Python itself leaves its memory to the system.
        env={**os.environ, "LD_PRELOAD": ":".join(preload), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"\d+ kernels, 1 of them to pack\n", done.stdout)
