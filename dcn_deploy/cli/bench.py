"""``dcn-deploy bench``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import Progress

from ..benchmarking import bench as bench_model
from ..inspection import inspect_model
from ..model_inputs import InputError
from .eager import CheckpointOption, load_baseline
from .inputs import InputOption, SeedOption, SizeOption, gather
from .inspect import ModelArgument
from .output import CHECK_FAILED, JsonOption, emit, errors


def bench(
    model: ModelArgument,
    against: Annotated[
        str | None,
        typer.Option(
            help="The PyTorch model that it came from, to be timed too: package.module:callable.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    inputs: InputOption = None,
    size: SizeOption = None,
    seed: SeedOption = 0,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help="To compute in: the file's own, float16 or bfloat16. Repeat it to compare.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Of each backend; otherwise every CPU. Repeat it to compare.",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[
        int, typer.Option(min=1, help="Counted runs of each; p99 wants 100 or more.")
    ] = 50,
    memory: Annotated[bool, typer.Option(help="Measure the memory too.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Time an ONNX file in onnxruntime, with this project's library and without it.

    All take turns, on random inputs unless some are given. Exit code 1 if it runs nowhere.

    Example: dcn-deploy bench model.onnx --size 1x3x64x64 --threads 1 --threads 2

    Example: dcn-deploy bench model.onnx --size 1x3x64x64 --dtype float32 --dtype float16
    --against mypkg.models:build_model
    """
    module = load_baseline(against, checkpoint)
    if isinstance(module, str):
        raise InputError(f"--against {against}: is a file, expected package.module:callable")
    tensors = gather(inspect_model(model).inputs, files=inputs, random=True, sizes=size, seed=seed)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("timing", total=None)
        try:
            report = bench_model(
                model,
                tensors,
                model=module,
                dtypes=dtype,
                threads=threads,
                repeat=repeat,
                memory=memory,
                progress=lambda done, of: progress.update(task, completed=done, total=of),
            )
        except ValueError as error:
            raise InputError(str(error)) from error
    emit(report, report.to_dict(), as_json=as_json)
    if not any(timing.runs for timing in report.timings):
        raise typer.Exit(CHECK_FAILED)
