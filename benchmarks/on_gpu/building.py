"""Compiles the core's CUDA sources for this machine's GPU with nothing but nvcc, in parallel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .screen import say

ROOT = Path(__file__).parents[2]
CORE = ROOT / "plugins" / "core"
_LIBRARY = ROOT / "tests" / "cuda_core" / "library.cpp"
_FLAGS = ("-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra")


class BuildError(RuntimeError):
    """What stands in the way of the library; the message is for the user."""


def find_nvcc() -> str | None:
    places = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    beside = [str(Path(place) / "bin" / "nvcc") for place in places if place]
    return next(filter(None, map(shutil.which, ["nvcc", *beside])), None)


def cuda_sources() -> list[Path]:
    return sorted((CORE / "cuda").glob("*.c*"))


def compile_command(
    nvcc: str, source: Path, capabilities: Sequence[int], *flags: str, to: Path
) -> list[str]:
    """One object file for GPUs of these compute capabilities: 80, 90."""
    for_each = [f"-gencode=arch=compute_{c},code=sm_{c}" for c in capabilities]
    names = ", ".join(f"sm_{c}" for c in capabilities)
    define = f'-DDCN_CUDA_ARCHITECTURES="{names}"'
    command = [nvcc, *_FLAGS, *flags, *for_each, define, f"-I{CORE}"]
    return [*command, "-c", str(source), "-o", str(to)]


def build(folder: Path, capability: int) -> Path:
    """The library for one GPU, below ``folder``; kept there as long as no source changes.

    Raises:
        BuildError: there is no nvcc, or it refused a source.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        raise BuildError("there is no nvcc here, in PATH, $CUDA_HOME or /usr/local/cuda/bin")
    sources = [*cuda_sources(), _LIBRARY]
    place = folder / f"sm_{capability}-{_digest(nvcc)}"
    library = place / "libdcn_cuda_core.so"
    if library.is_file():
        say(f"the library is there: {library}")
        return library
    place.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def compile_one(source: Path) -> Path:
        to = place / f"{source.stem}.o"
        _run(compile_command(nvcc, source, [capability], to=to))
        return to

    objects = []
    say(f"compiling {len(sources)} sources for sm_{capability}")
    # Those that take longest first.
    order = sorted(sources, key=lambda s: (not s.name.startswith("fused"), s.name))
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        running = {pool.submit(compile_one, source): source for source in order}
        for done in as_completed(running):
            objects.append(done.result())
            seconds = time.monotonic() - began
            name = running[done].name
            say(f"  {len(objects):2} of {len(sources)}: {name}, at {seconds:.0f} s")
    unfinished = place / "linking.so"
    _run([nvcc, "-shared", "-cudart=static", "-o", str(unfinished), *map(str, sorted(objects))])
    os.replace(unfinished, library)
    return library


def _digest(nvcc: str) -> str:
    """Of everything that the library depends on."""
    digest = hashlib.sha256(" ".join((nvcc, *_FLAGS)).encode())
    for path in sorted([*CORE.glob("*.h"), *(CORE / "cuda").iterdir(), _LIBRARY]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
