"""Whether a mistake in the CUDA kernels shows on the emulator.

Every barrier and every wait is taken out, every stage of a buffer is mixed up with another, one at
a time, and results must be wrong.
"""

from __future__ import annotations

import fcntl
import re
import subprocess
from pathlib import Path

import pytest
from cuda_mutations import Mutation, mutants, write_mutants
from native_build import ROOT, build, sanitized

MUTANTS = list(mutants())
MUTATIONS = [mutation for mutant in MUTANTS for mutation in mutant.mutations]

# Mistakes without consequence, each with the reason: file, what is wrong, and the line before it.
HARMLESS: dict[tuple[str, str, str], str] = {
    (
        "backward/gradient_window.h",
        "without sync_warp()",
        "if (!in_image(row_of(own))) return 0;",
    ): "the vote that follows waits for all lanes here, which PTX does not promise of memory",
}


def reason(mutation: Mutation) -> str | None:
    return HARMLESS.get((mutation.file, mutation.what, mutation.before))


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *arguments]
    # Mixed up as it is, it might run for ever: that is a failure like others.
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "it does not end")


@pytest.fixture(scope="module")
def program() -> Path:
    """The problems, with kernels that make the mistake whose number they are given."""
    folder = ROOT / "build" / "cuda_mutated"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at a time
        write_mutants(folder / "kernels")
        hosts = [f"-DDCN_{host}=OFF" for host in ("TORCH", "ONNXRUNTIME", "TENSORRT", "CUDA")]
        built = build(
            "mutations",
            "-DDCN_CUDA_TEST=ON",
            f"-DDCN_MUTATED_KERNELS={folder / 'kernels'}",
            "-DCMAKE_CXX_FLAGS_RELEASE=-O1",
            *hosts,
            targets=["mutated_problems"],
        )
    return built / "tests" / "cuda_emulator" / "mutated_problems"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_a_mistake_all_is_right(seed: int, program: Path) -> None:
    """In every order of blocks, warps and lanes."""
    done = run(program, "0", "forward", str(seed))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"[1-9]\d+ right\n", done.stdout)


def test_memory_is_used_as_it_may_be() -> None:
    """The same problems under AddressSanitizer and UBSan."""
    done = run(sanitized("known_problems") / "tests" / "cuda_emulator" / "known_problems")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_mistake_shows(mutation: Mutation, program: Path) -> None:
    backward = re.search("backward|side_by_side|sum_bias|product.h", mutation.file)
    done = run(program, str(mutation.number), "backward" if backward else "forward")
    if why := reason(mutation):
        assert done.returncode == 0, f"it is not true that {why}"
    else:
        assert done.returncode != 0, f"nothing shows: {mutation.line}"


def test_every_barrier_and_stage_is_found() -> None:
    """As they are written, the patterns of ``cuda_mutations`` know them."""
    assert {mutant.name: mutant.unknown for mutant in MUTANTS if mutant.unknown} == {}
    for kind in (
        "without __syncthreads()",
        "without sync_warp()",
        "without commit_copies()",
        "without wait_copies<",
        "wait_copies<2>() instead of ",
        "the stage after step % ",
        "the first stage instead of step % ",
        "the step after step + ",
        "the first step instead of step + ",
        "the same weighed buffer again",
        "not the next weighed buffer",
        "the same asked buffer again",
    ):
        assert any(mutation.what.startswith(kind) for mutation in MUTATIONS), kind


def test_harmless_mistakes_are_still_there() -> None:
    found = {(mutation.file, mutation.what, mutation.before) for mutation in MUTATIONS}
    assert set(HARMLESS) <= found
