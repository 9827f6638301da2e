"""onnxruntime with this project's kernels: find the library, make a session, run it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from .._native import library

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtValue, SessionOptions

# plugins/onnxruntime/register.cpp reads it.
OVERRIDE_KEY = "dcn_deploy.override"
# onnxruntime >= 1.20: where the external data of a model that is given as bytes lies.
_WEIGHTS_FOLDER_KEY = "session.model_external_initializers_file_folder_path"

QUIET: Mapping[str, Any] = {"log_severity_level": 4}
"""Session options for callers that report errors themselves: they arrive as exceptions anyway."""

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def onnxruntime_library() -> Path:
    """Path of the custom-op library, for ``SessionOptions.register_custom_ops_library``.

    Raises:
        dcn_deploy.MissingLibraryError: it was left out when dcn_deploy was built.
    """
    return library("onnxruntime")


def ort_session(
    model: str | os.PathLike[str] | bytes,
    *,
    override: bool = False,
    providers: str | Sequence[str] | None = None,
    weights_folder: str | os.PathLike[str] | None = None,
    **session_options: Any,
) -> InferenceSession:
    """An onnxruntime session that runs deformable convolutions in this project's kernels.

    Args:
        model: the ONNX file, or its bytes.
        override: replace onnxruntime's own kernel for the standard ``DeformConv`` too, so that a
            model that was not exported by dcn_deploy runs in ours, also before onnxruntime 1.25,
            which has none.
        providers: execution provider, or several, best first; default: the CPU.
        weights_folder: where the external data of a model given as bytes is.
        session_options: attributes of ``onnxruntime.SessionOptions`` by name, for instance
            ``intra_op_num_threads=2`` or ``enable_profiling=True``.

    Raises:
        ImportError: onnxruntime is not installed, or dcn_deploy was built without this library.
        TypeError: ``SessionOptions`` has no attribute of a given name.
    """
    options = _options(session_options)
    # The library reads the session's configuration when it is registered.
    if override:
        options.add_session_config_entry(OVERRIDE_KEY, "1")
    options.register_custom_ops_library(str(onnxruntime_library()))
    return _session(model, options, providers, weights_folder)


def stock_session(
    model: str | os.PathLike[str] | bytes,
    *,
    providers: str | Sequence[str] | None = None,
    weights_folder: str | os.PathLike[str] | None = None,
    **session_options: Any,
) -> InferenceSession:
    """The same without this project's library: onnxruntime as it is installed."""
    return _session(model, _options(session_options), providers, weights_folder)


def run(session: InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run any session on arrays, bfloat16 ones (``ml_dtypes.bfloat16``) included.

    ``InferenceSession.run`` neither takes nor returns bfloat16 arrays.

    Args:
        session: of ``ort_session`` or of onnxruntime itself.
        inputs: input name -> array.

    Returns:
        Output name -> array.
    """
    values = {name: _to_ort_value(array) for name, array in inputs.items()}
    names = [output.name for output in session.get_outputs()]
    outputs = session.run_with_ort_values(names, values)
    return {name: _to_array(value) for name, value in zip(names, outputs, strict=True)}


def _options(attributes: Mapping[str, Any]) -> SessionOptions:
    try:
        from onnxruntime import SessionOptions
    except ImportError as error:
        raise ImportError(
            "onnxruntime is not installed; run: pip install onnxruntime", name=error.name
        ) from error
    options = SessionOptions()
    settable = [
        name
        for name in dir(options)
        if not name.startswith("_") and not callable(getattr(options, name))
    ]
    for name, value in attributes.items():
        if name not in settable:
            raise TypeError(
                f"onnxruntime.SessionOptions has no attribute {name!r}; it has: "
                f"{', '.join(settable)}"
            )
        setattr(options, name, value)
    return options


def _session(
    model: str | os.PathLike[str] | bytes,
    options: SessionOptions,
    providers: str | Sequence[str] | None,
    weights_folder: str | os.PathLike[str] | None,
) -> InferenceSession:
    from onnxruntime import InferenceSession

    if weights_folder is not None:
        options.add_session_config_entry(_WEIGHTS_FOLDER_KEY, os.fspath(weights_folder))
    source = model if isinstance(model, bytes) else os.fspath(model)
    names = [providers] if isinstance(providers, str) else providers
    return InferenceSession(source, options, providers=list(names or ["CPUExecutionProvider"]))


def _to_ort_value(array: NDArray[Any]) -> OrtValue:
    from onnxruntime import OrtValue

    array = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype == _BFLOAT16:
        return OrtValue.ortvalue_from_numpy_with_onnx_type(
            array.view(np.uint16), TensorProto.BFLOAT16
        )
    return OrtValue.ortvalue_from_numpy(array)


def _to_array(value: OrtValue) -> NDArray[Any]:
    if value.data_type() != "tensor(bfloat16)":
        array: NDArray[Any] = value.numpy()
        return array
    shape = value.shape()
    size = int(np.prod(shape)) * _BFLOAT16.itemsize
    raw = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(raw, _BFLOAT16).reshape(shape).copy()
