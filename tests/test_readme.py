"""The README's code runs as it stands, and its figures are those of the committed results."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import user_folder
from command_line import Call

from dcn_deploy.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's Python has run, from its first line to its last."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "readme.py").write_text("\n".join(blocks("python")))
    done = run([sys.executable, "readme.py"], folder)
    assert done.returncode == 0, done.stderr
    assert "model.onnx" in done.stdout
    shutil.copy(folder / "model.onnx", folder / "other.onnx")
    user_folder.add_package(folder)
    user_folder.add_inputs(folder)
    return folder


def test_python(folder: Path) -> None:
    assert (folder / "model.onnx").stat().st_size > 1000


COMMANDS = [
    line.split("#")[0].strip()
    for block in blocks("sh")
    for line in block.splitlines()
    if line.startswith("dcn-deploy")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_line(command: str, cli: Call) -> None:
    result = cli(*shlex.split(command)[1:])
    assert result.code == 0, result.out + result.err
    assert result.out.strip()


def test_every_command_is_shown() -> None:
    shown = {shlex.split(command)[1] for command in COMMANDS}
    assert shown == {command.callback.__name__ for command in app.registered_commands}


def test_figures_are_those_of_the_results() -> None:
    done = run([sys.executable, "benchmarks/readme.py", "--check"], ROOT)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
