"""The op's contract, read from the compiled core: names, defaults, dtypes and the one check.

Nothing is repeated here. The C++ side is ``plugins/core/deform_conv.h`` and ``problem.cpp``.
"""

from __future__ import annotations

import ctypes
import json
import operator
from collections.abc import Iterable, Mapping, Sequence
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
    cuda_architectures: str
    """The GPUs that the libraries have kernels for, "sm_80, sm_90"; empty: none, without CUDA."""


@cache
def _core() -> ctypes.CDLL:
    # Every library carries the core; the onnxruntime one depends on nothing.
    core = ctypes.CDLL(str(find_library("onnxruntime") or library("torch")))
    core.dcn_deploy_contract.restype = ctypes.c_char_p
    core.dcn_deploy_contract.argtypes = []
    core.dcn_deploy_check.restype = ctypes.c_int
    core.dcn_deploy_cuda_path.restype = ctypes.c_char_p
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
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    if _core().dcn_deploy_check(*_arguments(attributes, tensors), *_room(message)):
        raise ValueError(message.value.decode())


def cuda_path(attributes: Mapping[str, Any], tensors: Sequence[TensorSpec | None]) -> str:
    """Which CUDA kernels a deformable convolution takes: "tensor cores", "small groups", "plain".

    Empty where a size that decides is not known. A build without CUDA knows too. Args and errors
    are those of ``check``.
    """
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    path = _core().dcn_deploy_cuda_path(*_arguments(attributes, tensors), *_room(message))
    if path is None:
        raise ValueError(message.value.decode())
    return str(path.decode())


def _room(message: ctypes.Array[ctypes.c_char]) -> tuple[Any, ...]:
    return message, ctypes.c_size_t(_MESSAGE_BYTES)


def _arguments(
    attributes: Mapping[str, Any], tensors: Sequence[TensorSpec | None]
) -> tuple[Any, ...]:
    """Attributes and tensors as ``plugins/core/c_api.cpp`` takes them."""
    known, dtypes = contract().attributes, contract().dtypes
    if unknown := set(attributes) - set(known):
        raise ValueError(
            f"unknown attribute {', '.join(sorted(unknown))}, expected {', '.join(known)}"
        )
    if len(tensors) != len(contract().inputs):
        raise ValueError(
            f"{len(tensors)} tensors, expected one (or None) for each of "
            f"{', '.join(contract().inputs)}"
        )
    flat: list[int] = []
    for name, default in known.items():
        value = attributes.get(name, default)
        flat += _integers(name, value) if isinstance(default, list) else [_integer(name, value)]
    specs: list[int] = []
    for tensor in tensors:
        if tensor is None:
            specs.append(0)
            continue
        dtype = dtypes.index(tensor.dtype) + 1 if tensor.dtype in dtypes else 0
        shape = tensor.shape if tensor.shape is not None else ()
        specs += [1, dtype, int(tensor.shape is not None), len(shape), *shape]
    names = [(tensor.dtype if tensor else "").encode() for tensor in tensors]
    return (
        (ctypes.c_int64 * len(flat))(*flat),
        (ctypes.c_int64 * len(specs))(*specs),
        (ctypes.c_char_p * len(names))(*names),
    )


def _integer(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"attribute {name} has {value!r}, expected an integer") from None
    if abs(number) >= 2**63:
        raise ValueError(f"attribute {name} has {number}, expected a 64-bit integer")
    return number


def _integers(name: str, value: Any) -> list[int]:
    """The list's length and its values."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"attribute {name} is {value!r}, expected a list of integers")
    numbers = [_integer(name, number) for number in value]
    return [len(numbers), *numbers]
