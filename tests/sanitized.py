"""Test programs in C++, compiled with AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "sanitized"


def build(target: str) -> Path:
    """Build a target of CMake; the folder of what was built."""
    for tool in ("cmake", "g++"):
        assert shutil.which(tool), f"{tool} is needed to build {target}"
    options = {
        "DCN_TORCH": "OFF",
        "DCN_ONNXRUNTIME": "OFF",
        "DCN_CORE_TEST": "ON",
        "DCN_TENSORRT_TEST": "ON",
        "DCN_CUDA_ARCHITECTURES": "90-real",  # sanitizers see the host's part only
        "DCN_SANITIZE": "address,undefined",
        "CMAKE_CXX_FLAGS_RELEASE": "-O1",  # instrumented, -O3 takes minutes to compile
    }
    configure = [f"-D{name}={value}" for name, value in options.items()]
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at a time
        for command in (
            ["cmake", "-S", str(ROOT), "-B", str(BUILD), *configure],
            ["cmake", "--build", str(BUILD), "-j", "2", "--target", target],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return BUILD
