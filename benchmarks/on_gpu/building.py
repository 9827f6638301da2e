"""The library of the CUDA kernels for this machine's GPU, compiled in parallel."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from cuda_core.nvcc import (
    CORE,
    FLAGS,
    ROOT,
    BuildError,
    cuda_sources,
    digest,
    find_nvcc,
    for_architectures,
    run,
)

from .screen import say

_INTERFACE = ROOT / "tests" / "cuda_core" / "library.cpp"
_SHARED = "-Xcompiler=-fPIC,-fvisibility=hidden"


def build(folder: Path, capability: int) -> Path:
    """The library's path, below ``folder``, where it is kept as long as no source changes.

    Raises:
        BuildError: there is no nvcc, or it refused a source.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        raise BuildError("there is no nvcc here, in PATH, $CUDA_HOME or /usr/local/cuda/bin")
    sources = [*cuda_sources(), *(CORE / "cuda").glob("*.cpp"), _INTERFACE]
    place = folder / f"sm_{capability}-{digest(nvcc, _INTERFACE)}"
    library = place / "libdcn_cuda_core.so"
    if library.is_file():
        say(f"the kernels are compiled: {library}")
        return library
    place.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def compile_one(source: Path) -> Path:
        to = place / f"{source.name}.o"
        flags = [*FLAGS, _SHARED, *for_architectures([capability])]
        run([nvcc, *flags, "-c", str(source), "-o", str(to)])
        return to

    say(f"compiling {len(sources)} sources for sm_{capability}")
    # Those that take longest first.
    order = sorted(sources, key=lambda s: (not s.name.startswith("fused"), s.name))
    objects = []
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        running = {pool.submit(compile_one, source): source for source in order}
        for done in as_completed(running):
            objects.append(str(done.result()))
            seconds = time.monotonic() - began
            name = running[done].name
            say(f"  {len(objects):2} of {len(sources)}: {name}, at {seconds:.0f} s")
    unfinished = place / "linking.so"
    run([nvcc, "-shared", "-cudart=static", "-o", str(unfinished), *sorted(objects)])
    os.replace(unfinished, library)
    return library
