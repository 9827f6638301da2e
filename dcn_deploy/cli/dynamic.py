"""Which sizes of an exported model may vary: ``--dynamic batch,height,width``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.export import Dim

from ..model_inputs import InputError

_PART = re.compile(r"(?:(?P<step>[1-9]\d*)\*)?(?P<name>[A-Za-z_]\w*)(?:=(?P<place>\d+))?")
_PLACES = {"batch": 0, "height": -2, "width": -1}
"""Of the names that need no place."""
_IMAGE_RANK = 4
"""Height and width are the last dimensions of tensors of at least this rank."""


@dataclass(frozen=True)
class _Dynamic:
    name: str
    place: int
    step: int

    def of(self, tensor: Tensor) -> int | None:
        """Which dimension of a tensor it is, if any."""
        if self.place < 0:
            return tensor.dim() + self.place if tensor.dim() >= _IMAGE_RANK else None
        return self.place if self.place < tensor.dim() else None


def dynamic_shapes(
    text: str, tensors: Mapping[str, Tensor], *, multiples: bool
) -> dict[str, dict[int, Any] | None]:
    """What ``dcn_deploy.export`` takes.

    Args:
        text: names with commas between; "height=2" says which dimension, "32*height" that only
            multiples are taken
        tensors: the example inputs, by forward's names
        multiples: whether the exporter is to know of the multiples; otherwise only their names
            are used

    Raises:
        InputError: a part cannot be read, or no input has such a dimension.
    """
    shapes: dict[str, dict[int, Any]] = {name: {} for name in tensors}
    for part in text.split(","):
        dynamic = _parse(part.strip())
        sizes: dict[str, int] = {}
        for name, tensor in tensors.items():
            place = dynamic.of(tensor)
            if place is None:
                continue
            size = tensor.shape[place]
            sizes[name] = size
            # Inputs of different sizes do not share a name: it would say that they are equal.
            shared = size == next(iter(sizes.values()))
            symbol = dynamic.name if shared else f"{name}_{dynamic.name}"
            if dynamic.step > 1 and size % dynamic.step:
                raise InputError(
                    f"--dynamic {part}: it is {size} in {name}, expected a multiple of "
                    f"{dynamic.step}"
                )
            stepped = multiples and dynamic.step > 1
            shapes[name][place] = dynamic.step * Dim(symbol, min=1) if stepped else symbol
        if not sizes:
            given = ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
            raise InputError(f"--dynamic {part}: no input has this dimension; given are {given}")
    return {name: shape or None for name, shape in shapes.items()}


def _parse(part: str) -> _Dynamic:
    found = _PART.fullmatch(part)
    if not found:
        raise InputError(
            f"--dynamic {part}: expected batch, height, width, another name with its dimension, "
            "frames=1, or a multiple, 32*height"
        )
    name, place = found["name"], found["place"]
    if place is None and name not in _PLACES:
        raise InputError(f"--dynamic {part}: which dimension is it? Write {part}=1, counted from 0")
    return _Dynamic(name, _PLACES[name] if place is None else int(place), int(found["step"] or 1))
