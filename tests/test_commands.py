"""Every command: its example runs, its JSON is JSON, it has a Python twin, and the shell completes
it. A command that is added to the program is tested here without another line.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import typer
import user_folder
from command_line import Call

import dcn_deploy
from dcn_deploy.cli import app

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def examples(command: str) -> list[str]:
    """The command lines that its --help shows: a paragraph each, in one line."""
    found = re.findall(r"Example: (dcn-deploy .+?)(?:\n\n|$)", COMMANDS[command].help, re.DOTALL)
    return [" ".join(example.split()) for example in found]


EXAMPLES = [example for command in COMMANDS for example in examples(command)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return user_folder.make(tmp_path_factory.mktemp("user"))


@pytest.fixture(scope="module", autouse=True)
def _forget_the_package() -> Any:
    """mypkg is another one in every folder."""
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "mypkg"]:
        del sys.modules[name]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, cli: Call) -> None:
    shown = cli(command, "--help", width=100)
    assert shown.code == 0
    assert f"Example: dcn-deploy {command}" in " ".join(shown.out.split())
    assert examples(command)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example: str, cli: Call) -> None:
    """As it stands, and with --json added."""
    program, *arguments = shlex.split(example)
    assert program == "dcn-deploy"
    result = cli(*arguments)
    assert result.code == 0, result.err
    assert result.out.strip()
    assert "\x1b" not in result.out + result.err
    if arguments[0] != "bench":  # whose JSON test_cli looks at
        as_json = cli(*arguments, "--json")
        assert as_json.code == 0, as_json.err
        assert isinstance(json.loads(as_json.out), dict)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_python_twin(command: str) -> None:
    assert command in dcn_deploy.__all__
    assert callable(getattr(dcn_deploy, command))


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_an_option_of(command: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[command].params)


SHELLS = {
    "bash": {"COMP_WORDS": "dcn-deploy in", "COMP_CWORD": "1"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "dcn-deploy in"},
    "fish": {"_TYPER_COMPLETE_ARGS": "dcn-deploy in", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


def completion(folder: Path, **variables: str) -> str:
    """What the program says to a shell that asks in its environment."""
    program = str(Path(sysconfig.get_path("scripts")) / "dcn-deploy")
    done = subprocess.run(
        [program],
        env=dict(os.environ) | variables,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_completes(shell: str, tmp_path: Path) -> None:
    shown = completion(tmp_path, _DCN_DEPLOY_COMPLETE=f"complete_{shell}", **SHELLS[shell])
    assert "inspect" in shown
    assert "bench" not in shown


def test_completion_is_there_to_install(tmp_path: Path, cli: Call) -> None:
    """What --install-completion puts into the shell's own files."""
    script = completion(tmp_path, _DCN_DEPLOY_COMPLETE="source_bash")
    assert "_DCN_DEPLOY_COMPLETE=complete_bash" in script
    assert "--install-completion" in cli("--help").out
