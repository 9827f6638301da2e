"""Builds of the C++ sources for tests; kept in build/ for all test processes."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build(folder: str, *options: str, targets: Sequence[str] = ()) -> Path:
    """Configure and build into ``build/<folder>``, and return that folder.

    Args:
        folder: its name; one for each set of options.
        options: further arguments of cmake's configuration.
        targets: what to build; everything, if none is named.
    """
    for tool in ("cmake", "g++"):
        assert shutil.which(tool), f"{tool} is needed to build the C++ sources"
    place = ROOT / "build" / folder
    place.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "-S", str(ROOT), "-B", str(place), *options]
    configure.append(f"-DPython_EXECUTABLE={sys.executable}")
    # What the installation unpacked need not be fetched again.
    if headers := next((ROOT / "build").glob("py3-*/onnxruntime-headers"), None):
        configure.append(f"-DORT_HEADERS_CACHE={headers}")
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at a time
        compile_them = ["cmake", "--build", str(place), "-j", "2"]
        if targets:
            compile_them += ["--target", *targets]
        for command in (configure, compile_them):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return place


def emulated(*targets: str) -> Path:
    """Build targets with the CUDA kernels on the emulator, and return the folder of the build."""
    return build(
        "emulated",
        "-DDCN_TORCH=AUTO",
        "-DDCN_ONNXRUNTIME=AUTO",
        "-DDCN_TENSORRT=OFF",
        "-DDCN_CUDA=OFF",
        "-DDCN_CUDA_TEST=ON",
        "-DDCN_CUDA_HOSTS_TEST=ON",
        "-DCMAKE_CXX_FLAGS_RELEASE=-O1",
        targets=targets,
    )


def sanitized(*targets: str) -> Path:
    """Build targets with AddressSanitizer and UBSan, and return the folder of the build."""
    return build(
        "sanitized",
        "-DDCN_SANITIZE=address,undefined",
        "-DDCN_CORE_TEST=ON",
        "-DDCN_CUDA_TEST=ON",
        "-DDCN_TENSORRT_TEST=ON",
        # Sanitizers see the host's part only; for sm_75 the largest kernels are empty.
        "-DDCN_CUDA_ARCHITECTURES=75-real",
        "-DCMAKE_CXX_FLAGS_RELEASE=-O1",  # instrumented, -O3 takes minutes to compile
        targets=targets,
    )
