"""``dcn-deploy run``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import ml_dtypes
import numpy as np
import typer
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from ..inspection import inspect_model
from ..model_inputs import InputError
from ..running import run as run_model
from .inputs import InputOption, SeedOption, SizeOption, gather
from .inspect import ModelArgument
from .output import JsonOption, by, emit


def run(
    model: ModelArgument,
    inputs: InputOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the outputs to this .npz.", show_default=False),
    ] = None,
    random: Annotated[bool, typer.Option(help="Make up the inputs that are not given.")] = False,
    size: SizeOption = None,
    seed: SeedOption = 0,
    override: Annotated[
        bool, typer.Option(help="Run standard DeformConv nodes in this project's kernel too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run an ONNX file in onnxruntime with this project's library.

    Prints shape, dtype and statistics of every output. Exit code 1 if the model does not run.

    Example: dcn-deploy run model.onnx --input x.npy -o out.npz
    """
    tensors = gather(
        inspect_model(model).inputs, files=inputs, random=random, sizes=size, seed=seed
    )
    outputs = run_model(model, tensors, override=override)
    if output is not None:
        _save(output, outputs)
    described = {name: _describe(array) for name, array in outputs.items()}
    data = {"path": str(model), "output_file": output and str(output), "outputs": described}
    emit(_render(described), data, as_json=as_json)


def _save(path: Path, outputs: dict[str, NDArray[Any]]) -> None:
    """numpy's files cannot hold bfloat16: those outputs are written as float32."""
    if path.is_dir():
        raise InputError(f"--output {path}: is a folder; give the name of a file")
    plain: dict[str, Any] = {
        name: array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array
        for name, array in outputs.items()
    }
    unfinished = path.with_name(path.name + ".part")
    try:
        with open(unfinished, "wb") as file:
            np.savez(file, **plain)
        os.replace(unfinished, path)
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written: {error.strerror}") from error


def _describe(array: NDArray[Any]) -> dict[str, Any]:
    """Shape, dtype, and statistics of the finite values, None where there are none."""
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    statistics: dict[str, Callable[..., Any]] = {
        "min": np.min,
        "max": np.max,
        "mean": np.mean,
        "std": np.std,
    }
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "not_finite": values.size - finite.size,
        **{name: float(of(finite)) if finite.size else None for name, of in statistics.items()},
    }


def _render(described: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("output", overflow="fold")
    for title in ("min", "max", "mean", "std", "NaN, Inf"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, about in described.items():
        numbers = [
            "-" if about[key] is None else f"{about[key]:.4g}"
            for key in ("min", "max", "mean", "std")
        ]
        what = f"{name}\n{about['dtype']} {by(about['shape'])}"
        table.add_row(what, *numbers, str(about["not_finite"]))
    return table
