"""A class over a layer's own, whose methods call ours.

The layer stays the object that it is, with its parameters, buffers, hooks and mode; only its class
changes, to a subclass of what it was. So every name in its state_dict stays, ``isinstance`` holds,
and giving the old class back undoes the conversion.
"""

from __future__ import annotations

import copyreg
from typing import Any, cast

from torch.nn.utils import parametrize

from .functions import Known, Refusal
from .rebinding import Rebinding, is_skipped, leads_to_known

_MARK = "_dcn_deploy_conversion"


class Conversion:
    """How a converted class was made. A copy of a layer shares its class; a pickled one makes its
    own again when it is loaded, from the class that it had."""

    def __init__(self, original: type) -> None:
        self.original = original
        self.made: Any = None

    def blank(self) -> Any:
        """An object of the converted class, without a state."""
        return self.made.__new__(self.made)

    def __deepcopy__(self, memo: Any) -> Conversion:
        return self

    def __reduce__(self) -> Any:
        return _convert_again, (self.original,)


def conversion_of(cls: type) -> Conversion | None:
    """How a converted class was made; None for any other."""
    found: Conversion | None = vars(cls).get(_MARK)
    return found


def _convert_again(original: type) -> Conversion:
    conversion = conversion_of(Classes(Rebinding()).over(original))
    assert conversion is not None
    return conversion


class Classes:
    """The classes that one conversion makes; layers of one class share theirs."""

    def __init__(self, rebinding: Rebinding) -> None:
        self._rebinding = rebinding
        self._found: dict[type, set[Known | Refusal]] = {}
        self._made: dict[type, type] = {}

    def found(self, cls: type) -> set[Known | Refusal]:
        """The deformable convolutions that the methods of a class lead to, inherited ones too."""
        if conversion_of(cls):
            return set()
        if cls not in self._found:
            self._found[cls] = set().union(
                *(self._rebinding.found(_bare(value)) for value in _methods(cls).values()),
                *(self.found(base) for base in cls.__bases__ if base is not object),
            )
        return self._found[cls]

    def over(self, cls: type) -> type:
        """The class to give to layers of class ``cls``: that itself where nothing changes."""
        if cls not in self._made:
            self._made[cls] = self._make(cls)
        return self._made[cls]

    def _make(self, cls: type) -> type:
        if not leads_to_known(self.found(cls)):
            return cls
        bases = [self.over(base) for base in cls.__bases__]
        conversion = Conversion(cls)
        if _is_parametrized(cls):  # torch takes its own class off again, so that one stays on top
            namespace = dict(vars(cls)) | {_MARK: conversion}
            conversion.made = type(cls)(cls.__name__, tuple(bases), namespace)
            return cast(type, conversion.made)
        methods = {
            name: self._replaced(value)
            for name, value in _methods(cls).items()
            if leads_to_known(self._rebinding.found(_bare(value)))
        }
        about = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
        usual: Any = object.__reduce_ex__
        pickling = {"__reduce_ex__": _reduce} if cls.__reduce_ex__ is usual else {}
        # super() in a method of cls goes on to the class after it: there the changed bases come.
        changed = [base for base in bases if conversion_of(base)]
        conversion.made = type(cls)(
            cls.__name__,
            (cls, *changed),
            {**about, **methods, **pickling, _MARK: conversion},
        )
        return cast(type, conversion.made)

    def _replaced(self, method: Any) -> Any:
        if isinstance(method, (staticmethod, classmethod)):
            return type(method)(self._rebinding.copy(method.__func__))
        return self._rebinding.copy(method)


def _methods(cls: type) -> dict[str, Any]:
    """What a class itself defines, and a conversion may change."""
    if is_skipped(cls.__module__):
        return {}
    return {
        name: value
        for name, value in vars(cls).items()
        if name == "__call__" or not name.startswith("__")
    }


def _bare(method: Any) -> Any:
    return method.__func__ if isinstance(method, (staticmethod, classmethod)) else method


def _is_parametrized(cls: type) -> bool:
    """Whether torch.nn.utils.parametrize made the class, for one layer, over the layer's own."""
    return cls.__module__ == parametrize.__name__ and len(cls.__bases__) == 1


def _reduce(self: Any, protocol: Any) -> Any:
    reduced = object.__reduce_ex__(self, protocol)
    if reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return reduced
    conversion = conversion_of(type(self))
    assert conversion is not None
    return Conversion.blank, (conversion,), *reduced[2:]
