"""The CUDA half of the torch op, without a GPU: its own code, with the kernels on the emulator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_hosts.runs import built, environment, run_tests

from dcn_deploy._native import library


@pytest.fixture(scope="module")
def libraries() -> Path:
    return built()


def test_what_is_its_own(libraries: Path) -> None:
    run_tests(libraries / "emulated", "cuda_hosts/torch_checks.py", least=70)


def test_torchs_machinery_takes_it_as_it_takes_the_cpus(libraries: Path) -> None:
    run_tests(
        libraries / "emulated",
        *("test_torch_integration.py", "test_offsets.py"),
        *("-k", "not compile or channels_last"),
        least=60,
    )


def test_a_build_without_cuda_says_so(libraries: Path) -> None:
    program = """
import torch, dcn_deploy
from dcn_deploy.contract import contract
assert contract().cuda_architectures == ""
weight = torch.randn(6, 4, 3, 3).requires_grad_()
try:
    dcn_deploy.deform_conv2d(torch.randn(1, 4, 9, 10), torch.randn(1, 18, 7, 8), weight)
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(libraries / "absent"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "deform_conv2d: this build has no CUDA kernels: it was built with DCN_CUDA=OFF: leave that "
        "out, then install dcn_deploy again\n"
    )


def test_the_installed_library_needs_nothing_of_cuda() -> None:
    """Linked in, or looked up when the first CUDA tensor comes: it loads beside a torch without."""
    path = str(library("torch"))

    def output_of(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\.so", output_of("readelf", "-dW", path)))
    assert needed <= {
        *("libtorch_cpu", "libstdc++", "libgcc_s", "libc", "libm"),
        *("ld-linux-x86-64", "ld-linux-aarch64"),
    }
    undefined = output_of("nm", "--dynamic", "--undefined-only", path)
    assert not re.search(
        r"\b(cuda[A-Z]|cu[A-Z]|torch_stream_native_handle|\w*cuda_stream)", undefined
    )
    defined = output_of("nm", "--dynamic", "--defined-only", path)
    assert not re.search(r"\bcuda[A-Z]|\b__cuda|_ZNK?3dcn", defined)
