"""What a conversion changes in a model: found first, then done, and undone where that is wanted."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ..errors import ConversionError
from .classes import Classes
from .functions import Known, Refusal
from .graphs import NodeChange, node_changes
from .rebinding import Rebinding, leads_to_known


@dataclass(frozen=True)
class ConvertedLayer:
    """A module that calls a deformable convolution of another library."""

    path: str
    """In the model, as of ``named_modules``; empty for the model itself."""
    layer: str
    """Its class, with the module that defines it."""
    functions: tuple[str, ...]
    """The functions in whose place ours are called."""

    def __str__(self) -> str:
        return f"{self.path or 'the model'} ({self.layer}): {', '.join(self.functions)}"


Undo = Callable[[], None]


class Plan:
    """The changes that make a model call ours.

    Args:
        model: any module; it is not changed until ``apply``

    Raises:
        ConversionError: modules of the model call something that looks like a deformable
            convolution and is none that is known; the message has one line for each.
    """

    def __init__(self, model: nn.Module) -> None:
        self._rebinding = Rebinding()
        self._classes = Classes(self._rebinding)
        self._changes: list[tuple[str, Callable[[], Undo]]] = []
        layers: list[ConvertedLayer] = []
        refused: list[str] = []
        for path, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):  # what it calls is compiled in
                continue
            find = self._in_graph if isinstance(module, fx.GraphModule) else self._in_module
            layer = f"{type(module).__module__}.{type(module).__qualname__}"
            names: list[str] = []
            for found in find(path, module):
                if isinstance(found, Refusal):
                    where = path or "the model"
                    refused.append(f"{where} ({layer}) calls {found.name}: {found.reason}")
                else:
                    names.append(found)
            if names:
                layers.append(ConvertedLayer(path, layer, tuple(dict.fromkeys(names))))
        if refused:
            raise ConversionError("\n".join(dict.fromkeys(refused)))
        self.layers = tuple(layers)
        """What is converted, in the order of ``named_modules``."""

    def apply(self) -> Undo:
        """Convert the model; what is returned gives back what it was.

        Raises:
            ConversionError: a layer does not take another class; the model is as it was.
        """
        done: list[Undo] = []

        def undo() -> None:
            while done:
                done.pop()()

        for path, change in self._changes:
            try:
                done.append(change())
            except Exception as error:  # a class of the user's may refuse in any way
                undo()
                raise ConversionError(
                    f"{path or 'the model'}: {type(error).__name__}: {error}"
                ) from error
        return undo

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model converted in place, and as it was afterwards."""
        undo = self.apply()
        try:
            yield
        finally:
            undo()

    def _in_module(self, path: str, module: nn.Module) -> Iterator[str | Refusal]:
        cls = type(module)
        found = self._classes.found(cls)
        yield from _names(found)
        if leads_to_known(found):
            self._changes.append((path, lambda: _set_class(module, self._classes.over(cls))))
        for name, value in vars(module).items():
            function = _function(value)
            found = self._rebinding.found(function)
            yield from _names(found)
            if leads_to_known(found):
                copy = self._rebinding.copy(function)
                if function is not value:
                    copy = types.MethodType(copy, value.__self__)
                self._changes.append((path, _setting(module, name, copy)))

    def _in_graph(self, path: str, module: fx.GraphModule) -> Iterator[str | Refusal]:
        changes = []
        for change in node_changes(module.graph):
            if isinstance(change, Refusal):
                yield change
            else:
                yield change.name
                changes.append(change)
        if changes:
            self._changes.append((path, lambda: _set_nodes(module, changes)))


def _names(found: set[Known | Refusal]) -> list[str | Refusal]:
    ordered = sorted(found, key=lambda one: one.name)
    return [one.name if isinstance(one, Known) else one for one in ordered]


def _function(value: Any) -> Any:
    """The function of a bound method of a layer's; the value itself otherwise."""
    bound = isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module)
    return value.__func__ if bound else value


def _set_class(module: nn.Module, cls: type) -> Undo:
    before = type(module)
    module.__class__ = cls

    def undo() -> None:
        module.__class__ = before

    return undo


def _setting(module: nn.Module, name: str, value: Any) -> Callable[[], Undo]:
    before = vars(module)[name]

    def undo() -> None:
        vars(module)[name] = before

    def change() -> Undo:
        vars(module)[name] = value
        return undo

    return change


def _set_nodes(module: fx.GraphModule, changes: list[NodeChange]) -> Undo:
    before = [change.swapped() for change in changes]
    module.recompile()

    def undo() -> None:
        for change in before:
            change.swapped()
        module.recompile()

    return undo
