"""Pictures: from files into a model's input, and from tensors back to something to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inspection import TensorReport
from ..model_inputs import InputError, shape_text

# The picture steps back, so that arrows stand out on it.
_GREY, _BRIGHTNESS = 0.5, 0.55


@dataclass(frozen=True)
class Picture:
    """Something to draw on."""

    name: str
    pixels: NDArray[np.uint8]
    """[H, W, 3]"""

    @property
    def dimmed(self) -> NDArray[np.uint8]:
        """The same, dark and half without colours."""
        plain = self.pixels.astype(np.float64)
        grey = plain.mean(axis=2, keepdims=True)
        mixed: NDArray[Any] = (plain + (grey - plain) * _GREY) * _BRIGHTNESS
        return mixed.astype(np.uint8)


def is_image(spec: TensorReport) -> bool:
    """Whether an input looks like a picture: [N, 1 or 3, H, W] of floats."""
    return (
        spec.shape is not None
        and len(spec.shape) == 4
        and spec.shape[1] in (1, 3)
        and "float" in str(spec.dtype)
    )


def load_picture(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Picture:
    """Read a picture, and scale it to (height, width) if given.

    Raises:
        InputError: it is not there, or no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{os.fspath(path)}: not a picture that can be read: {error}") from error
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return Picture(Path(path).name, np.asarray(image))


def as_input(
    picture: Picture, spec: TensorReport, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """The picture as a batch of one for a model: (pixel / 255 - mean) / std.

    Raises:
        InputError: the input takes no picture.
    """
    if not is_image(spec):
        raise InputError(
            f"input {spec.name!r} is {spec.dtype} {shape_text(spec.shape)}, expected floats "
            "[N, 3, H, W] or [N, 1, H, W] to put a picture in"
        )
    assert spec.shape is not None
    values = torch.from_numpy(picture.pixels.copy()).double().permute(2, 0, 1) / 255
    if spec.shape[1] == 1:
        values = values.mean(dim=0, keepdim=True)
    for what, given in (("mean", mean), ("std", std)):
        if len(given) not in (1, len(values)):
            raise InputError(f"{what} has {len(given)} values, expected 1 or {len(values)}")
    shift, scale = (torch.tensor(list(v), dtype=torch.float64)[:, None, None] for v in (mean, std))
    return ((values - shift) / scale)[None].to(getattr(torch, str(spec.dtype)))


def fixed_size(spec: TensorReport) -> tuple[int, int] | None:
    """Height and width that a model wants; None where it takes any."""
    height, width = (spec.shape or (None,) * 4)[-2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def as_picture(tensor: Tensor, name: str) -> Picture:
    """A tensor [C, H, W] to look at, its values stretched to black and white.

    Three channels are red, green and blue; of any other number the mean is shown.
    """
    values = tensor.double()
    if len(values) != 3:
        values = values.mean(dim=0, keepdim=True).expand(3, -1, -1)
    values = values.nan_to_num(0.0, 0.0, 0.0)
    low, high = values.min(), values.max()
    stretched = (values - low) / (high - low).clamp(min=1e-12) * 255
    return Picture(name, stretched.permute(1, 2, 0).round().to(torch.uint8).numpy())
