"""Writes the README's figures from the committed results, and every table to a page beside them.

Results of other machines, in folders of their own, get their pages too.

    python benchmarks/readme.py [--check]

With --check it writes nothing, and exits with 1 if a file is not what it would write.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from measuring.contenders import MAKERS
from measuring.plan import reasons, with_ratio
from measuring.rounds import RUNS_OF_A_TURN
from measuring.sections import SECTIONS, dtypes, memory

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "layers.json"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
_TITLES = {
    "conv": "plain Conv",
    "ours": "dcn_deploy in onnxruntime",
    "ours_eager": "dcn_deploy in eager torch",
    "onnxruntime": "onnxruntime's DeformConv",
    "openvino": "OpenVINO's",
    "torchvision": "torchvision's",
}


def figures(report: dict[str, Any]) -> str:
    """The README's table, picture and sentences, in Markdown."""
    rows = report["sections"]["forward"]
    threads = str(report["machine"]["threads"])
    names = [name for name in MAKERS if any(name in row["ms"][threads] for row in rows)]
    lines = []
    for row in rows:
        ms = row["ms"][threads]
        cells = [with_ratio(ms.get(name), ms["conv"]) for name in names if name != "conv"]
        lines.append([row["layer"], f"{ms['conv']:.2f}", *cells])
    return "\n".join(
        [
            f"{_command(report)}: {_where(report)}; float32, mask and bias, 3x3 unless said; best "
            f"of {report['runs']} runs or more in interleaved rounds, in ms (and as a ratio to the "
            "plain convolution of the same shape, which is the floor).",
            "",
            *_markdown(["layer", *(_TITLES[name] for name in names)], lines),
            "",
            *(f"Not in the table: {reason}.\n" for reason in reasons(rows)),
            f"![the same as bars](benchmarks/results/{RESULTS.with_suffix('.png').name})",
            "",
            *_sentences(report),
        ]
    ).rstrip()


def tables(report: dict[str, Any]) -> str:
    """Every section's table, in Markdown."""
    parts = [
        "# Results of benchmarks/layers.py",
        f"{_command(report)}: {_where(report)}; best of {report['runs']} runs or more in "
        "interleaved rounds. The layers are named by channels, size of the image, and what is not "
        "3x3, stride 1, one group, one offset group (og), with a mask. `benchmarks/readme.py` "
        f"wrote this page from [{RESULTS.name}]({RESULTS.name}).",
        f"![ratio to the plain convolution]({RESULTS.with_suffix('.png').name})",
    ]
    for name, data in report["sections"].items():
        section = SECTIONS[name]
        sheet = section.sheet(data)
        parts.append(f"## {section.TITLE[0].upper()}{section.TITLE[1:]}")
        parts.append("\n".join(_markdown(sheet.headings, sheet.rows)))
        parts += [f"Not run: {note}." for note in sheet.notes]
    return "\n\n".join(parts) + "\n"


def _command(report: dict[str, Any]) -> str:
    """What measured the report, as a user types it."""
    target = "bench-torchvision" if "torchvision" in report["machine"]["versions"] else "bench"
    return f'`make {target} BENCH_ARGS="--rounds {report["runs"] // RUNS_OF_A_TURN}"`'


def _where(report: dict[str, Any]) -> str:
    where = report["machine"]
    versions = where["versions"]
    named = ", ".join(
        f"{name} {versions[name]}"
        for name in ("torch", "onnxruntime", "openvino", "torchvision")
        if name in versions
    )
    return f"{where['cpu']}, {where['threads']} threads, {where['instruction_set']}; {named}"


def _sentences(report: dict[str, Any]) -> Iterable[str]:
    """What the other sections come to."""
    sections = report["sections"]
    if rows := sections.get("backward"):
        both = [row["ms"]["ours_eager"] / row["ms"]["forward"] for row in rows]
        yield f"- Forward and backward in eager torch: {_range(both)} times the forward pass."
        theirs = [
            row["ms"]["torchvision"] / row["ms"]["ours_eager"]
            for row in rows
            if "torchvision" in row["ms"]
        ]
        if theirs:
            yield f"- torchvision's forward and backward: {_range(theirs)} times ours."
    if rows := sections.get("dtypes"):
        for name in dtypes.DTYPES:
            ratios = [row["ms"][name] / row["ms"]["float32"] for row in rows]
            if name != "float32":
                yield f"- {name}: {_range(ratios)} times the time of float32."
    if rows := sections.get("instruction_sets"):
        best, *others = rows[0]["ms"]
        for name in others:
            yield f"- {name}: {_range([r['ms'][name] / r['ms'][best] for r in rows])} times {best}."
    for row in sections.get("memory", ()):
        needs = ", ".join(
            f"{_TITLES[name]} {max(mib, 0.0):.0f} MiB" for name, mib in row["mib"].items()
        )
        yield (
            f"- Memory beyond inputs and results on {memory.LAYER.name}, {row['pass']}, batch "
            f"{row['batch']}: {needs}."
        )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    aligned = ["---", *["--:"] * (len(headings) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (headings, aligned, *rows)]


def wanted() -> dict[Path, str]:
    """What the files should hold, by today's results."""
    report = json.loads(RESULTS.read_text())
    before, rest = README.read_text().split(BEGIN)
    _, after = rest.split(END)
    pages = {
        results.with_name("README.md"): tables(json.loads(results.read_text()))
        for results in RESULTS.parent.rglob(RESULTS.name)
    }
    return {README: f"{before}{BEGIN}\n{figures(report)}\n{END}{after}", **pages}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a file is out of date")
    check = parser.parse_args().check
    stale = {p: t for p, t in wanted().items() if not p.exists() or p.read_text() != t}
    for path, text in stale.items():
        if check:
            print(f"{path} is out of date: run python benchmarks/readme.py", file=sys.stderr)
            continue
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text)
        os.replace(temporary, path)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
