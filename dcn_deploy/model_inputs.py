"""Do these tensors fit that model's inputs?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .onnx_graph import Shape

if TYPE_CHECKING:
    from .inspection import TensorReport


class InputError(ValueError):
    """What was given for a model (tensors, sizes, names of nodes) does not fit it."""


def dtype_name(tensor: Tensor) -> str:
    """ "float32" of a torch.float32 tensor: the names of the contract, and numpy's."""
    return str(tensor.dtype).removeprefix("torch.")


def shape_text(shape: Shape | None) -> str:
    """[N, 3, ?, 8] of ("N", 3, None, 8)."""
    if shape is None:
        return "[...]"
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"


def expected_text(specs: Sequence[TensorReport]) -> str:
    """What a model takes, one phrase for each input."""
    return ", ".join(f"{spec.name}: {spec.dtype} {shape_text(spec.shape)}" for spec in specs)


def check_inputs(tensors: Mapping[str, Tensor], specs: Sequence[TensorReport]) -> None:
    """Check names, dtypes, ranks and fixed sizes, and that one symbol is one size everywhere.

    Raises:
        InputError: names the input, what was expected and what was given.
    """
    names = [spec.name for spec in specs]
    missing = [name for name in names if name not in tensors]
    unknown = [name for name in tensors if name not in names]
    if missing or unknown:
        wrong = [f"has no input {name!r}" for name in unknown]
        wrong += [f"lacks its input {name!r}" for name in missing]
        raise InputError(f"the model {' and '.join(wrong)}; it takes {expected_text(specs)}")
    sizes: dict[str, tuple[int, str]] = {}
    for spec in specs:
        tensor = tensors[spec.name]
        given = f"{dtype_name(tensor)} {list(tensor.shape)}"
        expected = f"{spec.dtype} {shape_text(spec.shape)}"
        fits = spec.dtype in (None, dtype_name(tensor))
        if fits and spec.shape is not None:
            fits = len(spec.shape) == tensor.dim() and all(
                not isinstance(dim, int) or dim == size
                for dim, size in zip(spec.shape, tensor.shape, strict=True)
            )
        if not fits:
            raise InputError(f"input {spec.name!r} is {given}, expected {expected}")
        for dim, size in zip(spec.shape or (), tensor.shape, strict=False):
            if not isinstance(dim, str):
                continue
            first, where = sizes.setdefault(dim, (size, spec.name))
            if first != size:
                raise InputError(
                    f"input {spec.name!r} is {given}: its {dim} is {size}, expected {first} as in "
                    f"input {where!r}"
                )
