"""The command line, ``dcn-deploy``: one file per command, each a thin face of a Python function."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..availability import first_line, version_of
from ..errors import ConversionError, RunError
from ..exporting import ExportError
from ..model_inputs import InputError
from ..onnx_graph import ModelFileError
from ..verification import VerificationError
from .bench import bench
from .build import build
from .convert import convert
from .doctor import doctor
from .export import export
from .inspect import inspect
from .output import BAD_INPUT, CHECK_FAILED, MISSING, UNEXPECTED, errors
from .report import report
from .run import run
from .verify import verify

_TRACEBACK_VARIABLE = "DCN_DEPLOY_TRACEBACK"
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
# click's UsageError: typer has it from click or, since it brings a click of its own, from there.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="dcn-deploy",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Deployed deformable convolutions: what a model holds, what runs it here, whether it is "
    "right, how fast it is.",
    epilog=f"Exit codes: 0 all is well; {CHECK_FAILED} the check failed or the model does not run; "
    f"{BAD_INPUT} a wrong argument or file; {MISSING} something is not installed; {UNEXPECTED} a "
    f"fault of this program, whose traceback {_TRACEBACK_VARIABLE}=1 in the environment shows. "
    "With --json, stdout is one JSON document; messages and progress go to stderr.",
)
for command in (doctor, inspect, convert, export, build, verify, run, bench, report):
    app.command()(command)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"dcn-deploy {version_of('dcn_deploy') or '(not installed)'}")
        raise typer.Exit


@app.callback()
def _program(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(BAD_INPUT)


def main() -> None:
    """The ``dcn-deploy`` program."""
    try:
        # In its standalone mode typer prints usage errors itself, which --json does not reach.
        sys.exit(app(standalone_mode=False))
    except typer.Abort:  # the interrupt key
        sys.exit(_INTERRUPTED)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else app.info.name
        _fail(f"{error.format_message().rstrip('.')}; its usage: {command} --help", BAD_INPUT)
    except (ModelFileError, InputError, ConversionError) as error:
        _fail(error, BAD_INPUT)
    except (RunError, ExportError, VerificationError) as error:
        _fail(error, CHECK_FAILED)
    except ImportError as error:  # onnxruntime, or a library of ours
        _fail(error, MISSING)
    except Exception as error:  # whatever is left: Python's own exit code would say CHECK_FAILED
        if os.environ.get(_TRACEBACK_VARIABLE):
            traceback.print_exc()
        _fail(
            f"unexpected {type(error).__name__}: {first_line(error)}; please report it, with what "
            f"the command prints under {_TRACEBACK_VARIABLE}=1",
            UNEXPECTED,
        )


def _fail(message: object, code: int) -> None:
    """One message, in every output format, and the exit code."""
    if "--json" in sys.argv:
        print(json.dumps({"error": str(message), "exit_code": code}))
    errors.print(f"[bold red]error:[/] {escape(str(message))}", soft_wrap=True)
    sys.exit(code)
