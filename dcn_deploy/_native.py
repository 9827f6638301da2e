"""Where the compiled libraries are."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path


class MissingLibraryError(ImportError):
    """A compiled part of dcn_deploy is not there; the message says how to get it."""


_HOW_TO_GET = {
    "torch": "install torch >= 2.10 first, then run: pip install --force-reinstall dcn_deploy's "
    "checkout",
    "onnxruntime": "reinstall with -Ccmake.define.ORT_INCLUDE_DIR=<folder of onnxruntime_c_api.h>",
}


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
        raise MissingLibraryError(
            f"libdcn_deploy_{host}.so is not in {looked}: it was left out when dcn_deploy was "
            f"installed; to get it, {_HOW_TO_GET[host]}"
        )
    return path
