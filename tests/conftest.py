from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cli_folder
import pytest
import torch
from command_line import Call, caller
from cuda_core.emulated import EmulatedCore, emulated_core

if "PYTEST_XDIST_WORKER" in os.environ:
    # One worker a core: more threads would only wait for each other. Tests that are about threads
    # set their own number.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, which tests only add to. Some modules have one of their own instead."""
    return cli_folder.make(tmp_path_factory.mktemp("user"))


@pytest.fixture
def cli(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process, in the test module's ``folder``."""
    return caller(folder, monkeypatch, capfd)


@pytest.fixture(scope="session")
def cuda() -> Iterator[EmulatedCore]:
    """The core's CUDA entry points, with the kernels on the emulator."""
    with emulated_core(watched=False) as core:
        yield core


@pytest.fixture(scope="session")
def watched() -> Iterator[EmulatedCore]:
    """The same, under AddressSanitizer and UBSan."""
    with emulated_core(watched=True) as core:
        yield core
