"""Optimisation profiles: the sizes between which a dynamic model must run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...inspection import TensorReport
from ...model_inputs import InputError, shape_text

Size = tuple[int, ...]
Range = tuple[Size, Size, Size]
"""Smallest, usual and largest."""
Profile = Mapping[str, Range]
_WORDS = ("smallest", "usual", "largest")


def complete_profiles(
    profiles: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    specs: Sequence[TensorReport],
) -> list[Profile]:
    """Check the profiles and fill in the inputs whose sizes are fixed.

    Args:
        profiles: for each dynamic input, three sizes (smallest, usual, largest) or one; a list of
            such mappings makes several profiles
        specs: the model's inputs

    Returns:
        Profiles for every input; none for a model without dynamic inputs.

    Raises:
        InputError: a size does not fit an input, or a dynamic input has none.
    """
    given = [profiles] if isinstance(profiles, Mapping) else list(profiles or [])
    complete = [_complete(profile, specs) for profile in given or [{}]]
    return [] if all(map(_is_fixed, specs)) else complete


def _is_fixed(spec: TensorReport) -> bool:
    return spec.shape is not None and all(isinstance(dim, int) for dim in spec.shape)


def _complete(profile: Mapping[str, Any], specs: Sequence[TensorReport]) -> Profile:
    names = [spec.name for spec in specs]
    for name in profile:
        if name not in names:
            raise InputError(
                f"profile for {name!r}: the model has no such input; it takes {', '.join(names)}"
            )
    complete: dict[str, Range] = {}
    symbols: dict[tuple[str, int], tuple[int, str]] = {}
    for spec in specs:
        if spec.name in profile:
            complete[spec.name] = _range(spec, profile[spec.name])
        elif _is_fixed(spec):
            size = tuple(dim for dim in spec.shape or () if isinstance(dim, int))
            complete[spec.name] = (size, size, size)
        else:
            raise InputError(_missing(spec))
        _check_symbols(spec, complete[spec.name], symbols)
    return complete


def _missing(spec: TensorReport) -> str:
    shape = (None, 3, None, None) if spec.shape is None else spec.shape

    def example(batch: int, extent: int) -> str:
        free = [batch] + [extent] * len(shape)
        return "x".join(str(d if isinstance(d, int) else free[i]) for i, d in enumerate(shape))

    sizes = ":".join(example(*free) for free in ((1, 64), (4, 256), (8, 512)))
    return (
        f"input {spec.name!r} is {shape_text(spec.shape)}: give its smallest, usual and largest "
        f"size, for instance --profile {spec.name}={sizes}"
    )


def _range(spec: TensorReport, value: Any) -> Range:
    try:
        sizes = [tuple(int(dim) for dim in size) for size in value]
    except TypeError:  # one size
        try:
            sizes = [tuple(int(dim) for dim in value)] * 3
        except (TypeError, ValueError):
            sizes = []
    if len(sizes) != 3:
        raise InputError(
            f"profile for {spec.name!r} is {value!r}, expected three sizes (smallest, usual, "
            "largest) or one"
        )
    shape = (None,) * len(sizes[0]) if spec.shape is None else spec.shape
    for word, size in zip(_WORDS, sizes, strict=True):
        if len(size) != len(shape) or not all(map(_fits, shape, size)):
            raise InputError(
                f"profile for {spec.name!r}: the {word} size is {list(size)}, expected "
                f"{shape_text(spec.shape)}"
            )
    for index in (1, 2):
        low, high = sizes[index - 1], sizes[index]
        if any(a > b for a, b in zip(low, high, strict=True)):
            raise InputError(
                f"profile for {spec.name!r}: the {_WORDS[index - 1]} size {list(low)} is larger "
                f"than the {_WORDS[index]} {list(high)}"
            )
    return (sizes[0], sizes[1], sizes[2])


def _fits(dim: int | str | None, size: int) -> bool:
    return size == dim if isinstance(dim, int) else size >= 0


def _check_symbols(
    spec: TensorReport, sizes: Range, symbols: dict[tuple[str, int], tuple[int, str]]
) -> None:
    """A dimension of one name is one size in every input."""
    for which, size in enumerate(sizes):
        for dim, n in zip(spec.shape or (), size, strict=False):
            if not isinstance(dim, str):
                continue
            first, where = symbols.setdefault((dim, which), (n, spec.name))
            if first != n:
                raise InputError(
                    f"profile for {spec.name!r}: its {_WORDS[which]} {dim} is {n}, expected "
                    f"{first} as in input {where!r}"
                )
