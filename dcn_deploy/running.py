"""``dcn_deploy.run``: one run of an ONNX file, for those who need no session."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .arrays import to_array, to_tensor
from .availability import first_line
from .errors import RunError
from .inspection import inspect_model
from .model_inputs import check_inputs
from .runtimes.onnxruntime import QUIET, ort_session
from .runtimes.onnxruntime import run as run_session


def run(
    model: str | os.PathLike[str],
    inputs: Mapping[str, Tensor | NDArray[Any]],
    *,
    override: bool = False,
) -> dict[str, NDArray[Any]]:
    """Run an ONNX file once in onnxruntime with this project's library.

    Args:
        model: the file
        inputs: by name, tensors or arrays
        override: run standard DeformConv nodes in this project's kernel too

    Returns:
        Output name -> array.

    Raises:
        ModelFileError: the file is not an ONNX model.
        InputError: the inputs do not fit it.
        RunError: it does not run on them.
        ImportError: onnxruntime is not installed, or dcn_deploy was built without its library.
    """
    tensors = {
        name: value if isinstance(value, Tensor) else to_tensor(np.asarray(value))
        for name, value in inputs.items()
    }
    check_inputs(tensors, inspect_model(model).inputs)
    try:
        session = ort_session(model, override=override, **QUIET)
        return run_session(session, {name: to_array(tensor) for name, tensor in tensors.items()})
    except ImportError:
        raise
    except Exception as error:  # onnxruntime's own kinds
        raise RunError(f"{os.fspath(model)} does not run: {first_line(error)}") from error
