"""The memory that a model takes: asks ``memory_probe`` and ``eager_probe``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..runtimes.onnxruntime import OVERRIDE_KEY, onnxruntime_library

_PROBE = Path(__file__).with_name("memory_probe.py")


def onnxruntime_memory(
    model: Path, feed: Mapping[str, NDArray[Any]], threads: int, *, ours: bool
) -> int | None:
    """Bytes that a session and its runs add to a process at most; None where the probe fails.

    Args:
        model: the ONNX file
        feed: its inputs, by name
        threads: of the session
        ours: whether with this project's library
    """
    bfloat16 = [name for name, array in feed.items() if array.dtype == ml_dtypes.bfloat16]
    plain: dict[str, Any] = {
        name: array.view(np.uint16) if name in bfloat16 else array for name, array in feed.items()
    }
    with TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, **plain)
        request = {
            "model": str(model),
            "inputs": str(inputs),
            "bfloat16": bfloat16,
            "library": str(onnxruntime_library()) if ours else None,
            "config": {OVERRIDE_KEY: "1"} if ours else {},
            "threads": threads,
        }
        return _ask([str(_PROBE)], request)


def eager_memory(module: torch.nn.Module, tensors: list[Tensor], threads: int) -> int | None:
    """The same of a PyTorch model; None too where its classes cannot be imported elsewhere."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "module.pt"
        try:
            torch.save((module, tensors), file)
        except Exception:  # pickle's many kinds
            return None
        request = {"file": str(file), "path": sys.path, "threads": threads}
        return _ask(["-m", f"{__package__}.eager_probe"], request)


def _ask(program: list[str], request: Mapping[str, Any]) -> int | None:
    done = subprocess.run(
        [sys.executable, *program],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    return int(done.stdout) if done.returncode == 0 else None
