"""What both exporters are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..call_arguments import by_name, tensor_names

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
        return by_name(self.model, self.args, self.kwargs)

    def file_names(self) -> dict[str, str]:
        """The file's name for each tensor, by forward's."""
        own = tensor_names(self.arguments())
        return dict(zip(own, self.input_names or own, strict=False))

    def shapes(self) -> DynamicShapes | None:
        """The dynamic shapes as torch.export takes them: by position, or by forward's names."""
        if not isinstance(self.dynamic_shapes, dict):
            return self.dynamic_shapes
        own = self.arguments()
        by_file = {file: name for name, file in self.file_names().items()}
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
        named = shapes if isinstance(shapes, dict) else dict(zip(arguments, shapes, strict=False))
        if unknown := set(named) - set(arguments):
            raise ValueError(
                f"dynamic_shapes has {', '.join(sorted(unknown))}, expected inputs that forward "
                f"was given: {', '.join(arguments)}"
            )
        return {
            file: {dim: _dimension_name(size, f"{name}_{dim}") for dim, size in shape.items()}
            for name, file in self.file_names().items()
            if (shape := named.get(name))
        }


def _dimension_name(size: Any, otherwise: str) -> str:
    """The name in "N" or torch.export.Dim("N"); Dim.AUTO and Dim.DYNAMIC have none."""
    if isinstance(size, str):
        return size
    return getattr(size, "__name__", None) or otherwise
