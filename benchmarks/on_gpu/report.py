"""What is written: a table of every timing, the goals and the checks, as JSON and as Markdown."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from cuda_core.nvcc import ROOT, find_nvcc
from goal import Goal

from .checks import Outcome
from .measuring import Row
from .workload import Ceilings

TIMING_HEADINGS = (
    *("layer", "contender", "dtype", "pass"),
    *("us", "± %", "TFLOP/s", "% of floor", "to ours", "error"),
)


def timing_cells(row: Row) -> tuple[str, ...]:
    titles = row.layer, row.contender, row.kind, row.which
    if row.us is None:
        return *titles, "not run", "", "", "", "", ""

    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    return (
        *titles,
        cell(row.us, ".1f"),
        cell(100 * (row.spread or 0), ".0f"),
        cell(row.tflops, ".1f"),
        cell(100 * (row.of_floor or 0), ".0f"),
        cell(row.to_ours, ".2f"),
        cell(row.error, ".1e"),
    )


def goal_cells(goal: Goal) -> tuple[str, ...]:
    measured = "" if goal.measured is None else f"{goal.measured:.2f}"
    return goal.what, goal.verdict, measured, f"{goal.at_most:.2f}"


GOAL_HEADINGS = ("goal", "", "measured", "at most")


def machine() -> dict[str, str]:
    nvcc = find_nvcc()
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True) if nvcc else None
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT
    )
    found = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "nvcc": version.stdout.strip().splitlines()[-1] if version else "none",
        "commit": commit.stdout.strip() or "unknown",
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found["device"] = properties.name
        found["multiprocessors"] = str(properties.multi_processor_count)
        found["L2"] = f"{properties.L2_cache_size / 2**20:.0f} MiB"
        found["CUDA of torch"] = str(torch.version.cuda)
    return found


@dataclass
class Results:
    """What came of the checks, and of the timings as far as there are any."""

    checks: list[Outcome]
    ceilings: Ceilings | None = None
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)


def write(folder: Path, results: Results) -> None:
    ceilings, rows, goals = results.ceilings, results.rows, results.goals
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine()
    report: dict[str, Any] = {
        "machine": facts,
        "checks": [asdict(outcome) for outcome in results.checks],
        "ceilings": asdict(ceilings) if ceilings else None,
        "timings": [asdict(row) for row in rows],
        "goals": [{**asdict(goal), "verdict": goal.verdict} for goal in goals],
    }
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (folder / "gpu-check.json").write_text(text + "\n", encoding="utf-8")
    lines = [f"# GPU check on {facts.get('device', 'the emulator')}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if ceilings:
        lines.append(f"- a large copy: {ceilings.bytes_per_us / 1e6:.2f} TB/s, read and written")
        for dtype, rate in ceilings.flops_per_us.items():
            how = f"{dtype}, as TF32" if dtype == "float32" else dtype
            lines.append(f"- a large matrix product in {how}: {rate / 1e6:.0f} TFLOP/s")
    checks = [(outcome.check, outcome.result, outcome.detail) for outcome in results.checks]
    lines += ["", "## Checks", "", *_table(("check", "", ""), checks)]
    if rows:
        lines += ["", "## Timings", "", "Medians of replayed CUDA graphs over inputs that do not"]
        lines += ["fit in the second-level cache; onnxruntime by the clock, without a graph.", ""]
        lines += _table(TIMING_HEADINGS, [timing_cells(row) for row in rows])
        reasons = {f"{row.contender}, {row.kind}: {row.not_run}" for row in rows if row.not_run}
        lines += ["", *(f"- not run: {reason}" for reason in sorted(reasons))]
        lines += ["", "## Goals", "", *_table(GOAL_HEADINGS, [goal_cells(g) for g in goals])]
    (folder / "gpu-check.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        texts = (cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells)
        return f"| {' | '.join(texts)} |"

    return [line(headings), line(["---"] * len(headings)), *map(line, rows)]
