from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from command_line import Call, caller

if "PYTEST_XDIST_WORKER" in os.environ:
    # One worker a core: more threads would only wait for each other. Tests that are about threads
    # set their own number.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def cli(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process, in the test module's own ``folder``."""
    return caller(folder, monkeypatch, capfd)
