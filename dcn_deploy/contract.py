"""The op's contract, read from the compiled core: names, defaults, dtypes and the one check.

Nothing is repeated here. The C++ side is ``plugins/core/deform_conv.h`` and ``problem.cpp``.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ._native import find_library, library

UNKNOWN_DIM = -1
_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class TensorSpec:
    """One input as the check sees it.

    ``dtype`` is a name of ``Contract.dtypes`` (anything else counts as unsupported); ``shape`` is
    None where even the rank is unknown, and holds UNKNOWN_DIM where a size is.
    """

    dtype: str
    shape: Sequence[int] | None


@dataclass(frozen=True)
class Contract:
    """What the core says of itself."""

    domain: str
    op: str
    version: int
    attributes: Mapping[str, Any]
    """ONNX attribute name -> default, in the order of every attribute list of the project."""
    inputs: tuple[str, ...]
    dtypes: tuple[str, ...]
    output_shape: tuple[tuple[int, int], ...]
    """For each output dimension, the (input, dimension) that it is copied from."""
    instruction_set: str


@cache
def _core() -> ctypes.CDLL:
    # Every library carries the core; the onnxruntime one depends on nothing.
    core = ctypes.CDLL(str(find_library("onnxruntime") or library("torch")))
    core.dcn_deploy_contract.restype = ctypes.c_char_p
    core.dcn_deploy_contract.argtypes = []
    core.dcn_deploy_check.restype = ctypes.c_int
    return core


@cache
def contract() -> Contract:
    """The contract of the installed libraries."""
    fields = json.loads(_core().dcn_deploy_contract())
    fields["inputs"] = tuple(fields["inputs"])
    fields["dtypes"] = tuple(fields["dtypes"])
    fields["output_shape"] = tuple((tensor, dim) for tensor, dim in fields["output_shape"])
    return Contract(**fields)


def check(attributes: Mapping[str, Any], tensors: Sequence[TensorSpec | None]) -> None:
    """Check one deformable convolution, as every runtime does before it computes.

    Args:
        attributes: ONNX attribute name -> value; absent ones take their defaults.
        tensors: one entry for each of ``contract().inputs``; None for an absent optional one.

    Raises:
        ValueError: with a message that names the tensor, what was expected and what was given.
    """
    flat: list[int] = []
    for name, default in contract().attributes.items():
        value = attributes.get(name, default)
        flat += [len(value), *value] if isinstance(default, list) else [value]
    specs: list[int] = []
    for tensor in tensors:
        if tensor is None:
            specs.append(0)
            continue
        dtypes = contract().dtypes
        dtype = dtypes.index(tensor.dtype) + 1 if tensor.dtype in dtypes else 0
        shape = tensor.shape if tensor.shape is not None else ()
        specs += [1, dtype, int(tensor.shape is not None), len(shape), *shape]
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    failed = _core().dcn_deploy_check(
        (ctypes.c_int64 * len(flat))(*flat),
        (ctypes.c_int64 * len(specs))(*specs),
        message,
        ctypes.c_size_t(_MESSAGE_BYTES),
    )
    if failed:
        raise ValueError(message.value.decode())
