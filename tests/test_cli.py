"""The command line as a user meets it: its output, its messages, its exit codes.

Most commands run as a program of their own once; what is left runs in this process, because a
program spends seconds on importing PyTorch.
"""

from __future__ import annotations

import importlib.metadata
import sys
import sysconfig
from pathlib import Path

import pytest
from command_line import BAD_INPUT, OK, UNEXPECTED, Call, run_program

from dcn_deploy.cli import main


def test_help_explains_the_exit_codes(cli: Call) -> None:
    text = " ".join(cli("--help").out.split())
    assert "Exit codes: 0 all is well; 1 the check failed" in text


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inspect` fails in a way that nobody foresaw."""

    def fail(path: Path) -> None:
        raise LookupError(f"no [bold] idea\nwhat {path} is")

    monkeypatch.setattr(sys.modules["dcn_deploy.cli.inspect"], "inspect_model", fail)


@pytest.mark.usefixtures("faulty")
def test_a_fault_of_the_program_is_no_failed_check(cli: Call) -> None:
    result = cli("inspect", "model.onnx", "--json")

    assert result.code == UNEXPECTED
    assert "error: unexpected LookupError: no [bold] idea" in result.err
    assert "please report it" in result.err
    assert len(result.err.splitlines()) == 1
    assert result.json["exit_code"] == UNEXPECTED
    assert "unexpected LookupError" in result.json["error"]
    assert cli("inspect", "model.onnx").out == ""
    assert f"{UNEXPECTED} a fault of this program" in " ".join(cli("--help").out.split())


@pytest.mark.usefixtures("faulty")
def test_a_fault_shows_its_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DCN_DEPLOY_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["dcn-deploy", "inspect", "model.onnx"])
    with pytest.raises(SystemExit) as stopped:
        main()

    assert stopped.value.code == UNEXPECTED
    assert capfd.readouterr().err.startswith("Traceback")


@pytest.mark.parametrize(
    ("arguments", "message", "usage"),
    [
        (("inspect",), "missing argument 'model'", "inspect --help"),
        (("inspect", "a", "b"), "(b)", "inspect --help"),
        (("inspect", "a", "--frob"), "no such option: --frob", "inspect --help"),
        (("report", "model.onnx"), "missing option '--output'", "report --help"),
        (("bench", "model.onnx", "--repeat", 0), "invalid value for '--repeat'", "bench --help"),
        (("frobnicate",), "no such command 'frobnicate'", "--help"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], message: str, usage: str, cli: Call) -> None:
    result = cli(*arguments)
    assert result.code == BAD_INPUT
    assert result.out == ""
    assert message in result.err.lower()
    assert result.err.endswith(f"{usage}\n")
    assert len(result.err.splitlines()) == 1

    as_json = cli(*arguments, "--json")
    assert as_json.code == BAD_INPUT
    assert as_json.err == result.err
    assert as_json.json == {
        "error": result.err.removeprefix("error: ").strip(),
        "exit_code": BAD_INPUT,
    }


def test_without_arguments_it_shows_its_help(cli: Call) -> None:
    result = cli()
    assert result.code == BAD_INPUT
    assert "inspect" in result.out
    assert result.err == ""


def test_version(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the installed package has it; the tests may run on one that is not installed."""
    versions = {"dcn_deploy": "12.34"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    result = cli("--version")
    assert result.code == OK
    assert result.out == "dcn-deploy 12.34\n"


def test_an_interrupt_is_no_failure(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["dcn_deploy.cli.inspect"], "inspect_model", interrupt)
    result = cli("inspect", "model.onnx")
    assert result.code == 130
    assert result.out == result.err == ""


def test_the_installed_program(folder: Path) -> None:
    script = Path(sysconfig.get_path("scripts")) / "dcn-deploy"
    result = run_program((str(script),), folder, "inspect", "model.onnx", "--json")
    assert result.code == OK, result.err
    assert len(result.json["nodes"]) == 2
