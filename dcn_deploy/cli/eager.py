"""A PyTorch model named on the command line: ``package.module:callable``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..model_inputs import InputError


def load_baseline(against: str | None, checkpoint: Path | None) -> torch.nn.Module | str | None:
    """What ``--against`` names: the module, or the path of the ONNX file; None for nothing.

    Raises:
        InputError: as ``load_eager``; or a checkpoint is given where there is no module.
    """
    is_file = against is not None and (Path(against).is_file() or against.endswith(".onnx"))
    if checkpoint is not None and (is_file or against is None):
        given = "for a file" if is_file else "without it"
        raise InputError(f"--checkpoint is for --against package.module:callable, not {given}")
    return against if is_file or against is None else load_eager(against, checkpoint)


def load_eager(spec: str, checkpoint: Path | None) -> torch.nn.Module:
    """Import a module or a function that makes one, and load its weights.

    Args:
        spec: "package.module:name", found from the current folder too; ``name`` is an
            ``nn.Module`` or is called without arguments and returns one.
        checkpoint: a state dict, or a dict that holds one as "state_dict"; read with
            ``weights_only=True``, so that it can run no code.

    Raises:
        InputError: it cannot be imported or built, or the checkpoint does not fit.
    """
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise InputError(
            f"--against {spec}: expected an ONNX file that exists, or package.module:callable"
        )
    sys.path.insert(0, "")
    try:
        made: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            made = getattr(made, part)
        if not isinstance(made, torch.nn.Module):
            made = made()
    except Exception as error:  # the user's code: any error
        raise InputError(f"--against {spec}: {type(error).__name__}: {error}") from error
    if not isinstance(made, torch.nn.Module):
        raise InputError(
            f"--against {spec}: is a {type(made).__name__}, expected an nn.Module or a function "
            "that returns one"
        )
    if checkpoint is not None:
        _load_weights(made, checkpoint)
    return made


def _load_weights(model: torch.nn.Module, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"--checkpoint {path}: no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
            state = state["state_dict"]
        model.load_state_dict(state)
    except Exception as error:  # torch raises many kinds for a file it cannot read
        raise InputError(
            f"--checkpoint {path}: {error}; expected a state dict of {type(model).__name__}, saved "
            "by torch.save"
        ) from error
