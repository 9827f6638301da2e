"""Input tensors of a command: read from files, or random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import ml_dtypes
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from ..arrays import to_tensor
from ..availability import first_line
from ..inspection import TensorReport
from ..model_inputs import InputError, check_inputs, expected_text, shape_text
from .output import by

InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="x.npy for the model's inputs in order, name=x.npy for one of them, or x.npz with "
        "arrays by name. Repeat it for more. A bfloat16 input takes a float32 array.",
        show_default=False,
    ),
]
SizeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        help="Size of a random input where the model's is dynamic: 1x3x224x224 for the inputs in "
        "order, or name=1x3x224x224.",
        show_default=False,
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the random inputs.")]


def _named(option: str, value: str, specs: Sequence[TensorReport], taken: Sequence[str]) -> str:
    """The input that "name=value" names; without a name the first that has nothing yet."""
    names = [spec.name for spec in specs]
    name, separator, _ = value.partition("=")
    if separator:
        if name not in names:
            raise InputError(
                f"{option} {value}: the model has no input {name!r}; it takes "
                f"{expected_text(specs)}"
            )
        return name
    free = [name for name in names if name not in taken]
    if not free:
        raise InputError(f"{option} {value}: the model takes only {expected_text(specs)}")
    return free[0]


def load_array(path: Path) -> Any:
    """A .npy or .npz file.

    Raises:
        InputError: it is none.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an array saved by numpy.save or numpy.savez")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: not a .npy or .npz file of numbers ({error}); write it with numpy.save"
        ) from error


def _as_declared(array: NDArray[Any], spec: TensorReport, path: Path) -> Tensor:
    if spec.dtype == "bfloat16" and array.dtype == np.float32:
        array = array.astype(ml_dtypes.bfloat16)  # which numpy's files cannot hold
    try:
        return to_tensor(array)
    except TypeError as error:
        raise InputError(
            f"{path}: dtype {array.dtype}, expected {spec.dtype} for input {spec.name!r}"
        ) from error


def read_inputs(values: Sequence[str], specs: Sequence[TensorReport]) -> dict[str, Tensor]:
    """The tensors in the files that --input names, by input.

    Raises:
        InputError: a file cannot be read, or does not fit.
    """
    by_name = {spec.name: spec for spec in specs}
    tensors: dict[str, Tensor] = {}
    for value in values:
        path = Path(value.partition("=")[2] or value)
        loaded = load_array(path)
        if not isinstance(loaded, np.ndarray):
            for name in loaded.files:
                if name not in by_name:
                    raise InputError(
                        f"{path} holds {name!r}, which is no input of the model; it takes "
                        f"{expected_text(specs)}"
                    )
                tensors[name] = _as_declared(loaded[name], by_name[name], path)
        else:
            name = _named("--input", value, specs, list(tensors))
            tensors[name] = _as_declared(loaded, by_name[name], path)
    return tensors


def parse_sizes(values: Sequence[str], specs: Sequence[TensorReport]) -> dict[str, list[int]]:
    """ "1x3x224x224" for the inputs in order, or "name=1x3x224x224", by input.

    Raises:
        InputError: it is not such a text, or the model has no such input.
    """
    sizes: dict[str, list[int]] = {}
    for value in values:
        text = value.partition("=")[2] or value
        parts = text.split("x")
        if not all(part.isdecimal() for part in parts):  # which a negative number is not
            raise InputError(f"--size {value}: expected numbers, like 1x3x224x224")
        sizes[_named("--size", value, specs, list(sizes))] = [int(part) for part in parts]
    return sizes


def _random(spec: TensorReport, size: Sequence[int] | None, generator: torch.Generator) -> Tensor:
    if size is None:
        fixed = [dim for dim in spec.shape or () if isinstance(dim, int)]
        if spec.shape is None or len(fixed) != len(spec.shape):
            example = [dim if isinstance(dim, int) else 64 for dim in spec.shape or (1, 3, 64, 64)]
            if spec.shape and not isinstance(spec.shape[0], int):
                example[0] = 1
            raise InputError(
                f"input {spec.name!r} is {shape_text(spec.shape)}: give its size, for instance "
                f"--size {spec.name}={by(example)}"
            )
        size = fixed
    dtype = getattr(torch, str(spec.dtype), None)
    if dtype is None or not dtype.is_floating_point:
        raise InputError(
            f"input {spec.name!r} is {spec.dtype}, of which nothing sensible can be made up; give "
            f"--input {spec.name}=values.npy"
        )
    try:
        return torch.randn(tuple(size), generator=generator).to(dtype)
    except RuntimeError as error:  # too large for the memory, or for any memory
        raise InputError(
            f"input {spec.name!r} of size {by(size)} cannot be made: {first_line(error)}; give a "
            "smaller --size"
        ) from error


def gather(
    specs: Sequence[TensorReport],
    *,
    files: Sequence[str] | None,
    random: bool,
    sizes: Sequence[str] | None,
    seed: int,
) -> dict[str, Tensor]:
    """One tensor for each input of the model, in its order: from files, the others random if asked.

    Raises:
        InputError: a file or a size does not fit; the message says what does.
    """
    given = read_inputs(files or [], specs)
    missing = [spec for spec in specs if spec.name not in given]
    if missing and not random:
        raise InputError(
            f"the model takes {expected_text(specs)}; give --input {missing[0].name}=x.npy, or "
            "--random"
        )
    wanted = parse_sizes(sizes or [], specs)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        spec.name: given[spec.name]
        if spec.name in given
        else _random(spec, wanted.get(spec.name), generator)
        for spec in specs
    }
    check_inputs(tensors, specs)
    return tensors
