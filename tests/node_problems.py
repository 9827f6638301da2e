"""The shared cases as numpy arrays and ONNX attributes, for the tests of runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cases
import numpy as np
import torch
from cases import DTYPES, Case, Inputs, make_inputs
from numpy.typing import NDArray

from dcn_deploy import reference
from dcn_deploy.arrays import to_array, to_tensor
from dcn_deploy.contract import contract

Arrays = Mapping[str, NDArray[Any] | None]
Attributes = Mapping[str, Any]


def arrays_of(
    case: Case, dtype: str = "float32", coordinate_dtype: str | None = None, seed: int = 0
) -> dict[str, NDArray[Any] | None]:
    """Input name -> value; None where the case has no such input."""
    return arrays_of_inputs(
        make_inputs(case, DTYPES[dtype], DTYPES[coordinate_dtype or dtype], seed)
    )


def arrays_of_inputs(inputs: Inputs) -> dict[str, NDArray[Any] | None]:
    """The same for tensors that are there already."""
    return {
        name: None if tensor is None else to_array(tensor)
        for name, tensor in zip(contract().inputs, inputs.tensors(), strict=True)
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


def relative_error(actual: NDArray[Any], wanted: NDArray[np.float64]) -> float:
    """‖actual - wanted‖ / ‖wanted‖."""
    return cases.relative_error(to_tensor(actual), to_tensor(wanted))


def _torch_arguments(attributes: Attributes) -> list[Any]:
    return [
        attributes.get(name, default)
        for name, default in contract().attributes.items()
        if name != "kernel_shape"
    ]
