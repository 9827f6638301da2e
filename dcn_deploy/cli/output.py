"""What the commands share: exit codes, where text goes, how sizes are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

CHECK_FAILED = 1
BAD_INPUT = 2
MISSING = 3
UNEXPECTED = 4

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def emit(report: RenderableType, data: Mapping[str, Any], *, as_json: bool) -> None:
    """The result of a command, for people or for programs."""
    if as_json:
        print(json.dumps(data, indent=2, allow_nan=False))
    else:
        console.print(report)


def by(sizes: object) -> str:
    """ "3x2" of (3, 2)."""
    assert isinstance(sizes, (list, tuple))
    return "x".join("?" if size is None else str(size) for size in sizes)


def megabytes(count: int) -> str:
    """A file's size, in units of 1000."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
