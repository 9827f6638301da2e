"""Running one of torch's two exporters: the model's mode, the noise, the errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import onnx_ir as ir
import torch

from .node import ExportError
from .request import Request

Exporter = Literal["dynamo", "torchscript"]
EXPORTERS: tuple[Exporter, ...] = get_args(Exporter)


def capture(request: Request, exporter: Exporter, folder: Path) -> ir.Model:
    """The model's graph, deformable convolutions as custom nodes.

    Args:
        request: the model, and how to capture it
        exporter: who captures it
        folder: where the exporter may write; the returned model may keep its weights there

    Raises:
        ExportError: the exporter could not; its own error is the cause.
    """
    try:
        with _eval_mode(request.model), _quiet():
            if exporter == "dynamo":
                from . import dynamo

                return dynamo.capture(request)
            from . import torchscript

            return torchscript.capture(request, folder)
    except Exception as error:  # the exporters let through whatever the model raises
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ExportError):  # of our translation, deep inside the exporter
                raise ExportError(str(cause)) from error
        other = next(name for name in EXPORTERS if name != exporter)
        multiples = (
            " A model that takes only multiples of a size wants them named: 32 * "
            'torch.export.Dim("height"), or on the command line --dynamic 32*height.'
        )
        raise ExportError(
            f"the {exporter} exporter could not export {type(request.model).__name__}: "
            f"{type(causes[-1]).__name__}: {causes[-1]}\n"
            f'Check that the model runs on the example inputs, or try exporter="{other}".'
            f"{multiples if request.dynamic_shapes and exporter == 'dynamo' else ''}"
        ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


@contextmanager
def _eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Every submodule in eval mode, and each back in its own mode afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own and of torchvision's other operators."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, message=".*LeafSpec")
            yield
    finally:
        logger.setLevel(level)
