"""The command line, ``dcn-deploy``: one file per command, each a thin face of a Python function."""

from __future__ import annotations

import json
import sys

import typer
from rich.markup import escape

from ..model_inputs import InputError
from ..onnx_graph import ModelFileError
from .bench import bench
from .doctor import doctor
from .inspect import inspect
from .output import BAD_INPUT, CHECK_FAILED, MISSING, RunError, errors
from .run import run
from .verify import verify

app = typer.Typer(
    name="dcn-deploy",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Deployed deformable convolutions: what a model holds, what runs it here, whether it is "
    "right, how fast it is.",
    epilog=f"Exit codes: 0 all is well; {CHECK_FAILED} the check failed or the model does not run; "
    f"{BAD_INPUT} a wrong argument or file; {MISSING} something is not installed. "
    "With --json, stdout is one JSON document; messages and progress go to stderr.",
)
for command in (doctor, inspect, verify, run, bench):
    app.command()(command)


def main() -> None:
    """The ``dcn-deploy`` program."""
    try:
        app()
    except (ModelFileError, InputError) as error:
        _fail(error, BAD_INPUT)
    except RunError as error:
        _fail(error, CHECK_FAILED)
    except ImportError as error:  # onnxruntime, or a library of ours
        _fail(error, MISSING)


def _fail(error: Exception, code: int) -> None:
    """One message, no traceback: these are about what the user gave, not about this program."""
    if "--json" in sys.argv:
        print(json.dumps({"error": str(error), "exit_code": code}))
    errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    sys.exit(code)
