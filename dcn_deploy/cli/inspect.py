"""``dcn-deploy inspect``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..availability import Verdict
from ..inspection import ModelReport, NodeReport, inspect_model
from ..onnx_graph import Shape
from .output import JsonOption, by, emit, megabytes

ModelArgument = Annotated[Path, typer.Argument(help="ONNX file.", show_default=False)]


def inspect(model: ModelArgument, as_json: JsonOption = False) -> None:
    """Describe each deformable convolution of an ONNX file, and who runs it here.

    Example: dcn-deploy inspect model.onnx
    """
    report = inspect_model(model)
    emit(_render(report), report.to_dict(), as_json=as_json)


def _render(report: ModelReport) -> RenderableType:
    parts: list[RenderableType] = [_headline(report)]
    if not report.nodes:
        parts.append(Text("It has no deformable convolution.", "yellow"))
        return Group(*parts)
    parts.append(_nodes(report.nodes))
    parts.append(_verdicts("runs here in", [node.runtimes for node in report.nodes]))
    parts.append(_verdicts("in an engine of", [node.tensorrt for node in report.nodes]))
    problems: dict[tuple[str, str], list[str]] = {}
    for node in report.nodes:
        for problem in node.problems:
            problems.setdefault((problem.what, problem.cure), []).append(node.name)
    for (what, cure), names in problems.items():
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        parts.append(
            Text.assemble((f"{who}: {what}. ", "yellow"), (f"To cure it: {cure}.", "bold"))
        )
    return Group(*parts)


def _headline(report: ModelReport) -> Text:
    opsets = ", ".join(f"{domain or 'onnx'} {version}" for domain, version in report.opsets.items())
    lines = [
        f", {megabytes(report.bytes)}, opsets {opsets}",
        f", written by {report.producer}" if report.producer else "",
    ]
    text = Text.assemble((report.path, "bold"), "".join(lines))
    for title, tensors in (("inputs ", report.inputs), ("outputs", report.outputs)):
        described = ", ".join(f"{t.name} {t.dtype} {_shape(t.shape)}" for t in tensors)
        text.append(f"\n{title}  {described}")
    return text


def _shape(shape: Shape | None) -> str:
    return "of unknown shape" if shape is None else by(shape)


def _nodes(nodes: tuple[NodeReport, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.add_column("node", overflow="fold", ratio=2)
    table.add_column("input, output", overflow="fold", ratio=2)
    table.add_column("attributes", overflow="fold", ratio=3)
    for index, node in enumerate(nodes):
        name = Text.assemble((node.name, "bold"), f"\n{node.form} form, {node.op}")
        if node.scope:
            name.append(f"\nin {node.scope}")
        shapes = (
            f"{_shape(node.shapes.get('input'))}\n{_shape(node.shapes['output'])}\n{node.dtype}"
        )
        table.add_row(name, shapes, _attributes(node), end_section=index + 1 < len(nodes))
    return table


def _attributes(node: NodeReport) -> str:
    if not node.attributes:
        return "not read: another project's operator"
    values = [f"{name}={_value(value)}" for name, value in node.attributes.items()]
    extras = [
        name for name, present in (("mask", node.has_mask), ("bias", node.has_bias)) if present
    ]
    weight = "constant weight" if node.constant_weight else "computed weight"
    return f"{' '.join(values)}\n{', '.join([*extras, weight])}"


def _value(value: object) -> str:
    """3x2 of a pair (h, w), 1,0,2,1 of the four pads: without spaces, where a line might break."""
    if not isinstance(value, list):
        return str(value)
    return by(value) if len(value) == 2 else ",".join(map(str, value))


def _verdicts(title: str, nodes: Sequence[Sequence[Verdict]]) -> Table:
    """One row for each runtime and answer, with the number of nodes that it is the answer for."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(title)
    table.add_column("nodes")
    table.add_column("how, or why not", overflow="fold")
    counts = Counter(verdict for verdicts in nodes for verdict in verdicts)
    runtimes = list(dict.fromkeys(verdict.runtime for verdict in counts))
    for verdict, count in sorted(counts.items(), key=lambda item: runtimes.index(item[0].runtime)):
        answer, colour = ("yes", "green") if verdict.runs else ("no", "yellow")
        table.add_row(verdict.runtime, Text(f"{count} {answer}", colour), verdict.reason)
    return table
