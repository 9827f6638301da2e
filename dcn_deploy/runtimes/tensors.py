"""torch tensors in and out of an onnxruntime session, bfloat16 included."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor


def _to_ort(tensor: Tensor) -> Any:
    import onnxruntime

    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:  # numpy has no such type: hand over the bits
        bits = tensor.view(torch.int16).numpy().view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
            bits, onnx.TensorProto.BFLOAT16
        )
    return onnxruntime.OrtValue.ortvalue_from_numpy(tensor.numpy())


def _from_ort(value: Any) -> Tensor:
    if not value.is_tensor():
        raise TypeError(f"onnxruntime returned a {value.data_type()}, expected a tensor")
    if value.data_type() == "tensor(bfloat16)":
        shape = value.shape()
        count = int(np.prod(shape))
        bits = ctypes.string_at(value.data_ptr(), 2 * count)
        return torch.frombuffer(bytearray(bits), dtype=torch.bfloat16).reshape(shape)
    return torch.from_numpy(value.numpy())


def run_session(
    session: Any, inputs: Mapping[str, Tensor], outputs: Sequence[str] | None = None
) -> list[Tensor]:
    """Run an ``onnxruntime.InferenceSession`` on torch tensors.

    Args:
        session: of any model whose inputs and outputs are dense tensors
        inputs: by name; any device, any layout
        outputs: names, None for all

    Returns:
        One CPU tensor for each output.
    """
    feed = {name: _to_ort(tensor) for name, tensor in inputs.items()}
    return [_from_ort(value) for value in session.run_with_ort_values(outputs, feed)]
