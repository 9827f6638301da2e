"""What the user sees while the check runs: with rich where it is installed, else plain text."""

from __future__ import annotations

import sys
from collections.abc import Sequence

try:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
except ImportError:
    _console = None
else:
    _console = Console()
    if not _console.is_terminal:
        _console = Console(width=150)

_STYLES = {
    "ok": "green",
    "met": "green",
    "FAILED": "bold red",
    "missed": "red",
    "not run": "yellow",
}


def say(text: str, result: str = "") -> None:
    """One line, at once; ``result`` goes before it, in its colour."""
    if _console:
        line = Text(f"{result:8}" if result else "", _STYLES.get(result, ""))
        _console.print(line.append(Text(text, "")))
    else:
        print(f"{result:8}{text}" if result else text)
    sys.stdout.flush()


def show_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Numbers to the right; the first two columns are words."""
    if _console:
        table = Table(title=title, title_justify="left")
        for i, heading in enumerate(headings):
            table.add_column(heading, justify="right" if i > 1 else "left")
        for row in rows:
            table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
        _console.print(table)
        return
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    print(f"\n{title}")
    for line in lines:
        cells = [
            cell.rjust(width) if i > 1 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    sys.stdout.flush()
