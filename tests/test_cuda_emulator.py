"""Whether the emulator, on which the CUDA kernels are tested, does what a GPU does and sees misuse.

``test_cuda_mutations.py`` makes such mistakes in the kernels themselves.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from native_build import sanitized

EMULATOR = Path(__file__).parent / "cuda_emulator"
# What a kernel does that none may, and what the emulator says to it.
MISUSES = {
    "stray": "AddressSanitizer: use-after-poison",
    "different_barriers": "threads of a block wait at different barriers: .*misuse.cpp:",
    "early_end": "some threads wait at a barrier that others never reach: .*thread 5 has ended",
    "missing_lane": "lanes of a warp are apart: .*thread 31 has ended",
    "lane_elsewhere": r"lanes of a warp are apart: .*sync_warp\(\) .*sync_warp\(\) \(misuse.cpp:",
    "lane_at_barrier": r"lanes of a warp are apart: .*sync_warp\(\) .*__syncthreads\(\)",
    "short_warp": r"sync_warp\(\): the last warp of the block has less than 32 lanes",
    "copy_to_misaligned": "copy_async: the shared address is not aligned to 16 bytes",
    "copy_from_misaligned": "copy_async from global memory: the address is not aligned to 16 bytes",
    "copy_beyond": "copy_async: the address is not in the 128 bytes of the block's shared memory",
    "copy_to_elsewhere": "copy_async: the address is not in the 128 bytes of the block's shared",
    "copy_from_beyond": "AddressSanitizer: global-buffer-overflow",
    "end_before_copy": "thread 0 .* ends before its asynchronous copies have arrived",
    "load_misaligned": r"load_matrices\(\): the shared address is not aligned to 16 bytes",
    "load_beyond": r"load_matrices\(\): the address is not in the 128 bytes .* \(thread \d+, 0, 0",
    "add_misaligned": "misuse.cpp:.* add4: the address is not aligned to 16 bytes",
    "multiply": "the device is sm_70, and needs to be sm_80 or newer",
    "deep": "AddressSanitizer: (stack-overflow|SEGV)",  # by where the page below the stack is hit
}


@pytest.fixture(scope="module")
def programs() -> Path:
    """Where the test programs are, with AddressSanitizer and UBSan."""
    return sanitized("emulator_primitives", "emulator_misuse") / "tests" / "cuda_emulator"


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *arguments], capture_output=True, text=True)


def test_it_does_what_a_gpu_does(programs: Path) -> None:
    done = run(programs / "emulator_primitives")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"[1-9]\d right, 0 wrong\n", done.stdout)


@pytest.mark.parametrize("misuse", MISUSES)
def test_it_ends_a_program_that(misuse: str, programs: Path) -> None:
    done = run(programs / "emulator_misuse", misuse)
    assert done.returncode != 0
    assert re.search(MISUSES[misuse], done.stderr), done.stdout + done.stderr


def test_every_misuse_is_tried() -> None:
    source = (EMULATOR / "programs" / "misuse.cpp").read_text()
    assert re.findall(r'^    \{"(\w+)", \w+, \d+, \d\},$', source, re.MULTILINE) == list(MISUSES)


def test_an_array_of_static_size_in_shared_memory_does_not_compile(tmp_path: Path) -> None:
    """Each thread would have its own."""
    source = tmp_path / "kernel.cpp"
    source.write_text(
        "#include <cuda_runtime.h>\n"
        "__global__ void kernel(float* out) {\n"
        "  __shared__ float values[32];\n"
        "  out[threadIdx.x] = values[threadIdx.x];\n"
        "}\n"
    )
    command = ["g++", "-std=c++17", "-fsyntax-only", f"-I{EMULATOR}", str(source)]
    english = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, env=english)
    assert done.returncode != 0
    assert "weak declaration of 'values' must be public" in done.stderr
