"""The installed TensorRT, whichever it is, and what it logs.

``tensorrt`` and ``tensorrt_rtx`` are one API. Of either, only one logger counts in a process, the
first that was given to it, so there is one here, and what it hears is collected around each call.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from ..._native import find_library

PACKAGES = ("tensorrt", "tensorrt_rtx")
RTX = "tensorrt_rtx"
INSTALL = (
    "run: pip install tensorrt-rtx (for GPUs from RTX 20 on; builds engines on any machine), or: "
    "pip install tensorrt (for all GPUs that TensorRT supports; builds on the GPU itself)"
)

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}
"""TensorRT's names -> numpy's and torch's, of those that all three have."""

ERROR, WARNING = 1, 2
"""Severities: up to ERROR something failed."""


@dataclass(frozen=True)
class Message:
    """One entry of TensorRT's log."""

    severity: int
    text: str


@dataclass(frozen=True)
class Host:
    """An imported TensorRT."""

    trt: Any
    """The module."""
    logger: Any
    messages: list[Message]
    """What the logger has heard since the last ``collected``."""
    lock: threading.Lock

    @property
    def name(self) -> str:
        """ "tensorrt_rtx 1.7.1.116"."""
        return f"{self.trt.__name__} {self.trt.__version__}"

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT-RTX."""
        return bool(self.trt.__name__ == RTX)

    @contextmanager
    def collected(self) -> Iterator[list[Message]]:
        """What is logged inside the block; one block at a time in a process."""
        with self.lock:
            self.messages.clear()
            yield self.messages


def host(package: str | None = None) -> Host:
    """The installed TensorRT.

    Args:
        package: "tensorrt" or "tensorrt_rtx"; default: the first of these that is installed

    Raises:
        ImportError: none is, or it cannot be imported.
        ValueError: no such package.
    """
    if package is not None and package not in PACKAGES:
        raise ValueError(f"package is {package!r}, expected one of {', '.join(PACKAGES)}")
    problems = []
    for name in PACKAGES if package is None else (package,):
        try:
            return _host(name)
        except ModuleNotFoundError as error:
            problems.append(f"{name} is not installed" if error.name == name else str(error))
        except (ImportError, OSError) as error:  # its libraries are not there, or not all of them
            problems.append(f"{name} cannot be imported: {error}")
    raise ImportError(f"no TensorRT here ({'; '.join(problems)}); {INSTALL}")


@cache
def _host(name: str) -> Host:
    trt = importlib.import_module(name)
    if name == RTX:
        _answer_to_its_name()
    messages: list[Message] = []
    return Host(trt, _logger(trt, messages), messages, threading.Lock())


def _answer_to_its_name() -> None:
    """TensorRT-RTX's parser opens "libtensorrt_rtx.so", which its wheel does not have: without
    plugins/tensorrt/rtx, the process ends there."""
    try:
        ctypes.CDLL("libtensorrt_rtx.so")
    except OSError:
        plugin = find_library("tensorrt")
        if plugin is not None:  # without a plugin, nothing asks for it
            ctypes.CDLL(str(plugin.parent / "rtx" / "libtensorrt_rtx.so"))


def _logger(trt: ModuleType, messages: list[Message]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            messages.append(Message(int(severity), text))

    return Logger()


@cache
def gpu_problem() -> str | None:
    """Why nothing can run on a GPU of this machine; None if something can."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "this machine has no NVIDIA driver (libcuda.so.1)"
    count = ctypes.c_int()
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status or not count.value:
        return f"this machine's NVIDIA driver finds no GPU (CUDA error {status})"
    return None
