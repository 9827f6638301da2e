"""``dcn_deploy.plot_sampling``: the pictures as PNG."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..model_inputs import InputError
from ..verification.eager import tensors_in
from .observe import observe
from .pictures import Picture, as_picture, load_picture
from .points import sample_points

_DPI = 120


def plot_sampling(
    model: torch.nn.Module | str | os.PathLike[str],
    args: tuple[Any, ...] | Tensor,
    folder: str | os.PathLike[str],
    *,
    picture: str | os.PathLike[str] | None = None,
    nodes: Sequence[str] | None = None,
    image: int = 0,
    group: int = 0,
    rows: int = 4,
) -> list[Path]:
    """Draw where each deformable convolution samples, as arrows on the picture that the model sees.

    An arrow leads from where the plain convolution would sample to where this one does; its colour
    is the mask. Papers: arXiv 1703.06211, 1811.11168.

    Args:
        model: a module, run in evaluation mode; or an ONNX file
        args: what it is called with: a tuple, or one tensor. Of a file, its inputs in order.
        folder: where the PNGs go; made if it is not there
        picture: the file to draw on; default: the first tensor [N, C, H, W] of args, its values
            stretched to black and white
        nodes: names of those to draw; default: all
        image: which of the batch
        group: which offset group; of a node with fewer, its last
        rows: of output positions, across the picture's height

    Returns:
        One PNG for each node, in the order in which they run.

    Raises:
        ModelFileError: the file is not an ONNX model.
        InputError: the model does not run on ``args``, has no such node, or none at all; or the
            picture cannot be read.
        ValueError: the batch has no such image.
    """
    from .figure import draw  # matplotlib takes its time, and only pictures need it

    args = args if isinstance(args, tuple) else (args,)
    runs = observe(model, args)
    names = [run.name for run in runs]
    if not runs:
        raise InputError("the model has no deformable convolution that could be watched")
    for name in nodes or ():
        if name not in names:
            raise InputError(
                f"the model has no deformable node {name!r}; it has {', '.join(names)}"
            )
    background = _picture(args, image) if picture is None else load_picture(picture)
    height, width = background.pixels.shape[:2]
    written = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for index, run in enumerate(runs):
        if nodes is not None and run.name not in nodes:
            continue
        groups = run.attributes["offset_group"]
        points = sample_points(
            run, height, width, image=image, group=min(group, groups - 1), rows=rows
        )
        safe = re.sub(r"\W+", "_", run.name).strip("_")
        path = Path(folder) / f"{index}_{safe}.png"
        draw(background, points).savefig(path, dpi=_DPI)
        written.append(path)
    return written


def _picture(args: tuple[Any, ...], image: int) -> Picture:
    for tensor in tensors_in(args):
        if tensor.dim() == 4:
            if not 0 <= image < len(tensor):
                raise ValueError(f"image is {image}, expected 0 .. {len(tensor) - 1}")
            return as_picture(tensor[image], f"image {image}")
    raise InputError("args hold no tensor [N, C, H, W] to draw on; give a picture")
