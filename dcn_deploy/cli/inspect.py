"""``dcn-deploy inspect``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
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
from .inputs import parse_sizes
from .output import JsonOption, by, emit, megabytes

ModelArgument = Annotated[Path, typer.Argument(help="ONNX file.", show_default=False)]


def inspect(
    model: ModelArgument,
    size: Annotated[
        list[str] | None,
        typer.Option(
            "--size",
            help="Input size to count operations for: 1x3x512x512 for the inputs in order, or "
            "name=1x3x512x512.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Describe each deformable convolution of an ONNX file, who runs it, and what else would.

    Example: dcn-deploy inspect model.onnx
    """
    report = inspect_model(model)
    if size:
        report = inspect_model(model, sizes=parse_sizes(size, report.inputs))
    emit(_render(report), report.to_dict(), as_json=as_json)


def _render(report: ModelReport) -> RenderableType:
    parts: list[RenderableType] = [_headline(report)]
    if not report.nodes:
        parts.append(Text("It has no deformable convolution.", "yellow"))
        return Group(*parts)
    parts += [
        _nodes(report),
        _runtimes("runs it here", [node.runtimes for node in report.nodes]),
        _runtimes("takes it as it is", [node.targets for node in report.nodes]),
        *_fixes(report.nodes),
    ]
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
    if report.nodes:
        at = ", ".join(f"{name} {by(size)}" for name, size in report.flops_at.items())
        total = "unknown" if report.flops is None else f"{report.flops / 1e9:.3g} G"
        text.append(f"\nFLOPs    {total} at {at}")
    for title, tensors in (("inputs ", report.inputs), ("outputs", report.outputs)):
        described = ", ".join(f"{t.name} {t.dtype} {_shape(t.shape)}" for t in tensors)
        text.append(f"\n{title}  {described}")
    return text


def _shape(shape: Shape | None) -> str:
    """Sizes and names; a size that is a formula of others is too long for a table."""
    if shape is None:
        return "of unknown shape"
    return by([None if isinstance(d, str) and not d.isidentifier() else d for d in shape])


def _nodes(report: ModelReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.add_column("node", overflow="fold", ratio=2)
    table.add_column("input, output", overflow="fold", ratio=2)
    table.add_column("attributes", overflow="fold", ratio=3)
    table.add_column("FLOPs", justify="right", no_wrap=True)
    for index, node in enumerate(report.nodes):
        name = Text.assemble((node.name, "bold"), f"\n{node.form} form, {node.op}")
        if node.origin:
            name.append(f"\nfrom {node.origin}")
        if node.scope:
            name.append(f"\nin {node.scope}")
        shapes = (
            f"{_shape(node.shapes.get('input'))}\n{_shape(node.shapes['output'])}\n{node.dtype}"
        )
        table.add_row(
            name,
            shapes,
            _attributes(node),
            _operations(report.share(node), node.flops),
            end_section=index + 1 < len(report.nodes),
        )
    return table


def _operations(share: float | None, flops: int | None) -> str:
    """A node's part of the model's operations, and how many it asks for."""
    lines = [] if share is None else [f"{share:.1%}"]
    return "\n".join(lines if flops is None else [*lines, f"{flops / 1e9:.3g} G"]) or "unknown"


def _attributes(node: NodeReport) -> str:
    if not node.attributes:
        return "not read: another project's operator"
    values = [f"{name}={_value(value)}" for name, value in node.attributes.items()]
    extras = [
        name for name, present in (("mask", node.has_mask), ("bias", node.has_bias)) if present
    ]
    weight = "constant weight" if node.constant_weight else "computed weight"
    lines = [" ".join(values), ", ".join([*extras, weight])]
    if node.cuda_kernels:
        lines.append(f"on CUDA: {node.cuda_kernels}")
    return "\n".join(lines)


def _value(value: object) -> str:
    """3x2 of a pair (h, w), 1,0,2,1 of the four pads: without spaces, where a line might break."""
    if not isinstance(value, list):
        return str(value)
    return by(value) if len(value) == 2 else ",".join(map(str, value))


def _runtimes(title: str, verdicts: Sequence[Sequence[Verdict]]) -> Table:
    """Each runtime with how many of the nodes it runs, and how; one list of verdicts a node."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(title)
    table.add_column("nodes")
    table.add_column("how, or why not", overflow="fold")
    counts = Counter(
        verdict for of_runtime in zip(*verdicts, strict=True) for verdict in of_runtime
    )
    for verdict, count in counts.items():
        mark = f"{count} yes" if verdict.runs else f"{count} no"
        style = "green" if verdict.runs else "yellow"
        table.add_row(verdict.runtime, Text(mark, style), verdict.reason)
    return table


def _fixes(nodes: Sequence[NodeReport]) -> Iterator[RenderableType]:
    """Each command that helps, and whom."""
    helped: dict[str, list[str]] = {}
    for verdict in dict.fromkeys(v for node in nodes for v in node.targets if v.fix):
        helped.setdefault(verdict.fix, []).append(verdict.runtime)
    for command, runtimes in helped.items():
        yield Text.assemble(f"For {'; '.join(dict.fromkeys(runtimes))}:\n  ", (command, "bold"))
