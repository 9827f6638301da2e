"""Writes the README's figures from the committed results, or checks that they agree.

python benchmarks/readme.py [--check]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "layers.json"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def figures() -> str:
    """The README's table, in Markdown."""
    report = json.loads(RESULTS.read_text())
    where = report["machine"]
    lines = [
        f"{where['cpu']}, {where['threads']} threads, {where['instruction_set']}; torch "
        f"{where['torch']}, onnxruntime {where['onnxruntime']}; float32, mask and bias, 3x3 unless "
        f"said; best of {report['runs']} runs in interleaved rounds, in ms (and as a ratio to the "
        "plain convolution of the same shape, which is the floor).",
        "",
        "| layer | plain Conv | dcn_deploy in onnxruntime | dcn_deploy in eager torch "
        "| onnxruntime's DeformConv |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in report["layers"]:
        ms = row["ms"]
        ratios = [f"{ms[k]:.2f} ({ms[k] / ms['conv']:.2f})" for k in ("ours", "ours_eager")]
        stock = f"{ms['onnxruntime']:.2f} ({ms['onnxruntime'] / ms['conv']:.2f})"
        lines.append(f"| {row['name']} | {ms['conv']:.2f} | {' | '.join(ratios)} | {stock} |")
    return "\n".join(lines)


def with_figures(text: str) -> str:
    """The README's text with the figures of today's results."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{figures()}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if the README is out of date")
    check = parser.parse_args().check
    text = README.read_text()
    wanted = with_figures(text)
    if check:
        if text != wanted:
            print("README.md is out of date: run python benchmarks/readme.py", file=sys.stderr)
        return int(text != wanted)
    temporary = README.with_suffix(".tmp")
    temporary.write_text(wanted)
    os.replace(temporary, README)
    return 0


if __name__ == "__main__":
    sys.exit(main())
