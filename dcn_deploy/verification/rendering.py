"""A verification report for people."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .difference import Difference
from .offsets import HALF_DTYPES, OffsetRange, Rounding

if TYPE_CHECKING:
    from .report import CaseReport, NodeCheck, SideReport, VerificationReport

_STYLES = {"passed": "green", "failed": "bold red", "not run": "yellow"}
_TEXT_WIDTH = 100


def _worst(differences: Iterable[Difference | None]) -> str:
    """The one nearest to its tolerance, or furthest beyond it."""
    found = [one for one in differences if one is not None]
    if not found:
        return "-"
    worst = max(found, key=lambda one: one.error / one.tolerance if one.tolerance else one.error)
    return f"{worst.error:.0e} of {worst.tolerance:.0e}"


def _sides(report: VerificationReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("runs in", "result", "inputs", "outputs, error", "nodes, error"):
        table.add_column(title, overflow="fold", no_wrap=title not in ("runs in", ""))
    for side in report.sides:
        status = Text(side.status, _STYLES[side.status])
        if side.not_run:
            table.add_row(side.name, status, "", "", "")
            continue
        outputs = [check.difference for case in side.cases for check in case.outputs]
        nodes = [check.to_float64 for case in side.cases for check in case.nodes]
        agreeing = f"{sum(case.ok for case in side.cases)} of {len(side.cases)}"
        table.add_row(side.name, status, agreeing, _worst(outputs), _worst(nodes))
    return table


def _node_row(node: NodeCheck) -> tuple[str | Text, ...]:
    low, high = node.offset_range
    beside = "-" if node.to_baseline is None else f"{node.to_baseline.error:.1e}"
    return (
        Text("agrees", "green") if node.ok else Text("differs", "bold red"),
        node.name,
        f"{low:.3g} .. {high:.3g}",
        f"{node.to_float64.error:.1e}",
        beside,
    )


def _nodes(side: SideReport, case: CaseReport) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"{side.name}, inputs {case.name!r}",
        title_justify="left",
    )
    for title in ("", "node", "offsets, px", "to float64", "to baseline"):
        table.add_column(title, overflow="fold", no_wrap=title != "node")
    for node in case.nodes:
        table.add_row(*_node_row(node))
    return table


def _offsets(ranges: Mapping[str, OffsetRange]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="offsets on the given inputs; what half precision makes of them",
        title_justify="left",
    )
    table.add_column("node", overflow="fold")
    for title in ("px", "99 % within", "outside", *HALF_DTYPES):
        table.add_column(title, justify="right")
    for name, found in ranges.items():
        table.add_row(
            name,
            f"{found.least:.3g} .. {found.greatest:.3g}",
            f"{found.usual:.3g}",
            f"{found.outside:.1%}",
            *(_rounding(found.rounding[dtype]) for dtype in HALF_DTYPES),
        )
    return table


def _rounding(rounding: Rounding) -> Text:
    """How far it moves a sample, and by how much it changes the output."""
    text = f"{rounding.moves:.1g} px, {rounding.output_changes:.0e}"
    return Text(text, "" if rounding.holds else "yellow")


def render(report: VerificationReport) -> RenderableType:
    """A table of the runtimes, the nodes of the first case that failed, the notes, the verdict."""
    parts: list[RenderableType] = [
        Text.assemble((report.path, "bold"), " compared with ", (report.baseline, "bold")),
        _sides(report),
    ]
    failures = [(side, side.first_failure) for side in report.sides if not side.not_run]
    shown = next(((side, case) for side, case in failures if case is not None and case.nodes), None)
    if shown is not None:
        parts.append(_nodes(*shown))
    if report.offset_ranges:
        parts.append(_offsets(report.offset_ranges))
    parts += [Text(f"{side.name}: {side.not_run}") for side in report.sides if side.not_run]
    parts += [Text(f"note: {note}", "dim") for note in report.notes]
    parts.append(Text(report.summary, "green" if report.passed else "red"))
    return Group(*parts)


def as_text(report: VerificationReport) -> str:
    """The same without colours."""
    console = Console(file=io.StringIO(), width=_TEXT_WIDTH, record=True)
    console.print(render(report))
    return console.export_text(styles=False).rstrip()
