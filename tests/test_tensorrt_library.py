"""The TensorRT plugin as a file: what it needs, what it shows, what is said where it is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from dcn_deploy._native import library

ROOT = Path(__file__).parents[1]


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_it_needs_nothing_of_cuda_or_tensorrt() -> None:
    needed = re.findall(
        r"NEEDED.*\[(.+?)\.so", output_of("readelf", "-d", str(library("tensorrt")))
    )
    assert {"libstdc++", "libc"} <= set(needed)
    assert set(needed) <= {
        "libstdc++",
        "libgcc_s",
        "libc",
        "libm",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }


def test_it_shows_its_two_entries_and_nothing_else() -> None:
    lines = output_of("nm", "-D", "--defined-only", str(library("tensorrt"))).splitlines()
    assert sorted(line.split()[-1] for line in lines) == ["getCreators", "setLoggerFinder"]


def test_it_loads_in_a_process_of_its_own() -> None:
    load = f"import ctypes, os; ctypes.CDLL({str(library('tensorrt'))!r}, os.RTLD_NOW)"
    output_of(sys.executable, "-S", "-c", load)


def configure(folder: Path, *options: str, path: str | None = None) -> str:
    """What the build wrote about the TensorRT plugin that it left out."""
    hosts = ["-DDCN_TORCH=OFF", "-DDCN_ONNXRUNTIME=OFF"]
    cmake = shutil.which("cmake")
    assert cmake
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    subprocess.run(
        [cmake, "-S", str(ROOT), "-B", str(folder), *hosts, *options],
        env=environment,
        check=True,
        capture_output=True,
    )
    note = folder / "left_out" / "tensorrt.txt"
    return note.read_text() if note.exists() else ""


def test_without_nvcc_it_is_left_out_in_one_line(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("c++", "g++", "cc", "gcc", "make", "ld", "ar", "ranlib", "as", "sh"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    said = configure(tmp_path / "build", "-UCMAKE_CUDA_COMPILER", path=str(tools))
    assert said == "no CUDA compiler: install NVIDIA's nvcc, 12.1 or newer (or set CUDACXX)\n"


def test_a_wrong_folder_of_tensorrt_is_named(tmp_path: Path) -> None:
    said = configure(tmp_path / "build", f"-DTensorRT_ROOT={tmp_path}")
    assert said.startswith(
        f"TensorRT_ROOT={tmp_path} has no NvInferRuntime.h of TensorRT 10 or newer; "
    )
    assert said.count("\n") == 1
