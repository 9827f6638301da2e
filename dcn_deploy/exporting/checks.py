"""What can be told of a request's arguments before any work is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

from ..errors import ConversionError
from ..verification import VerificationError
from .forms import Form, require_opset
from .node import ExportError


def check_model(model: Any) -> None:
    """Raise TypeError for anything but a module: the exporters take no other callable."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"model is a {type(model).__name__}, expected a torch.nn.Module; call a function from "
            "the forward() of one"
        )


def check_path(path: Path) -> None:
    """Raise ValueError for a path that cannot become a file."""
    if path.is_dir():
        raise ValueError(f"path {path} is a folder, expected a file in one, model.onnx")


def check_opset(opset: Any, form: Form) -> None:
    """Raise TypeError or ValueError for no opset at all, ExportError for one that is too old."""
    if not isinstance(opset, int) or isinstance(opset, bool):
        raise TypeError(f"opset_version is {opset!r}, expected an integer")
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise ValueError(f"opset_version is {opset}, expected 1 to {newest}, onnx's newest")
    require_opset(opset, form)


def check_names(inputs: Any, outputs: Any, tensors: int) -> None:
    """Check the file's names.

    Args:
        inputs: input_names
        outputs: output_names
        tensors: how many tensors the model is called with

    Raises:
        TypeError: they are not sequences of text.
        ValueError: two are alike, or there are more than inputs.
    """
    for argument, names in (("input_names", inputs), ("output_names", outputs)):
        sequence = isinstance(names, Sequence) and not isinstance(names, str)
        if names is not None and not (sequence and all(isinstance(name, str) for name in names)):
            raise TypeError(f'{argument} is {names!r}, expected a list of names, ["image"]')
    every = [*(inputs or ()), *(outputs or ())]
    if twice := {name for name in every if every.count(name) > 1}:
        raise ValueError(
            f"input_names and output_names hold {', '.join(sorted(twice))} twice, expected each "
            "name once"
        )
    if inputs is not None and len(inputs) > tensors:
        raise ValueError(
            f"input_names holds {len(inputs)} names, expected at most {tensors}: one for each "
            "tensor in args and kwargs"
        )


@contextmanager
def as_export_error() -> Iterator[None]:
    """What the libraries below raise for a model that they cannot handle becomes an ExportError."""
    try:
        yield
    except (ConversionError, ExportError, VerificationError, OSError):
        raise
    except Exception as error:
        raise ExportError(
            f"the model could not be exported: {type(error).__name__}: {error}"
        ) from error
