"""The same test images through every way to run the model: do they agree, and how fast are they?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from torch import nn

import dcn_deploy
from dcn_deploy import availability

Array = NDArray[Any]
Runner = Callable[[Array], Array]
"""[N, 1, H, W] float32 images to [N, 10] float32 logits, for any N."""

EAGER = "eager PyTorch"
BATCHES = (1, 64)
_TIMED_IMAGES = 64
"""Of each batch size in each round: few, so that all runtimes meet the same load in a round."""


@dataclass(frozen=True)
class NotRun:
    """A runtime that cannot run the model here, and why."""

    reason: str


@dataclass(frozen=True)
class Measured:
    """What one runtime made of the test images."""

    accuracy: float
    differing_predictions: int
    """Images that it puts into another class than eager PyTorch does."""
    max_abs_error: float
    """Largest |logit - eager's|."""
    relative_error: float
    """||logits - eager's|| / ||eager's||, over all images."""
    ms_per_image: Mapping[int, float]
    """By batch size; the best round."""


Result = Measured | NotRun


def runners(model: nn.Module, onnx_path: Path, threads: int) -> dict[str, Runner | NotRun]:
    """Every way to run the model here, by name; eager PyTorch, the one to compare with, first."""

    @torch.no_grad()
    def eager(images: Array) -> Array:
        logits: Array = model(torch.from_numpy(images)).numpy()
        return logits

    model.eval()
    ours = dcn_deploy.ort_session(onnx_path, intra_op_num_threads=threads)
    found: dict[str, Runner | NotRun] = {EAGER: eager, availability.OURS: _runner(ours)}

    stock = availability.stock("portable", "float32")
    if not stock.runs:
        found[availability.STOCK] = NotRun(stock.reason)
    else:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        found[availability.STOCK] = _runner(
            onnxruntime.InferenceSession(
                str(onnx_path), options, providers=["CPUExecutionProvider"]
            )
        )
    return found


def _runner(session: onnxruntime.InferenceSession) -> Runner:
    (model_input,) = session.get_inputs()

    def run(images: Array) -> Array:
        (logits,) = session.run(None, {model_input.name: images})
        return np.asarray(logits)

    return run


def compare(
    runners: Mapping[str, Runner | NotRun],
    images: Array,
    labels: Array,
    *,
    rounds: int,
    on_round: Callable[[], None],
) -> dict[str, Result]:
    """Run and time them all.

    Args:
        runners: by name, EAGER among them
        images: [N, 1, H, W] float32
        labels: [N]
        rounds: how often each is timed; they take turns, so that a busy moment hits them alike
        on_round: called after each round
    """
    able = {name: runner for name, runner in runners.items() if not isinstance(runner, NotRun)}
    logits = {name: _in_batches(runner, images, max(BATCHES)) for name, runner in able.items()}
    best = {name: dict.fromkeys(BATCHES, math.inf) for name in able}
    for _ in range(rounds):
        for batch in BATCHES:
            for name, runner in able.items():
                best[name][batch] = min(best[name][batch], _ms_per_image(runner, images, batch))
        on_round()

    expected = logits[EAGER]
    results: dict[str, Result] = {}
    for name, candidate in runners.items():
        if isinstance(candidate, NotRun):
            results[name] = candidate
            continue
        error = logits[name] - expected
        predictions = logits[name].argmax(axis=1)
        results[name] = Measured(
            accuracy=float((predictions == labels).mean()),
            differing_predictions=int((predictions != expected.argmax(axis=1)).sum()),
            max_abs_error=float(np.abs(error).max()),
            relative_error=float(np.linalg.norm(error) / np.linalg.norm(expected)),
            ms_per_image=best[name],
        )
    return results


def differing_predictions(results: Mapping[str, Result]) -> int:
    """Of all the runtimes that ran."""
    ran = [result for result in results.values() if isinstance(result, Measured)]
    return sum(result.differing_predictions for result in ran)


def _in_batches(runner: Runner, images: Array, batch: int) -> Array:
    return np.concatenate(
        [runner(images[start : start + batch]) for start in range(0, len(images), batch)]
    )


def _ms_per_image(runner: Runner, images: Array, batch: int) -> float:
    images = images[:_TIMED_IMAGES]
    runner(images[:batch])
    start = time.perf_counter()
    _in_batches(runner, images, batch)
    return (time.perf_counter() - start) * 1e3 / len(images)


def as_table(results: Mapping[str, Result], images: int, onnx_bytes: int) -> Table:
    """The results for people; everything but eager PyTorch runs the one ONNX file."""
    notes = ["differ: predictions that are not those of eager PyTorch"]
    table = Table(
        title=f"{images} test images, one ONNX file of {onnx_bytes / 1024:.0f} KiB",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("runtime", min_width=max(map(len, results)))
    for column in ("accuracy", "differ", "max abs\nerror", "rel.\nerror"):
        table.add_column(column, justify="right")
    for batch in BATCHES:
        table.add_column(f"batch {batch}\nms/image", justify="right")
    for name, result in results.items():
        if isinstance(result, NotRun):
            table.add_row(name, "not run")
            notes.append(f"not run: {result.reason}")
            continue
        errors = (result.max_abs_error, result.relative_error)
        table.add_row(
            name,
            f"{result.accuracy:.1%}",
            str(result.differing_predictions),
            *("-" if name == EAGER else f"{error:.1e}" for error in errors),
            *(f"{result.ms_per_image[batch]:.2f}" for batch in BATCHES),
        )
    table.caption = "\n".join(notes)
    return table
