"""Our declaration of TensorRT's plugin interface is laid out like TensorRT's own.

``tensorrt_plugin/abi_layout.txt`` is what ``abi_layout.cpp`` prints with NVIDIA's headers; it came
out the same for 10.0, 10.3, 10.8, 10.11, 10.16, 11.0 and 11.1.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "tensorrt_plugin"


def nvidia_headers() -> list[Path]:
    """Folders of NvInferRuntime.h on this machine: TensorRT_ROOT's and the system's."""
    roots = [os.environ.get("TensorRT_ROOT", ""), "/usr", "/usr/local"]  # noqa: SIM112
    folders = [Path(root) / "include" for root in roots if root]
    folders += Path("/usr/include").glob("*-linux-gnu")
    return [folder for folder in folders if (folder / "NvInferRuntime.h").is_file()]


def layout(tmp_path: Path, *flags: str) -> list[str]:
    program = tmp_path / "abi_layout"
    command = ["g++", "-std=c++17", f"-I{ROOT / 'plugins' / 'tensorrt'}", *flags]
    source = FOLDER / "abi_layout.cpp"
    subprocess.run([*command, str(source), "-o", str(program)], check=True)
    return subprocess.run(
        [str(program)], check=True, capture_output=True, text=True
    ).stdout.splitlines()


def known_layout() -> list[str]:
    return (FOLDER / "abi_layout.txt").read_text().splitlines()


@pytest.mark.parametrize(
    "folder", [None, *nvidia_headers()], ids=lambda folder: str(folder or "ours")
)
def test_sizes_offsets_slots_and_constants(folder: Path | None, tmp_path: Path) -> None:
    if folder is None:
        assert layout(tmp_path, "-Wall", "-Wextra", "-Werror") == known_layout()
        return
    cuda = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"
    *lines, logger = layout(
        tmp_path, "-DDCN_TENSORRT_HEADERS", "-isystem", str(folder), "-isystem", str(cuda)
    )
    assert lines == known_layout()
    # What the plugin goes by (messages.cpp).
    version, log, find = map(int, re.findall(r"(?:version |= )(\d+)", logger))
    versioned = version >= (110000 if version >= 20000 else 10500)
    assert (log, find) == ((4, 4) if versioned else (0, 0))


def test_every_function_of_the_interface_is_compared() -> None:
    declared = re.findall(
        r"virtual [^~;{]*?\b(\w+)\(", (ROOT / "plugins/tensorrt/abi.h").read_text()
    )
    assert len(declared) >= 30
    known = "\n".join(known_layout())
    for function in declared:
        assert f"::{function} =" in known, function
