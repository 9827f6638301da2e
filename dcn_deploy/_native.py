"""Where the compiled libraries are."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path


class MissingLibraryError(ImportError):
    """A compiled part of dcn_deploy is not there; the message says how to get it."""


def _folders() -> list[Path]:
    override = os.environ.get("DCN_DEPLOY_LIBRARY_DIR")
    if override:
        return [Path(override)]
    folders = [Path(__file__).parent / "lib"]
    try:  # python run inside a checkout sees the checkout's files; the libraries are installed
        installed = importlib.metadata.distribution("dcn_deploy").locate_file("dcn_deploy/lib")
        folders.append(Path(str(installed)))
    except importlib.metadata.PackageNotFoundError:
        pass
    return folders


def find_library(host: str) -> Path | None:
    """Absolute path of the library for ``host`` ("torch", "onnxruntime"), or None."""
    for folder in _folders():
        path = folder / f"libdcn_deploy_{host}.so"
        if path.is_file():
            return path.resolve()
    return None


def library(host: str) -> Path:
    """Absolute path of the library for ``host``.

    Raises:
        MissingLibraryError: it was left out when dcn_deploy was built.
    """
    path = find_library(host)
    if path is None:
        looked = ", ".join(str(folder) for folder in _folders())
        reason = why_left_out(host) or "dcn_deploy was not installed (pip install .)"
        raise MissingLibraryError(f"no libdcn_deploy_{host}.so in {looked}: {reason}")
    return path


def why_left_out(host: str) -> str | None:
    """What the build said when it left the library for ``host`` out, and what to do about it."""
    for folder in _folders():
        note = folder / "left_out" / f"{host}.txt"
        if note.is_file():
            return note.read_text().strip()
    return None
