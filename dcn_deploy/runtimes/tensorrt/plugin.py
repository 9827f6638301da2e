"""This project's plugin library, and making it known to TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..._native import library
from ...contract import contract
from .host import Host, Message, host


def tensorrt_plugin_library() -> Path:
    """Path of the plugin library, for ``IPluginRegistry.load_library`` or trtexec's
    ``--dynamicPlugins``.

    Raises:
        dcn_deploy.MissingLibraryError: it was left out when dcn_deploy was built.
    """
    return library("tensorrt")


def register_tensorrt_plugin(package: str | None = None) -> None:
    """Make the plugin known to this process's TensorRT; call it before parsing or loading.

    With TensorRT-RTX, it also keeps the parser from ending the process where it meets a plugin.
    ``build_engine`` and ``TensorRTRunner`` do without this call.

    Args:
        package: "tensorrt" or "tensorrt_rtx"; default: the first of these that is installed

    Raises:
        ImportError: no TensorRT is installed, or dcn_deploy was built without the plugin.
        RuntimeError: TensorRT does not take it.
    """
    installed = host(package)
    with installed.collected() as messages:
        register(installed, installed.trt.get_plugin_registry(), messages)


def register(installed: Host, registry: Any, messages: list[Message]) -> None:
    """Make the plugin known in one registry: the process's, a builder's or a runtime's.

    Args:
        installed: the TensorRT whose registry it is
        registry: the registry
        messages: where that TensorRT's log is being collected

    Raises:
        MissingLibraryError, RuntimeError: as ``register_tensorrt_plugin``.
    """
    if _is_known(registry):
        return
    path = tensorrt_plugin_library()
    registry.load_library(str(path))
    if not _is_known(registry):
        said = "; ".join(message.text for message in messages) or "it gives no reason"
        raise RuntimeError(f"{installed.name} does not load {path}: {said}")


def _is_known(registry: Any) -> bool:
    return any(
        (creator.name, creator.plugin_namespace) == (contract().op, contract().domain)
        for creator in registry.all_creators
    )
