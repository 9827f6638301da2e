"""One deformable convolution as numpy arrays and ONNX attributes, for the tests of runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcn_deploy import reference
from dcn_deploy.arrays import to_array, to_tensor
from dcn_deploy.contract import contract

Arrays = Mapping[str, NDArray[Any] | None]
Attributes = Mapping[str, Any]

# No two axes alike.
ASYMMETRIC: dict[str, Any] = {
    "kernel_shape": [3, 2],
    "strides": [2, 1],
    "pads": [1, 0, 2, 1],
    "dilations": [2, 1],
    "group": 2,
    "offset_group": 3,
}


def random_arrays(
    dtype: Any = np.float32,
    coordinate_dtype: Any = None,
    *,
    batch: int = 2,
    height: int = 9,
    width: int = 7,
    bias: bool = True,
    mask: bool = True,
    seed: int = 7,
) -> dict[str, NDArray[Any] | None]:
    """Inputs for ASYMMETRIC: 12 channels to 10, offsets of some pixels, also beyond the image."""
    random = np.random.default_rng(seed)
    coordinate_dtype = coordinate_dtype or dtype
    out_height, out_width = (height + 3 - 4 - 1) // 2 + 1, width + 1 - 1
    channels = ASYMMETRIC["offset_group"] * 6

    def normal(*shape: int) -> NDArray[np.float64]:
        return random.standard_normal(shape)

    # The weight comes first: it is the same for every batch and size.
    weight, bias_values = normal(10, 6, 3, 2), normal(10)
    return {
        "input": normal(batch, 12, height, width).astype(dtype),
        "weight": weight.astype(dtype),
        "offset": (2 * normal(batch, 2 * channels, out_height, out_width)).astype(coordinate_dtype),
        "bias": bias_values.astype(dtype) if bias else None,
        "mask": random.random((batch, channels, out_height, out_width)).astype(coordinate_dtype)
        if mask
        else None,
    }


def float64_output(arrays: Arrays, attributes: Attributes) -> NDArray[np.float64]:
    """What the operation's definition gives for these inputs."""
    values = {
        name: None if array is None else torch.from_numpy(array.astype(np.float64))
        for name, array in arrays.items()
    }
    stride, padding, dilation, groups, offset_groups = _torch_arguments(attributes)
    output: NDArray[np.float64] = reference.deform_conv2d(
        **values,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        offset_groups=offset_groups,
    ).numpy()
    return output


def eager_output(arrays: Arrays, attributes: Attributes) -> NDArray[Any]:
    """What the torch op gives."""
    tensors = [
        None if (array := arrays.get(name)) is None else to_tensor(array)
        for name in contract().inputs
    ]
    return to_array(torch.ops.dcn_deploy.deform_conv2d(*tensors, *_torch_arguments(attributes)))


def relative_error(actual: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """‖error‖ / ‖expected‖; infinite where the shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    error = np.linalg.norm(actual.astype(np.float64) - expected)
    return float(error / (np.linalg.norm(expected) or 1.0))


def _torch_arguments(attributes: Attributes) -> list[Any]:
    return [
        attributes.get(name, default)
        for name, default in contract().attributes.items()
        if name != "kernel_shape"
    ]
