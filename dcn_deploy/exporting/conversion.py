"""A model with other libraries' layers is exported with ours in them: does it still compute the
same? Asked before anything is written, of the model as it was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from ..availability import first_line
from ..converting import ConvertedLayer, Plan
from ..errors import ConversionError
from ..model_inputs import dtype_name
from ..tolerances import MODEL_TOLERANCE
from ..verification.difference import difference
from ..verification.eager import EagerSide, tensors_in
from .request import Request


@dataclass
class Converted:
    """What was converted for an export."""

    layers: tuple[ConvertedLayer, ...] = ()
    """Empty where the model has only layers of ours, or none."""
    not_compared: str = field(default="", init=False)
    """Why the model as given was not compared with the converted one; empty if it was."""

    def __str__(self) -> str:
        """One line for each function in whose place ours is called."""
        lines = []
        for name in dict.fromkeys(name for layer in self.layers for name in layer.functions):
            paths = [layer.path or "the model" for layer in self.layers if name in layer.functions]
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            lines.append(f"  {name} -> dcn_deploy, in {', '.join(paths[:3])}{more}")
        if lines and self.not_compared:
            lines.append(f"  the model as given was not compared: {self.not_compared}")
        return "\n".join(lines)


@contextmanager
def converted(request: Request, *, compare: bool) -> Iterator[Converted]:
    """The request's model with our op in it, and as it was afterwards.

    Args:
        request: the model, and the inputs to compare it on
        compare: run the model as given and the converted one, in eval mode

    Raises:
        ConversionError: a layer cannot be converted exactly, or the converted model computes
            something else on the example inputs.
    """
    plan = Plan(request.model)
    result = Converted(plan.layers)
    given: list[Tensor] = []
    if plan.layers and compare:
        try:
            given = _outputs(request)
        except (
            Exception
        ) as error:  # many libraries have no kernel for the CPU, each says so its way
            result.not_compared = f"{type(error).__name__}: {first_line(error)}"
    elif plan.layers:
        result.not_compared = "as asked"
    with plan.applied():
        if plan.layers and not result.not_compared:
            _compare(_outputs(request), given)
        yield result


def _outputs(request: Request) -> list[Tensor]:
    side = EagerSide(request.model, request.args, request.kwargs)
    return list(side.run(tensors_in((request.args, request.kwargs))).outputs)


def _compare(ours: list[Tensor], given: list[Tensor]) -> None:
    for number, (actual, expected) in enumerate(zip(ours, given, strict=True)):
        name = dtype_name(expected)
        if actual.shape != expected.shape:
            apart = f"is {list(actual.shape)}, expected {list(expected.shape)}"
        else:
            error = difference(actual, expected, MODEL_TOLERANCE.get(name, 0.0))
            if error.ok:
                continue
            apart = f"differs: {error}"
        raise ConversionError(
            f"output {number} of the converted model {apart}, from the model as given: a function "
            "that was replaced does not compute what its name and arguments say"
        )
