"""Random inputs for a model that came without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..inspection import TensorReport
from ..model_inputs import InputError, check_inputs, shape_text

_BATCH, _EXTENT = 1, 64
"""Of dimensions that may have any size. The image is small, because float64 is slow."""


def random_inputs(
    specs: Sequence[TensorReport],
    given: Mapping[str, Tensor],
    sizes: Mapping[str, Sequence[int]],
    seed: int,
) -> dict[str, Tensor]:
    """One tensor for each input of the model, in its order: given ones, and normal random values.

    Args:
        specs: the model's inputs
        given: tensors by input name
        sizes: of random ones, by input name; default: what the model says, 1 for a dynamic batch
            and 64 for other dynamic sizes
        seed: of the random values

    Raises:
        InputError: an input is not there, does not fit, or cannot be made up.
    """
    names = [spec.name for spec in specs]
    if unknown := [name for name in (*given, *sizes) if name not in names]:
        raise InputError(f"the model has no input {unknown[0]!r}; it has {', '.join(names)}")
    generator = torch.Generator().manual_seed(seed)
    symbols = {
        dim: size
        for spec in specs
        for dim, size in zip(spec.shape or (), sizes.get(spec.name, ()), strict=False)
        if isinstance(dim, str)
    }
    symbols |= {
        dim: size
        for spec in specs
        if spec.name in given
        for dim, size in zip(spec.shape or (), given[spec.name].shape, strict=False)
        if isinstance(dim, str)
    }
    tensors = {}
    for spec in specs:
        if spec.name in given:
            tensors[spec.name] = given[spec.name]
            continue
        tensors[spec.name] = _random(spec, sizes.get(spec.name), symbols, generator)
    check_inputs(tensors, specs)
    return tensors


def _random(
    spec: TensorReport,
    size: Sequence[int] | None,
    symbols: dict[str, int],
    generator: torch.Generator,
) -> Tensor:
    dtype = getattr(torch, str(spec.dtype), None)
    if dtype is None or not dtype.is_floating_point:
        raise InputError(
            f"input {spec.name!r} is {spec.dtype}, of which nothing sensible can be made up to "
            "verify with; give it as an input, or do not verify"
        )
    if size is None:
        if spec.shape is None:
            raise InputError(
                f"input {spec.name!r} is {shape_text(None)}: give its size to verify with"
            )
        usual = [_BATCH if axis == 0 else _EXTENT for axis in range(len(spec.shape))]
        size = [
            dim if isinstance(dim, int) else n if dim is None else symbols.setdefault(dim, n)
            for dim, n in zip(spec.shape, usual, strict=True)
        ]
    try:
        return torch.randn(tuple(size), generator=generator).to(dtype)
    except RuntimeError as error:  # too large for the memory, or for any memory
        raise InputError(
            f"input {spec.name!r} of size {list(size)} cannot be made; give a smaller size to "
            "verify with"
        ) from error
