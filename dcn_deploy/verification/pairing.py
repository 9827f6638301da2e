"""Which tensor of the model's arguments goes into which input of the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..call_arguments import by_name, in_order, tensor_names
from ..inspection import ModelReport
from ..model_inputs import InputError, expected_text
from .eager import tensors_in

Model = Callable[..., Any] | str | os.PathLike[str]


@dataclass(frozen=True)
class Paired:
    """The model's arguments, and where the file's inputs are among them."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    """In forward's order."""
    places: Sequence[int]
    """Of each input of the file, among the tensors in args and kwargs."""
    unused: Sequence[str]
    """Tensors that are not in the file: the exporters drop what no output depends on."""

    @property
    def tensors(self) -> list[Tensor]:
        """One for each input of the file."""
        given = tensors_in((self.args, self.kwargs))
        return [given[place] for place in self.places]


def pair(
    model: Model | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    input_names: Sequence[str] | None,
    file: ModelReport,
) -> Paired:
    """Find the file's inputs in the model's arguments: by name where they have them, else in order.

    Raises:
        InputError: there are more or fewer tensors than inputs, and no names to go by.
    """
    kwargs = dict(kwargs or {})
    names = list(input_names or [])
    # Files, and builtins, have no signature; that a call does not fit, the call itself says best.
    with suppress(TypeError, ValueError):
        if callable(model):
            kwargs = in_order(model, kwargs)
            named = by_name(model, args, kwargs)
            names = names or tensor_names(named)
    inputs = [spec.name for spec in file.inputs]
    count = len(tensors_in((args, kwargs)))
    if len(names) == count and set(inputs) <= set(names):
        places = [names.index(name) for name in inputs]
        return Paired(args, kwargs, places, [name for name in names if name not in inputs])
    if count != len(inputs):
        raise InputError(
            f"args and kwargs hold {count} tensors, {file.path} takes {len(inputs)}: "
            f"{expected_text(file.inputs)}"
        )
    return Paired(args, kwargs, range(count), [])
