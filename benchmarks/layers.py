"""Layers of published models: our kernel beside a plain convolution and other runtimes' kernels.

    python benchmarks/layers.py [--layers "og 16,k7"] [--sections forward,memory] [--rounds 15]

The plain convolution of the same shape is the floor: the same products, no sampling. Contenders
take turns in rounds, so that a busy moment of the machine hits all of them; the best run counts.
One that cannot run is left out, with the reason. "og" is the number of offset groups.

Writes a JSON file and a picture beside it. ``benchmarks/readme.py`` puts them into the README.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from measuring.layer import LAYERS, Layer
from measuring.machine import machine
from measuring.picture import draw
from measuring.plan import Plan, Sheet
from measuring.rounds import RUNS_OF_A_TURN
from measuring.sections import SECTIONS
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dcn_deploy.benchmarking import usable_cpus
from dcn_deploy.exporting.files import staging

RESULTS = Path(__file__).parent / "results" / "layers.json"
_WIDTH_OF_FILES = 200


def main() -> None:
    options = _options()
    plan = Plan(options.layers, options.rounds, options.threads)
    report: dict[str, Any] = {
        "machine": machine(plan.threads),
        "runs": plan.rounds * RUNS_OF_A_TURN,
        "sections": {},
    }
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_FILES)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        total = sum(SECTIONS[name].steps(plan) for name in options.sections)
        task = progress.add_task("measuring", total=total)
        for name in options.sections:
            section = SECTIONS[name]
            progress.update(task, description=name)
            data = section.measure(plan, lambda: progress.advance(task))
            report["sections"][name] = data
            console.print(_table(section.TITLE, section.sheet(data)))
    with staging(options.out) as folder:
        staged, picture = folder / options.out.name, options.out.with_suffix(".png")
        staged.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        if "forward" in report["sections"]:
            draw(report, folder / picture.name)
            os.replace(folder / picture.name, picture)
        os.replace(staged, options.out)
    print(f"written: {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument(
        "--rounds", type=int, default=15, help=f"of {RUNS_OF_A_TURN} runs in a row or more"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--layers",
        type=_layers,
        default=LAYERS,
        metavar="PARTS",
        help="only those whose name has one of these parts: " + ", ".join(x.name for x in LAYERS),
    )
    parser.add_argument(
        "--sections",
        type=_sections,
        default=list(SECTIONS),
        metavar="NAMES",
        help="only these: " + ", ".join(SECTIONS),
    )
    return parser.parse_args()


def _layers(text: str) -> list[Layer]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not any(part in layer.name for layer in LAYERS):
            raise argparse.ArgumentTypeError(f"no layer's name has {part!r}")
    return [layer for layer in LAYERS if any(part in layer.name for part in parts)]


def _sections(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(
                f"no section {name!r}; there are: {', '.join(SECTIONS)}"
            )
    return names


def _table(title: str, sheet: Sheet) -> Group:
    table = Table(title=title, title_justify="left")
    for i, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="right" if i else "left")
    for row in sheet.rows:
        table.add_row(*row)
    return Group(table, *(Text(note, "yellow") for note in sheet.notes))


if __name__ == "__main__":
    main()
