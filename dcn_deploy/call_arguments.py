"""What a model is called with: in forward's order, and by forward's names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

import torch
from torch.utils import _pytree as pytree


def _signature(model: Callable[..., Any]) -> inspect.Signature:
    """Raises ValueError where there is none: of a builtin."""
    if isinstance(model, torch.jit.ScriptModule):  # a builtin too, but it has a schema
        _, *arguments = model.forward.schema.arguments  # type: ignore[attr-defined]
        return inspect.Signature(
            [
                inspect.Parameter(
                    argument.name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=argument.default_value
                    if argument.has_default_value()
                    else inspect.Parameter.empty,
                )
                for argument in arguments
            ]
        )
    return inspect.signature(model.forward if isinstance(model, torch.nn.Module) else model)


def in_order(model: Callable[..., Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The named arguments in forward's order, which is that of an exported file's inputs.

    Raises:
        ValueError: the model is a builtin without a signature.
    """
    names = [name for name in _signature(model).parameters if name in kwargs]
    return {name: kwargs[name] for name in names} | dict(kwargs)


def by_name(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """All that were given, in forward's order.

    Raises:
        TypeError: forward cannot be called with them.
        ValueError: the model is a builtin without a signature.
    """
    return dict(_signature(model).bind(*args, **kwargs).arguments)


def tensor_names(arguments: Mapping[str, Any]) -> list[str]:
    """One name for each tensor: x, or for those in tuples and dicts x_0, x_key, as dynamo does."""
    leaves, _ = pytree.tree_flatten_with_path(dict(arguments))
    return [
        "_".join(
            str(part)
            for key in path
            for part in astuple(key)  # type: ignore[call-overload]
        )
        for path, leaf in leaves
        if isinstance(leaf, torch.Tensor)
    ]
