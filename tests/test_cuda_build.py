"""What the compiler says of the CUDA kernels: none spills, in code for sm_80 and for sm_90."""

from __future__ import annotations

from pathlib import Path

import pytest
from cuda_core.nvcc import cuda_sources, find_nvcc
from cuda_core.resources import CHECKED, Kernel, compiled, parse, table

# A kernel whose name has one of these computes a pass on tensor cores.
FAST = ("fused_forward", "differentiate_data", "differentiate_weight")
needs_nvcc = pytest.mark.skipif(find_nvcc() is None, reason="there is no nvcc here")


@needs_nvcc
@pytest.mark.parametrize("source", cuda_sources(), ids=lambda path: path.name)
def test_no_kernel_spills(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernels = compiled(source).kernels
    with capsys.disabled():
        print(f"\n{source.name}\n{table(kernels)}" if kernels else f"\n{source.name}: no kernels")
    assert [kernel for kernel in kernels if kernel.spills] == []
    # An array in local memory costs as much as a spill.
    assert [k for k in kernels if k.stack and any(name in k.name for name in FAST)] == []


@needs_nvcc
def test_the_fast_kernels_are_compiled_for_both() -> None:
    """And are known by their names."""
    for name in FAST:
        found = {
            kernel.architecture
            for source in cuda_sources()
            for kernel in compiled(source).kernels
            if name in kernel.name
        }
        assert found == {f"sm_{each}" for each in CHECKED}, name


SAID = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5smallv' for 'sm_80'
ptxas info    : Function properties for _Z5smallv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 26 registers, used 0 barriers
ptxas info    : Compiling entry function '_Z5largev' for 'sm_90'
ptxas info    : Function properties for _Z5largev
    96 bytes stack frame, 88 bytes spill stores, 76 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers
"""


def test_a_spill_is_seen() -> None:
    small, large = parse(SAID)
    assert small == Kernel("_Z5smallv", "sm_80", 26, 0, 0, 0)
    assert large == Kernel("_Z5largev", "sm_90", 255, 96, 88, 76)
    assert (small.spills, large.spills) == (False, True)
    assert table([small, large]).splitlines()[1].split()[:4] == ["sm_90", "255", "96", "164"]


def test_what_is_not_understood_is_no_pass() -> None:
    with pytest.raises(AssertionError, match="not understood"):
        parse(SAID.replace("Used 255 registers", "Used many registers"))
