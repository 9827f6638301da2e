"""``dcn_deploy.report``: look at a model from all sides, and write the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..benchmarking import BenchReport, bench
from ..exporting import files
from ..exporting.checks import check_path
from ..inspection import ModelReport, TensorReport, inspect_model
from ..model_inputs import InputError, check_inputs, expected_text
from ..sampling.observe import observe
from ..sampling.pictures import (
    Picture,
    as_input,
    as_picture,
    fixed_size,
    is_image,
    load_picture,
)
from ..sampling.points import Sampling, sample_points
from ..verification import VerificationReport, verify


@dataclass(frozen=True)
class Report:
    """What the page shows."""

    path: Path
    """Of the page."""
    model: ModelReport
    verification: VerificationReport
    bench: BenchReport
    pictures: tuple[str, ...]
    """The names of those that samples are drawn on."""

    def to_dict(self) -> dict[str, Any]:
        """Everything but the drawings, for JSON."""
        return {
            "path": str(self.path),
            "model": self.model.to_dict(),
            "verification": self.verification.to_dict(),
            "bench": self.bench.to_dict(),
            "pictures": list(self.pictures),
        }


def report(
    model: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    inputs: Mapping[str, Tensor] | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    size: tuple[int, int] | None = None,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    against: torch.nn.Module | str | os.PathLike[str] | None = None,
    runs: int = 2,
    threads: int | Sequence[int] | None = None,
    repeat: int = 20,
    progress: Callable[[str], None] = lambda message: None,
) -> Report:
    """Write one self-contained HTML page about an ONNX file; it loads nothing from anywhere.

    The page lists the deformable nodes and who runs them, the verification with histograms of the
    errors, the times, and on each picture the samples of each node.

    Args:
        model: the ONNX file
        path: the page to write
        inputs: by name; needed for every input that no picture goes into
        images: pictures, each put into the model's first image-like input, (pixel / 255 - mean) /
            std. Without any, the first image-like tensor of ``inputs`` is drawn on.
        size: height and width that pictures are scaled to; default: what the model wants, or as
            they are
        mean, std: of the channels, or one for all
        against: what the file should equal, as for ``verify``; a module is timed too
        runs: sets of inputs to verify on; from the second on, random ones
        threads: of each backend that is timed, one number or several; default: every CPU
        repeat: timed runs of each backend
        progress: called with a line of text as each part starts

    Raises:
        ModelFileError: the file is not an ONNX model.
        InputError: the inputs do not fit it, or a picture cannot be read.
        ValueError: ``path`` is a folder.
        OSError: the page could not be written.
    """
    from .page import Page, render  # jinja2 and matplotlib, which only this needs

    target = Path(path)
    check_path(target)
    file = inspect_model(model)
    feeds = _feeds(file.inputs, inputs or {}, images, size, mean, std)
    picture, tensors = feeds[0]
    progress("verifying")
    verification = verify(
        model, against, tuple(tensors.values()), runs=runs, offsets=True, progress=progress
    )
    progress("timing")
    timed = against if isinstance(against, torch.nn.Module) else None
    times = bench(model, tensors, model=timed, threads=threads, repeat=repeat)
    drawn: list[tuple[Picture, list[Sampling]]] = []
    watched = any(case.nodes for side in verification.sides for case in side.cases)
    for picture, tensors in feeds:
        if picture is not None and watched:
            progress(f"drawing samples on {picture.name}")
            height, width = picture.pixels.shape[:2]
            nodes = observe(model, tuple(tensors.values()))
            drawn.append((picture, [sample_points(node, height, width) for node in nodes]))
    with files.staging(target) as folder:
        staged = folder / target.name
        staged.write_text(render(Page(file, verification, times, drawn)), encoding="utf-8")
        os.replace(staged, target)
    names = tuple(picture.name for picture, _ in drawn)
    return Report(target, file, verification, times, names)


def _feeds(
    specs: Sequence[TensorReport],
    given: Mapping[str, Tensor],
    images: Sequence[str | os.PathLike[str]],
    size: tuple[int, int] | None,
    mean: Sequence[float],
    std: Sequence[float],
) -> list[tuple[Picture | None, dict[str, Tensor]]]:
    """Inputs of the model, one set for each picture, and the picture that goes with each."""
    target = next((spec for spec in specs if is_image(spec)), None)
    feeds: list[tuple[Picture | None, dict[str, Tensor]]] = []
    for image in images:
        if target is None:
            raise InputError(f"no input of the model takes a picture: {expected_text(specs)}")
        picture = load_picture(image, fixed_size(target) or size)
        named = dict(given) | {target.name: as_input(picture, target, mean, std)}
        feeds.append((picture, named))
    if not images:
        tensor = None if target is None else given.get(target.name)
        feeds.append((None if tensor is None else as_picture(tensor[0], "the input"), dict(given)))
    ordered: list[tuple[Picture | None, dict[str, Tensor]]] = []
    for shown, named in feeds:
        check_inputs(named, specs)
        ordered.append((shown, {spec.name: named[spec.name] for spec in specs}))
    return ordered
