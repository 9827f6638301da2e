"""``dcn-deploy report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from ..inspection import inspect_model
from ..model_inputs import InputError
from ..reporting import report as report_model
from ..sampling.pictures import is_image
from .eager import CheckpointOption, load_baseline
from .inputs import InputOption, SeedOption, SizeOption, gather, parse_sizes
from .inspect import ModelArgument
from .output import CHECK_FAILED, JsonOption, emit, errors


def report(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page to write.", show_default=False)
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option(
            "--image",
            help="A picture to run the model on and to draw its samples on. Repeat it for more.",
            show_default=False,
        ),
    ] = None,
    mean: Annotated[
        str, typer.Option(help="Of each channel, 0.485,0.456,0.406; pixels go from 0 to 1.")
    ] = "0",
    std: Annotated[str, typer.Option(help="Of each channel, 0.229,0.224,0.225.")] = "1",
    against: Annotated[
        str | None,
        typer.Option(
            help="What the file should equal: package.module:callable or another ONNX file.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    inputs: InputOption = None,
    size: SizeOption = None,
    seed: SeedOption = 0,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Of each backend that is timed.", show_default=False),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Timed runs of each backend.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page: the model's deformable nodes, its errors, its times, where it looks.

    The page needs no network. Exit code 1 if the verification failed; the page is written then too.

    Example: dcn-deploy report model.onnx -o report.html --image photo.jpg
    """
    if output.is_dir():
        raise InputError(f"--output {output}: is a folder; give the name of a file")
    specs = inspect_model(model).inputs
    picture = next((spec for spec in specs if is_image(spec)), None) if images else None
    others = [spec for spec in specs if spec is not picture]
    sizes = parse_sizes(size or [], specs)
    scaled = sizes.pop(picture.name, None) if picture else None
    if scaled is not None and len(scaled) != 4:
        raise InputError(f"--size {'x'.join(map(str, scaled))}: expected four numbers")
    named = [f"{name}={'x'.join(map(str, shape))}" for name, shape in sizes.items()]
    tensors = gather(others, files=inputs, random=True, sizes=named, seed=seed)
    with errors.status("looking") as status:
        try:
            made = report_model(
                model,
                output,
                inputs=tensors,
                images=images or (),
                size=None if scaled is None else (scaled[2], scaled[3]),
                mean=_numbers("--mean", mean),
                std=_numbers("--std", std),
                against=load_baseline(against, checkpoint),
                threads=threads,
                repeat=repeat,
                progress=status.update,
            )
        except OSError as error:
            raise InputError(f"--output {output}: cannot be written: {error}") from error
    passed = made.verification.passed
    verdict = Text(made.verification.summary, "green" if passed else "red")
    written = Text(f"{made.path}, {len(made.model.nodes)} deformable nodes", "bold")
    emit(Group(written, verdict), made.to_dict(), as_json=as_json)
    if not passed:
        raise typer.Exit(CHECK_FAILED)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text}: expected numbers, like 0.485,0.456,0.406") from None
