"""A PyTorch model named on the command line: ``package.module:callable``."""

from __future__ import annotations

import importlib
import pickle
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ..model_inputs import InputError

CheckpointOption = Annotated[
    Path | None, typer.Option(help="Weights of the nn.Module, a state dict.", show_default=False)
]

_STATE_NAMES = ("state_dict", "model_state_dict", "model")
"""Under which training programs save the weights, beside other things."""


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


def load_eager(
    spec: str, checkpoint: Path | None, *, option: str = "--against", unsafe: bool = False
) -> torch.nn.Module:
    """Import a module or a function that makes one, and load its weights.

    Args:
        spec: "package.module:name", found from the current folder too; ``name`` is an
            ``nn.Module`` or is called without arguments and returns one.
        checkpoint: a state dict, or a dict that holds one under one of the usual names; read with
            ``weights_only=True``, so that it can run no code.
        option: what gave ``spec``, for messages
        unsafe: read the checkpoint as a pickle, which runs whatever code it holds; it may then
            also hold a whole module

    Raises:
        InputError: it cannot be imported or built, or the checkpoint does not fit.
    """
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        file = "an ONNX file that exists, or " if option == "--against" else ""
        raise InputError(f"{option} {spec}: expected {file}package.module:callable")
    sys.path.insert(0, "")
    try:
        made: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            made = getattr(made, part)
        if not isinstance(made, torch.nn.Module):
            made = made()
    except Exception as error:  # the user's code: any error
        raise InputError(f"{option} {spec}: {type(error).__name__}: {error}") from error
    if not isinstance(made, torch.nn.Module):
        raise InputError(
            f"{option} {spec}: is a {type(made).__name__}, expected an nn.Module or a function "
            "that returns one"
        )
    if checkpoint is not None:
        _load_weights(made, checkpoint, unsafe)
    return made


def _load_weights(model: torch.nn.Module, path: Path, unsafe: bool) -> None:
    if not path.is_file():
        raise InputError(f"--checkpoint {path}: no such file")
    try:
        model.load_state_dict(_state_in(torch.load(path, "cpu", weights_only=not unsafe)))
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        found = f"it holds more than tensors, {foreign[1]}" if foreign else "it cannot be read"
        raise InputError(
            f"--checkpoint {path}: {found}; expected a state dict, saved by torch.save. dcn-deploy "
            "export reads other files with --unsafe-checkpoint, which runs whatever code is in "
            "them: only for files that you trust"
        ) from error
    except Exception as error:  # torch raises many kinds for a file it cannot read
        raise InputError(
            f"--checkpoint {path}: {error}; expected a state dict of {type(model).__name__}, saved "
            "by torch.save"
        ) from error


def _state_in(loaded: Any) -> Any:
    """The state dict in what a checkpoint holds; without the prefix that DataParallel gives."""
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()
    for name in _STATE_NAMES:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    if isinstance(loaded, Mapping) and all(str(key).startswith("module.") for key in loaded):
        loaded = {str(key).removeprefix("module."): value for key, value in loaded.items()}
    return loaded
