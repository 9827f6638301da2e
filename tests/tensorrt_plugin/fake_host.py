"""The fake host of ``fake_host.cpp`` for Python: takes a node of the plugin through the calls that
TensorRT makes, on memory that the caller has, on the CPU or on a GPU. Needs nothing but Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import byref, c_char_p, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path

# nvinfer1::DataType and nvinfer1::PluginFieldType
TYPES = {"float32": 0, "float16": 1, "int8": 2, "int32": 3, "bool": 4, "bfloat16": 7, "int64": 8}
LINEAR, HWC8 = 0, 2  # nvinfer1::TensorFormat
FIELD_INT32, FIELD_FLOAT32, FIELD_CHAR = 5, 1, 6

# 10000 * major + 100 * minor + patch
TENSORRT_10, TENSORRT_11, RTX_1_4, RTX_1_7, UNKNOWN_HOST = 101600, 110000, 10400, 10701, 0


class _Field(ctypes.Structure):
    _fields_ = (
        ("name", c_char_p),
        ("data", c_void_p),
        ("type", c_int32),
        ("length", c_int32),
        ("bytes", c_int32),
    )


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("type", c_int32),
        ("rank", c_int32),
        ("least", c_int64 * 8),
        ("most", c_int64 * 8),
        ("format", c_int32),
    )


@dataclass(frozen=True)
class Tensor:
    """A tensor's dtype and its largest shape; ``least`` is its smallest where sizes are dynamic.

    ``channels_last``: in TensorRT's format kHWC8.
    """

    dtype: str
    shape: Sequence[int]
    least: Sequence[int] | None = None
    channels_last: bool = False

    def native(self) -> _Tensor:
        least = self.shape if self.least is None else self.least
        result = _Tensor(TYPES[self.dtype], len(self.shape))
        result.least[: len(least)] = list(least)
        result.most[: len(self.shape)] = list(self.shape)
        result.format = HWC8 if self.channels_last else LINEAR
        return result


class RefusedError(RuntimeError):
    """A function of the plugin refused; the message names it, ``log`` is what the plugin logged."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(f"{message}: {log}")
        self.log = log


class Host:
    """A plugin library, loaded for a TensorRT of the given version."""

    def __init__(self, host: Path, plugin: Path, version: int = TENSORRT_11) -> None:
        self.api = ctypes.CDLL(str(host))
        for name in ("fake_error", "fake_take_log", "fake_creator_name"):
            getattr(self.api, name).restype = c_char_p
        for name in ("fake_creator_namespace", "fake_creator_field"):
            getattr(self.api, name).restype = c_char_p
        for name in ("fake_open", "fake_build", "fake_deserialize", "fake_context"):
            getattr(self.api, name).restype = c_void_p
        self.api.fake_workspace_bytes.restype = c_int64
        self.library = c_void_p(self.api.fake_open(str(plugin).encode(), version))
        self.expect(self.library)

    def close(self) -> None:
        self.api.fake_close(self.library)

    def take_log(self) -> str:
        """What the plugin has logged since the last call: lines of severity and text."""
        return self.api.fake_take_log().decode()

    def expect(self, pointer: c_void_p) -> c_void_p:
        if not pointer:
            raise RefusedError(self.api.fake_error().decode(), self.take_log())
        return pointer

    def creators(self) -> list[tuple[str, str, list[str]]]:
        """Name, namespace and names of the fields of each creator."""
        result = []
        for i in range(self.api.fake_creator_count(self.library)):
            fields: list[str] = []
            while name := self.api.fake_creator_field(self.library, i, len(fields)):
                fields.append(name.decode())
            result.append(
                (
                    self.api.fake_creator_name(self.library, i).decode(),
                    self.api.fake_creator_namespace(self.library, i).decode(),
                    fields,
                )
            )
        return result


def _fields(attributes: Mapping[str, object]) -> tuple[ctypes.Array[_Field], list[object]]:
    """Integers as ONNX parsers pass them; a float or a string as itself, to be refused.

    Returns the fields and what they point to.
    """
    fields, kept = (_Field * len(attributes))(), []
    for i, (name, value) in enumerate(attributes.items()):
        if isinstance(value, str):
            type_, data = FIELD_CHAR, (ctypes.c_char * len(value))(*value.encode())
        else:
            values = list(value) if isinstance(value, (list, tuple)) else [value]
            floats = any(isinstance(number, float) for number in values)
            type_ = FIELD_FLOAT32 if floats else FIELD_INT32
            data = ((ctypes.c_float if floats else c_int32) * len(values))(*values)
        kept.append(data)
        address = ctypes.cast(data, c_void_p)
        fields[i] = _Field(name.encode(), address, type_, len(data), ctypes.sizeof(data))
    return fields, kept


class Node:
    """A node that was built, written into an engine and loaded from it.

    Raises:
        RefusedError: the plugin refused it.
    """

    def __init__(
        self,
        host: Host,
        attributes: Mapping[str, object],
        inputs: Sequence[Tensor],
        creator: int = 0,
        name: str = "deform",
    ) -> None:
        self.host, self.api = host, host.api
        fields, _kept = _fields(attributes)
        tensors = (_Tensor * len(inputs))(*(tensor.native() for tensor in inputs))
        network = self.api.fake_build(
            host.library, creator, name.encode(), fields, len(fields), tensors, len(tensors)
        )
        self.network = host.expect(c_void_p(network))
        engine = self.api.fake_deserialize(host.library, creator, name.encode(), self.network)
        self.engine = host.expect(c_void_p(engine))
        self.workspace_bytes = int(self.api.fake_workspace_bytes(self.network))
        shape = (c_int64 * 8)()
        rank = self.api.fake_output_shape(self.network, shape)
        self.output_shape = tuple(shape[:rank])
        self.output_type = self.api.fake_output_type(self.network)

    def close(self) -> None:
        self.api.fake_free_engine(self.engine)
        self.api.fake_free_network(self.network)


class Context:
    """A node in an execution context."""

    def __init__(self, node: Node) -> None:
        self.host, self.api = node.host, node.api
        self.context = self.host.expect(c_void_p(self.api.fake_context(node.engine)))

    def close(self) -> None:
        self.api.fake_free_context(self.context)

    def set_shapes(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        """Raises RefusedError where the plugin returns a failure."""
        tensors = (_Tensor * len(inputs))(*(tensor.native() for tensor in inputs))
        status = self.api.fake_set_shapes(
            self.context, tensors, len(tensors), byref(output.native())
        )
        self._require(status, "onShapeChange")

    def enqueue(
        self, inputs: Sequence[int], output: int, workspace: int = 0, stream: int = 0
    ) -> None:
        """Addresses of memory and of a stream. Raises RefusedError where the plugin fails."""
        pointers = (c_void_p * len(inputs))(*inputs)
        status = self.api.fake_enqueue(
            self.context,
            pointers,
            len(inputs),
            c_void_p(output),
            c_void_p(workspace),
            c_void_p(stream),
        )
        self._require(status, "enqueue")

    def _require(self, status: int, function: str) -> None:
        if status:
            raise RefusedError(f"{function} returned {status}", self.host.take_log())
