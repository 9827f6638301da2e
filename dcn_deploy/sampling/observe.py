"""Running a model, whichever kind it is, to see its deformable convolutions at work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..availability import first_line
from ..model_inputs import InputError
from ..onnx_graph import ModelFileError
from ..verification.eager import EagerSide, tensors_in
from ..verification.observation import NodeRun
from ..verification.onnx_side import our_side, stock_side


def observe(
    model: torch.nn.Module | str | os.PathLike[str], args: tuple[Any, ...]
) -> Sequence[NodeRun]:
    """Every deformable convolution of one run, in order.

    Args:
        model: a module, run in evaluation mode; or an ONNX file
        args: what it is called with; of a file its inputs in order

    Raises:
        ModelFileError: the file is not an ONNX model.
        InputError: it does not run on these inputs.
    """
    tensors: list[Tensor] = tensors_in(args)
    if isinstance(model, torch.nn.Module):
        return EagerSide(model, args, {}).run(tensors).nodes
    reasons = []
    for make in (our_side, stock_side):
        try:
            return make(Path(model)).run(tensors).nodes
        except ModelFileError:
            raise
        except Exception as error:  # onnxruntime's own kinds
            reasons.append(first_line(error))
    raise InputError(f"{os.fspath(model)} does not run: {'; '.join(dict.fromkeys(reasons))}")
