"""What demo_out/ says of the machine, and how files get there: whole or not at all."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from dcn_deploy.contract import contract

_PACKAGES = ("dcn_deploy", "torch", "onnx", "onnxruntime", "tensorrt_rtx", "numpy")
_PACKAGES += ("scikit-learn", "matplotlib")


def machine() -> dict[str, str | int | None]:
    """What the timings depend on."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "kernels": contract().instruction_set,
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """Of Python and of every package that takes part."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write to a temporary file, and put that in the place of ``path``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"  # a checkout beside libraries that were built by hand
