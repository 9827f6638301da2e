"""Which runtime of this machine runs a deformable node, and if not, why and what to do."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

from ._native import MissingLibraryError, library
from .onnx_graph import Form

OURS = "onnxruntime + dcn_deploy"
STOCK = "onnxruntime alone"

# The first onnxruntime with a kernel of its own for the standard operator.
_STOCK_SINCE = (1, 25)
_REWRITE = "rewrite the file with dcn-deploy convert"


@dataclass(frozen=True)
class Verdict:
    """Whether a runtime runs a node here."""

    runtime: str
    runs: bool
    reason: str
    """How it runs it, or why not and what to do."""
    fix: str = ""
    """The command that gets it to run there, where one does."""


def version_of(package: str) -> str | None:
    """The installed version, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def onnxruntime_version() -> str | None:
    """The installed onnxruntime's version, under whichever name it is packaged."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return str(onnxruntime.__version__)


def older_than(version: str, least: tuple[int, int]) -> bool:
    """Whether "1.23.2" is older than (1, 25)."""
    major, minor = version.split(".")[:2]
    return (int(major), int(minor)) < least


def _no_onnxruntime(runtime: str) -> Verdict:
    return Verdict(runtime, False, "onnxruntime is not installed: pip install onnxruntime")


def _foreign(runtime: str) -> Verdict:
    return Verdict(runtime, False, f"another project's operator: {_REWRITE}")


def ours(form: Form) -> Verdict:
    """onnxruntime with this project's library; every dtype of the contract."""
    if onnxruntime_version() is None:
        return _no_onnxruntime(OURS)
    try:
        library("onnxruntime")
    except MissingLibraryError as error:
        return Verdict(OURS, False, str(error))
    if form == "foreign":
        return _foreign(OURS)
    if form == "standard":
        return Verdict(OURS, True, "our kernel with ort_session(..., override=True)")
    return Verdict(OURS, True, "our kernel")


def stock(form: Form, dtype: str | None) -> Verdict:
    """onnxruntime as it is installed, on the CPU."""
    version = onnxruntime_version()
    if version is None:
        return _no_onnxruntime(STOCK)
    if form == "foreign":
        return _foreign(STOCK)
    if form == "custom":
        return Verdict(STOCK, False, f"the node has no function body to fall back on: {_REWRITE}")
    if older_than(version, _STOCK_SINCE):
        return Verdict(
            STOCK,
            False,
            f"onnxruntime {version} has no DeformConv kernel: use this project's library, or "
            "onnxruntime >= 1.25",
        )
    if dtype == "bfloat16":
        return Verdict(
            STOCK, False, "its DeformConv has no bfloat16 on the CPU: use this project's library"
        )
    how = "through the function body" if form == "portable" else "its own DeformConv"
    casts = ", float16 through casts to float32" if dtype == "float16" else ""
    return Verdict(STOCK, True, how + casts)


def first_line(error: Exception) -> str:
    """What an error says, without the stack that some runtimes append."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
