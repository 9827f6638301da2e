"""Between torch tensors and numpy arrays, bfloat16 included: ``ml_dtypes`` gives numpy the type."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_array(tensor: Tensor) -> NDArray[Any]:
    """The tensor's values on the CPU, as numpy has them."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        bits: NDArray[Any] = tensor.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    array: NDArray[Any] = tensor.numpy()
    return array


def to_tensor(array: NDArray[Any]) -> Tensor:
    """The array's values, copied.

    Raises:
        TypeError: torch has no such dtype.
    """
    array = np.array(array, order="C")
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
