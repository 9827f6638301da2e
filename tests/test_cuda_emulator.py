"""Whether the emulator, on which the CUDA kernels are tested, would see a mistake in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EMULATOR = ROOT / "tests" / "cuda_emulator"
# What is deleted, one at a time.
MUTATIONS = re.compile(r"__syncthreads\(\);")


def compiled(core: Path, folder: Path, *flags: str) -> Path:
    """The emulator's test program, with the kernels of ``core``."""
    program = folder / "emulator_test"
    sources = [*sorted((core / "cuda").glob("*.c*")), *sorted(EMULATOR.glob("*.cpp"))]
    command = ["g++", "-std=c++17", "-O1", *flags, f"-I{EMULATOR}", f"-I{core}"]
    command += ['-DDCN_CUDA_ARCHITECTURES="none"', "-o", str(program), "-x", "c++"]
    done = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as it is, with AddressSanitizer."""
    folder = tmp_path_factory.mktemp("watched")
    return compiled(ROOT / "plugins" / "core", folder, "-fsanitize=address")


def test_the_kernels_are_right(watched: Path) -> None:
    done = run(watched)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"0 of [1-9]\d* outputs are wrong\n", done.stdout)


def test_an_access_beyond_the_shared_memory_ends_the_program(watched: Path) -> None:
    done = run(watched, "stray")
    assert done.returncode != 0
    assert "AddressSanitizer: use-after-poison" in done.stderr


def test_threads_that_wait_at_different_barriers_end_the_program(watched: Path) -> None:
    done = run(watched, "diverge")
    assert done.returncode != 0
    assert "CUDA emulator: threads of a block wait at different barriers" in done.stderr


def kernel_sources() -> list[Path]:
    return sorted((ROOT / "plugins" / "core" / "cuda").iterdir())


def mutants() -> list[tuple[str, int]]:
    """File and position of everything that is deleted, one at a time."""
    return [
        (path.name, match.start())
        for path in kernel_sources()
        for match in MUTATIONS.finditer(path.read_text())
    ]


@pytest.mark.parametrize(("file", "position"), mutants())
def test_a_missing_barrier_shows(file: str, position: int, tmp_path: Path) -> None:
    core = tmp_path / "core"
    shutil.copytree(ROOT / "plugins" / "core", core)
    source = core / "cuda" / file
    text = source.read_text()
    match = MUTATIONS.match(text, position)
    assert match
    source.write_text(text[:position] + text[match.end() :])
    assert run(compiled(core, tmp_path)).returncode != 0


def test_there_are_barriers() -> None:
    assert len(mutants()) >= 2
