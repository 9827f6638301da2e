"""``dcn-deploy bench``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ..benchmark import BenchReport, Timing, usable_cpus
from ..benchmark import bench as bench_model
from ..inspection import inspect_model
from .inputs import InputOption, SeedOption, SizeOption, gather
from .inspect import ModelArgument
from .output import CHECK_FAILED, JsonOption, by, emit, errors


def bench(
    model: ModelArgument,
    inputs: InputOption = None,
    size: SizeOption = None,
    seed: SeedOption = 0,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Of each session; otherwise every CPU.", show_default=False),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Counted runs in each runtime.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Time an ONNX file in onnxruntime, with this project's library and without it.

    The two take turns, on random inputs unless some are given. Exit code 1 if it runs in neither.

    Example: dcn-deploy bench model.onnx --size 1x3x224x224 --threads 2
    """
    tensors = gather(inspect_model(model).inputs, files=inputs, random=True, sizes=size, seed=seed)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("timing", total=None)
        report = bench_model(
            model,
            tensors,
            threads=threads or usable_cpus(),
            repeat=repeat,
            progress=lambda done, of: progress.update(task, completed=done, total=of),
        )
    emit(_render(report), report.to_dict(), as_json=as_json)
    if not any(timing.runs for timing in report.timings):
        raise typer.Exit(CHECK_FAILED)


def _render(report: BenchReport) -> RenderableType:
    sizes = ", ".join(f"{name} {by(shape)}" for name, shape in report.input_shapes.items())
    title = Text.assemble((report.path, "bold"), f", {sizes}, {report.threads} threads")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("runs in")
    for heading in ("best, ms", "median, ms", "90 %, ms", "runs"):
        table.add_column(heading, justify="right")
    for timing in report.timings:
        table.add_row(timing.runtime, *_cells(timing))
    parts: list[RenderableType] = [title, table]
    parts += [
        Text(f"{timing.runtime}: {timing.not_run}", "yellow")
        for timing in report.timings
        if timing.not_run
    ]
    if report.speedup is not None:
        parts.append(Text(f"With the library, {report.speedup:.2f} times as fast (median)."))
    return Group(*parts)


def _cells(timing: Timing) -> tuple[str, ...]:
    numbers = (timing.best_ms, timing.median_ms, timing.p90_ms)
    return (*("-" if ms is None else f"{ms:.3f}" for ms in numbers), str(timing.runs))
