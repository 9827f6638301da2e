"""What the CUDA kernels take of a GPU: registers, stack and spills of each, as ptxas tells, and how
large they are compiled.

    PYTHONPATH=tests python -m cuda_core.resources [--architectures 80,90]

prints a table. ``--architectures release`` compiles for every GPU that releases are built for,
which takes long, and shows the size only.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .nvcc import (
    FLAGS,
    ROOT,
    BuildError,
    cuda_sources,
    digest,
    find_nvcc,
    for_architectures,
    major_version,
    run,
)

KEPT = ROOT / "build" / "cuda-resources"
CHECKED = (80, 90)
RELEASED = (75, 80, 86, 89, 90, 100, 120)


@dataclass(frozen=True)
class Kernel:
    name: str
    architecture: str  # sm_90
    registers: int
    stack: int  # bytes, each of the following too
    spill_stores: int
    spill_loads: int

    @property
    def spills(self) -> bool:
        return self.spill_stores + self.spill_loads > 0


@dataclass(frozen=True)
class Compiled:
    kernels: list[Kernel]
    size: int  # bytes of device code, for all architectures together


SMALL = "--compress-mode=size"  # as plugins/core/CMakeLists.txt has it
_ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<architecture>sm_\w+)'\n.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads\n.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def parse(said: str) -> list[Kernel]:
    """The kernels of which ``ptxas -v`` speaks."""
    found = [
        Kernel(
            match["name"],
            match["architecture"],
            *(int(match[what]) for what in ("registers", "stack", "stores", "loads")),
        )
        for match in _ENTRY.finditer(said)
    ]
    assert len(found) == said.count("Compiling entry function"), f"not understood:\n{said}"
    return found


def compiled(source: Path, architectures: Sequence[int] = CHECKED) -> Compiled:
    """One source, compiled for GPUs only; kept in build/ as long as no source changes."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise BuildError("there is no nvcc")
    names = "-".join(map(str, architectures))
    folder = KEPT / f"{digest(nvcc)}-{names}"
    folder.mkdir(parents=True, exist_ok=True)
    log, binary = folder / f"{source.stem}.log", folder / f"{source.stem}.fatbin"
    if not log.is_file():
        flags = [*FLAGS, *for_architectures(architectures), "-Xptxas=-v", "--fatbin"]
        if major_version(nvcc) >= 13:
            flags.append(SMALL)
        said = run([nvcc, *flags, str(source), "-o", str(binary)])
        unfinished = log.with_suffix(".part")
        unfinished.write_text(said)
        unfinished.rename(log)
    return Compiled(parse(log.read_text()), binary.stat().st_size)


def readable(name: str) -> str:
    """A kernel's name as in the sources, without its parameters."""
    if not shutil.which("c++filt"):
        return name
    found = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout
    without_result = found.strip().removeprefix("void ").replace("dcn::cuda::", "")
    return without_result.replace("dcn::", "").rsplit("(", 1)[0]


def table(kernels: Sequence[Kernel]) -> str:
    lines = [f"{'':6} {'registers':>9} {'stack':>6} {'spilled':>8}  kernel"]
    for kernel in sorted(kernels, key=lambda k: (-k.registers, k.name)):
        spilled = kernel.spill_stores + kernel.spill_loads
        lines.append(
            f"{kernel.architecture:6} {kernel.registers:9} {kernel.stack:6} {spilled:8}  "
            f"{readable(kernel.name)}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--architectures", default=",".join(map(str, CHECKED)))
    wanted = parser.parse_args().architectures
    released = wanted == "release"
    architectures = RELEASED if released else tuple(map(int, wanted.split(",")))
    total = 0
    for source in cuda_sources():
        result = compiled(source, architectures)
        total += result.size
        print(f"{source.name}: {result.size / 2**20:.2f} MiB", flush=True)
        if not released:
            print(table(result.kernels), flush=True)
    names = ", ".join(f"sm_{each}" for each in architectures)
    print(f"{total / 2**20:.1f} MiB for {names}")


if __name__ == "__main__":
    main()
