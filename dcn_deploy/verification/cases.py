"""The inputs that a model is verified on: those given, random ones, and other sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..inspection import TensorReport
from ..model_inputs import InputError

# A model that halves its image five times takes only multiples of 32.
_LARGEST_STEP = 32
GIVEN = "given"
"""The case of the inputs that were given."""


@dataclass(frozen=True)
class Case:
    """Inputs of one run, in the model's order."""

    name: str
    tensors: Sequence[Tensor]
    resized: bool = False
    """Whether the sizes are not those given: a model may rightly refuse them."""


def _redrawn(like: Tensor, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Random values of the same distribution: drawn from the given ones.

    So an index stays a valid index, a mask in 0 .. 1 and an image in 0 .. 255. Only where the given
    floats are all alike (an example made of zeros) it is a normal distribution.
    """
    values = like.detach().cpu().flatten()
    if not values.numel():
        return torch.zeros(shape, dtype=like.dtype)
    if values.is_floating_point() and values.numel() > 1 and bool((values == values[0]).all()):
        return torch.randn(shape, generator=generator).to(like.dtype)
    return values[torch.randint(values.numel(), tuple(shape), generator=generator)]


def _step(size: int) -> int:
    """The largest power of two in ``size``, up to 32: other sizes divide as well as it does."""
    return min(size & -size, _LARGEST_STEP) if size else 1


def _symbols(tensors: Sequence[Tensor], specs: Sequence[TensorReport]) -> dict[str, int]:
    """The symbolic dimensions that may take another size, and the sizes given."""
    symbols: dict[str, int] = {}
    formulas = set()
    for tensor, spec in zip(tensors, specs, strict=True):
        for dim, size in zip(spec.shape or (), tensor.shape, strict=False):
            if isinstance(dim, str):
                (symbols.__setitem__(dim, size) if dim.isidentifier() else formulas.add(dim))
    # A size that follows from another ("2*H") cannot be solved for here.
    bound = {word for formula in formulas for word in re.findall(r"\w+", formula)}
    return {name: size for name, size in symbols.items() if name not in bound}


def other_sizes(tensors: Sequence[Tensor], specs: Sequence[TensorReport]) -> list[dict[str, int]]:
    """Batches and image sizes to try besides the given ones, by the names of the dimensions."""
    symbols = _symbols(tensors, specs)
    batch = {spec.shape[0] for spec in specs if spec.shape}
    batches = {name: size for name, size in symbols.items() if name in batch}
    extents = {name: size for name, size in symbols.items() if name not in batch}
    found = []
    if batches:
        found.append({name: size + 2 for name, size in batches.items()})
        if any(size != 1 for size in batches.values()):
            found.append(dict.fromkeys(batches, 1))
    if extents:
        # Different steps for height and width: a swap of the two would not show otherwise.
        larger = {n: s + (i + 1) * _step(s) for i, (n, s) in enumerate(extents.items())}
        smaller = {n: s - _step(s) if s > _step(s) else s for n, s in extents.items()}
        found += [larger] + ([smaller] if smaller != extents else [])
    return found


def make_cases(
    tensors: Sequence[Tensor],
    specs: Sequence[TensorReport],
    *,
    runs: int,
    seed: int,
    sizes: Sequence[Mapping[str, int]] | None,
) -> Iterator[Case]:
    """The given inputs first, then random ones up to ``runs``, then each of the other sizes.

    Raises:
        InputError: ``sizes`` names a dimension that the file does not have.
    """
    generator = torch.Generator().manual_seed(seed)
    yield Case(GIVEN, tensors)
    for index in range(1, runs):
        redrawn = [_redrawn(tensor, tensor.shape, generator) for tensor in tensors]
        yield Case(f"random {index}", redrawn)
    dynamic = list(dict.fromkeys(d for s in specs for d in s.shape or () if isinstance(d, str)))
    for named in other_sizes(tensors, specs) if sizes is None else sizes:
        for name in named:
            if name not in dynamic:
                raise InputError(
                    f"sizes: the file has no dynamic dimension {name!r}; it has "
                    f"{', '.join(dynamic) or 'none'}"
                )
        resized = []
        for tensor, spec in zip(tensors, specs, strict=True):
            dims = spec.shape or tuple(tensor.shape)
            shape = [named.get(str(d), s) for d, s in zip(dims, tensor.shape, strict=True)]
            resized.append(_redrawn(tensor, shape, generator))
        text = ", ".join(f"{name}={size}" for name, size in named.items())
        yield Case(text, resized, resized=True)
