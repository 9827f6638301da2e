"""Running the command line: as a program of its own, or in this process.

A program spends seconds on importing PyTorch: most tests run it here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dcn_deploy.cli import main
from dcn_deploy.cli import output as consoles

ROOT = Path(__file__).parent.parent

OK, FAILED, BAD_INPUT, MISSING, UNEXPECTED = 0, 1, 2, 3, 4  # the exit codes


class Result:
    """What a command printed, and its exit code."""

    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in err, err

    @property
    def json(self) -> Any:
        """stdout, which must be one JSON document and nothing else."""
        return json.loads(self.out)


Call = Callable[..., Result]


def run_program(program: Sequence[str], folder: Path, *arguments: object, **more: str) -> Result:
    """A program with this checkout's package, in a folder; ``more`` of its environment."""
    environment = dict(os.environ) | {"COLUMNS": "100"} | more
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    )
    done = subprocess.run(
        [*program, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def program(folder: Path, *arguments: object, **more: str) -> Result:
    """The command line in a process of its own."""
    return run_program((sys.executable, "-m", "dcn_deploy.cli"), folder, *arguments, **more)


def caller(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Call:
    """The command line in this process, in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: object, width: int = 100) -> Result:
        monkeypatch.setattr(sys, "argv", ["dcn-deploy", *map(str, arguments)])
        for console in (consoles.console, consoles.errors):
            console.width = width
        code: object = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
        return Result(code, *capfd.readouterr())

    return call
