"""What a PyTorch model is exported with: sizes of random inputs, or arrays from files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..arrays import to_tensor
from ..availability import first_line
from ..model_inputs import InputError
from .inputs import load_array

_SIZE = re.compile(r"\d+(x\d+)*")


def example_inputs(
    values: Sequence[str], model: torch.nn.Module, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """The arguments of forward.

    Args:
        values: of each --input: "1x3x64x64" or "x.npy", for forward's arguments in order, or
            "name=…" for one of them
        model: random inputs have the dtype of its first floating-point parameter
        seed: of the random inputs

    Returns:
        args and kwargs

    Raises:
        InputError: a value is no size and no file, or a name comes twice or before the others.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = [*model.parameters(), *model.buffers()]
    dtypes = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    dtype = dtypes[0] if dtypes else torch.float32
    args: list[Tensor] = []
    kwargs: dict[str, Tensor] = {}
    for value in values:
        name, separator, what = value.rpartition("=")
        tensor = _tensor(what, value, dtype, generator)
        if not separator and kwargs:
            raise InputError(f"--input {value}: inputs in order come before those with a name")
        if name in kwargs:
            raise InputError(f"--input {value}: {name} was given before")
        if separator:
            kwargs[name] = tensor
        else:
            args.append(tensor)
    return tuple(args), kwargs


def _tensor(what: str, value: str, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if not _SIZE.fullmatch(what):
        if Path(what).suffix != ".npy":
            raise InputError(f"--input {value}: expected a size, like 1x3x64x64, or a .npy file")
        array = load_array(Path(what))
        try:
            return to_tensor(array)
        except (TypeError, ValueError) as error:
            raise InputError(f"--input {value}: no array of numbers: {error}") from error
    size = [int(part) for part in what.split("x")]
    try:
        return torch.randn(size, generator=generator).to(dtype)
    except RuntimeError as error:  # too large for the memory, or for any memory
        raise InputError(
            f"--input {value} cannot be made: {first_line(error)}; give a smaller size"
        ) from error
