"""Compiles the core's CUDA sources with nothing but nvcc."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "plugins" / "core"
FLAGS = ("-std=c++17", "-O3", f"-I{CORE}")


class BuildError(RuntimeError):
    """What stands in the way of a build; the message is for the user."""


def find_nvcc() -> str | None:
    places = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    beside = [str(Path(place) / "bin" / "nvcc") for place in places if place]
    return next(filter(None, map(shutil.which, ["nvcc", *beside])), None)


def _version(nvcc: str) -> str:
    return subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout


def major_version(nvcc: str) -> int:
    found = re.search(r"release (\d+)\.", _version(nvcc))
    assert found
    return int(found.group(1))


def cuda_sources() -> list[Path]:
    return sorted((CORE / "cuda").rglob("*.cu"))


def for_architectures(capabilities: Iterable[int]) -> list[str]:
    """Arguments for GPUs of these compute capabilities, as 80 and 90."""
    wanted = list(capabilities)
    names = ", ".join(f"sm_{each}" for each in wanted)
    define = f'-DDCN_CUDA_ARCHITECTURES="{names}"'
    return [define, *(f"-gencode=arch=compute_{each},code=sm_{each}" for each in wanted)]


def digest(nvcc: str, *beside: Path) -> str:
    """Of everything that a compilation depends on: the compiler, the core, and files ``beside``."""
    found = hashlib.sha256((_version(nvcc) + " ".join(FLAGS)).encode())
    sources = [*CORE.glob("*.h"), *CORE.glob("*.cpp"), *(CORE / "cuda").rglob("*.*"), *beside]
    for path in sorted(sources):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


def run(command: Sequence[str]) -> str:
    """What it said.

    Raises:
        BuildError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{said}")
    return said
