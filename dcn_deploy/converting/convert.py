"""``dcn_deploy.convert``: models that people have, with our op in them."""

from __future__ import annotations

import copy
import os
from typing import Any, TypeVar

from torch import nn
from torch.export import ExportedProgram

from ..errors import ConversionError
from .plan import ConvertedLayer, Plan

Model = TypeVar("Model", nn.Module, ExportedProgram)


def convert(model: Model, *, inplace: bool = False) -> Model:
    """Let a model's deformable layers compute with dcn_deploy's op, whose library they came from.

    Known are the functions, and so the layers and whatever else calls them, of torchvision
    (``deform_conv2d``, ``DeformConv2d``), mmcv (``DeformConv2d``, ``ModulatedDeformConv2d`` and
    their ``Pack`` forms), detectron2 (``DeformConv``, ``ModulatedDeformConv``), the forks of DCNv2
    (``DCN``, ``DCNv2``), and those that have the same functions under names like these. None of
    these libraries need be there, beyond what the model itself imports.

    Only the call of the op is replaced. How a layer comes to its offsets and masks, whether it pads
    or normalises, is Python of its own that stays and runs as before; so does that of subclasses
    and wrappers. A layer stays the same object: parameters, buffers and their names, dtype, device,
    hooks, parametrisations and mode are untouched, checkpoints load as before. Its class becomes a
    subclass of what it was, with the same name. No module of the library's or yours is changed:
    other models go on with the library's op. Global names that a converted method uses are those of
    the moment of the conversion.

    Under autocast torchvision's function computes in float32 and ours in autocast's dtype, with
    offsets as exact as they come.

    Left as they are: pure PyTorch code, whatever it computes; modules compiled by ``torch.jit``;
    deformable functions that a method imports inside its body; and calls of the op
    ``torch.ops.torchvision.deform_conv2d`` outside of graphs. ``dcn_deploy.export`` writes the last
    as ours all the same.

    Args:
        model: a module (torch.fx's GraphModule too), or what torch.export.export returned
        inplace: change ``model`` itself; otherwise a copy, with copies of its weights

    Returns:
        the converted model; equal outputs, up to rounding

    Raises:
        TypeError: ``model`` is neither.
        ConversionError: a layer calls something that looks like a deformable convolution and is
            none of the known ones; the message names the layer's path and the reason. ``model`` is
            as it was.
    """
    plan = _plan(model)
    if not inplace:
        try:
            model = copy.deepcopy(model)
        except Exception as error:  # what a model holds may refuse in any way
            raise ConversionError(
                f"the model cannot be copied ({type(error).__name__}: {error}); convert it in "
                "place, with inplace=True"
            ) from error
        plan = _plan(model)
    plan.apply()
    return model


def convertible_layers(model: nn.Module | ExportedProgram) -> tuple[ConvertedLayer, ...]:
    """What ``convert`` would change in a model, and nothing is changed.

    Args:
        model: as of ``convert``

    Raises:
        TypeError, ConversionError: as of ``convert``.
    """
    return _plan(model).layers


def _plan(model: Any) -> Plan:
    if isinstance(model, ExportedProgram):
        return Plan(model.graph_module)
    if not isinstance(model, nn.Module):
        file = isinstance(model, (str, os.PathLike))
        raise TypeError(
            f"model is a {type(model).__name__}, expected a torch.nn.Module or a "
            "torch.export.ExportedProgram"
            f"{'; dcn_deploy.convert_onnx converts ONNX files' if file else ''}"
        )
    return Plan(model)
