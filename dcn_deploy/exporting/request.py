"""What both exporters are asked for."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

DynamicShapes = dict[str, Any] | tuple[Any, ...] | list[Any]


@dataclass(frozen=True)
class Request:
    """One model to capture, and how."""

    model: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    opset_version: int
    dynamic_shapes: DynamicShapes | None
    """For each input, by position, forward's name or the file's, {dimension: name or Dim}."""
    input_names: Sequence[str] | None
    output_names: Sequence[str] | None

    def arguments(self) -> dict[str, Any]:
        """The example inputs by forward's own names for them, in its order."""
        bound = inspect.signature(self.model.forward).bind(*self.args, **self.kwargs)
        return dict(bound.arguments)

    def _tensor_arguments(self) -> list[str]:
        return [n for n, value in self.arguments().items() if isinstance(value, torch.Tensor)]

    def shapes(self) -> DynamicShapes | None:
        """The dynamic shapes as torch.export takes them: by position, or by forward's names."""
        if not isinstance(self.dynamic_shapes, dict) or not self.input_names:
            return self.dynamic_shapes
        own = self.arguments()
        by_file = dict(zip(self.input_names, self._tensor_arguments(), strict=False))
        return {
            name if name in own else by_file.get(name, name): shape
            for name, shape in self.dynamic_shapes.items()
        }

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """The dynamic shapes as the TorchScript exporter takes them, by the file's input names.

        Raises:
            ValueError: the shapes are not one {dimension: name} for each tensor.
        """
        shapes = self.shapes()
        if shapes is None:
            return {}
        arguments = self.arguments()
        by_name = shapes if isinstance(shapes, dict) else dict(zip(arguments, shapes, strict=False))
        if unknown := set(by_name) - set(arguments):
            raise ValueError(
                f"dynamic_shapes has {', '.join(sorted(unknown))}, expected inputs that forward "
                f"was given: {', '.join(arguments)}"
            )
        tensors = [(name, by_name.get(name)) for name in self._tensor_arguments()]
        names = self.input_names or [name for name, _ in tensors]
        return {
            name: {dim: _dimension_name(size, f"{name}_{dim}") for dim, size in shape.items()}
            for name, (_, shape) in zip(names, tensors, strict=False)
            if shape
        }


def _dimension_name(size: Any, otherwise: str) -> str:
    """The name in "N" or torch.export.Dim("N"); Dim.AUTO and Dim.DYNAMIC have none."""
    if isinstance(size, str):
        return size
    return getattr(size, "__name__", None) or otherwise
