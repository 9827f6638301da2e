"""Copies of Python functions that call ours where the originals call a library's convolution.

A function finds what it calls by name, in the module that it was defined in. Its copy has the same
code and looks the names up in a copy of that module's namespace in which the deformable functions,
and the functions that lead to them, are replaced. So no module of anybody is changed: other models,
other threads and the library itself go on as before. The namespace is that of the moment of the
conversion.
"""

from __future__ import annotations

import types
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .functions import Known, Refusal, recognise

# Nothing in these leads to a library's convolution, and they are large.
_SKIPPED = {"torch", "numpy", "dcn_deploy"}


@dataclass(frozen=True)
class _Node:
    """A function or a module on the way to a convolution."""

    value: types.FunctionType | types.ModuleType
    names: frozenset[str]
    """That it uses; of a module, that the function uses which names the module."""

    def __hash__(self) -> int:
        return hash((id(self.value), self.names))


class Rebinding:
    """The copies that one conversion makes; each function is copied once."""

    def __init__(self) -> None:
        self._found: dict[_Node, set[Known | Refusal]] = {}
        self._copies: dict[_Node, types.FunctionType] = {}
        self._scopes: dict[int, dict[str, Any]] = {}
        self._modules: dict[int, types.ModuleType] = {}
        self._changed: set[_Node] = set()

    def found(self, value: Any) -> set[Known | Refusal]:
        """The deformable convolutions that a function leads to, or that it is."""
        known = recognise(value)
        if known is not None:
            return {known}
        node = _node(value, frozenset())
        if node is None:
            return set()
        if node not in self._found:
            self._search(node)
        return self._found[node]

    def copy(self, value: Any) -> Any:
        """What to use instead of a function that leads to a known one."""
        return self._instead(value, frozenset())

    def _search(self, root: _Node) -> None:
        """Find what ``root`` and everything below it leads to."""
        callers: dict[_Node, list[_Node]] = defaultdict(list)
        ends: list[tuple[_Node, Known | Refusal]] = []
        nodes = [root]
        self._found[root] = set()
        while nodes:
            node = nodes.pop()
            for _, value in _uses(node):
                known = recognise(value)
                if known is not None:
                    ends.append((node, known))
                    continue
                used = _node(value, node.names)
                if used is None:
                    continue
                callers[used].append(node)
                if used not in self._found:
                    self._found[used] = set()
                    nodes.append(used)
                ends += [(node, end) for end in self._found[used]]
        while ends:
            node, end = ends.pop()
            if end not in self._found[node]:
                self._found[node].add(end)
                ends += [(caller, end) for caller in callers[node]]

    def _instead(self, value: Any, names: frozenset[str]) -> Any:
        known = recognise(value)
        if known is not None:
            assert isinstance(known, Known)
            return known.ours
        node = _node(value, names)
        assert node is not None
        if isinstance(node.value, types.ModuleType):
            return self._copy_module(node, node.value)
        if node not in self._copies:
            self._new_function(node, node.value)
        return self._copies[node]

    def _new_function(self, node: _Node, function: types.FunctionType) -> None:
        cells = list(function.__closure__ or ())
        scope = self._scopes.setdefault(id(function.__globals__), _scope(function.__globals__))
        changes = list(self._changes(node))
        for place, _ in changes:
            if isinstance(place, int):
                cells[place] = types.CellType()
        copy = types.FunctionType(
            function.__code__,
            scope,
            function.__name__,
            function.__defaults__,
            tuple(cells) if cells else None,
        )
        for attribute in ("__kwdefaults__", "__annotations__", "__qualname__", "__module__"):
            setattr(copy, attribute, getattr(function, attribute))
        copy.__doc__ = function.__doc__
        copy.__dict__.update(function.__dict__)
        self._copies[node] = copy  # now: what follows may lead back here
        for place, value in changes:
            if isinstance(place, int):
                cells[place].cell_contents = self._instead(value, node.names)
            else:
                scope[place] = self._instead(value, node.names)

    def _copy_module(self, node: _Node, module: types.ModuleType) -> types.ModuleType:
        if id(module) not in self._modules:
            self._modules[id(module)] = types.ModuleType(module.__name__, module.__doc__)
            self._modules[id(module)].__dict__.update(module.__dict__)
        copy = self._modules[id(module)]
        if node not in self._changed:
            self._changed.add(node)  # now: modules name each other
            for name, value in self._changes(node):
                setattr(copy, str(name), self._instead(value, node.names))
        return copy

    def _changes(self, node: _Node) -> Iterator[tuple[str | int, Any]]:
        """The names and closure cells whose values are replaced."""
        for place, value in _uses(node):
            known = recognise(value)
            used = _node(value, node.names) if known is None else None
            if isinstance(known, Known) or (used and leads_to_known(self._found[used])):
                yield place, value


def leads_to_known(found: Iterable[Known | Refusal]) -> bool:
    """Whether there is something to replace."""
    return any(isinstance(one, Known) for one in found)


def _node(value: Any, names: frozenset[str]) -> _Node | None:
    if isinstance(value, types.FunctionType):
        return _Node(value, frozenset(_names(value.__code__)))
    if isinstance(value, types.ModuleType) and not is_skipped(value.__name__):
        return _Node(value, names)
    return None


def is_skipped(module: Any) -> bool:
    """Whether a module, by its name, is one that nothing is looked for in."""
    return str(module).partition(".")[0] in _SKIPPED


def _names(code: types.CodeType) -> Iterator[str]:
    """Every name that the code, or code inside it, looks up: global ones and attributes alike."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _uses(node: _Node) -> Iterator[tuple[str | int, Any]]:
    """The values that a node names, each with its name or the number of its closure cell."""
    value = node.value
    if isinstance(value, types.FunctionType):
        for number, cell in enumerate(value.__closure__ or ()):
            try:
                yield number, cell.cell_contents
            except ValueError:  # empty
                continue
        # A decorator of torch's holds the decorated function in its closure.
        if is_skipped(value.__globals__.get("__name__")):
            return
        scope = value.__globals__
    else:
        scope = vars(value)
    for name in node.names:
        if name in scope:
            yield name, scope[name]


def _scope(namespace: dict[str, Any]) -> dict[str, Any]:
    """A copy to look names up in.

    Without __name__, or torch.compile would look them up in the module of that name.
    """
    return {name: value for name, value in namespace.items() if name != "__name__"}
