"""The handwritten digits that come with scikit-learn, upscaled, rotated and stretched.

The 1,797 scans are 8x8 pixels and upright. Each is drawn on a larger canvas in a pose of its own,
so that one digit covers other pixels every time: what a layer with learnt offsets can follow and a
fixed 3x3 grid cannot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional

CANVAS = 32
"""Height and width of the images that the network sees, in pixels."""
MAX_ANGLE = 40.0
"""Degrees, either way: far enough to matter, too little to turn a 6 into a 9."""
SCALES = (0.5, 0.9)
"""Share of the canvas that a scan covers, drawn for height and width separately."""

_INK = 16.0  # load_digits counts ink from 0 to 16
_TEST_SHARE = 0.25


@dataclass(frozen=True)
class Scans:
    """Some of the data set's scans."""

    index: Tensor
    """[N] int64, which of the 1,797."""
    images: Tensor
    """[N, 1, 8, 8] float32, ink in 0 .. 1."""
    labels: Tensor
    """[N] int64, 0 .. 9."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Scans:
        """The given ones of these."""
        return Scans(self.index[rows], self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class Poses:
    """How each scan lies on its canvas."""

    angle: Tensor
    """[N] float32, degrees, clockwise."""
    scale: Tensor
    """[N, 2] float32, share of the canvas that the scan's height and width cover."""


def load(seed: int) -> tuple[Scans, Scans]:
    """Training and test scans, disjoint, with the same share of every digit."""
    digits = load_digits()
    scans = Scans(
        torch.arange(len(digits.target)),
        torch.from_numpy(digits.images).float().unsqueeze(1) / _INK,
        torch.from_numpy(digits.target).long(),
    )
    train, test = train_test_split(
        scans.index.numpy(), test_size=_TEST_SHARE, stratify=digits.target, random_state=seed
    )
    return scans.take(torch.from_numpy(train)), scans.take(torch.from_numpy(test))


def random_poses(count: int, generator: torch.Generator) -> Poses:
    """Any angle up to MAX_ANGLE, any height and any width within SCALES."""
    angle = (2 * torch.rand(count, generator=generator) - 1) * MAX_ANGLE
    low, high = SCALES
    scale = low + (high - low) * torch.rand(count, 2, generator=generator)
    return Poses(angle, scale)


def draw(images: Tensor, poses: Poses) -> Tensor:
    """The scans on their canvases: scaled, then rotated about the middle, in one interpolation.

    Args:
        images: [N, 1, h, w]
        poses: N of them

    Returns:
        [N, 1, CANVAS, CANVAS] float32, ink in 0 .. 1, none outside the scan
    """
    radians = poses.angle * (math.pi / 180)
    cos, sin = radians.cos(), radians.sin()
    height, width = poses.scale.unbind(1)
    # grid_sample asks where on the scan a pixel of the canvas lies, as (x, y): rotate back, then
    # divide by the scale.
    zero = torch.zeros_like(cos)
    x_row = torch.stack((cos / width, sin / width, zero), dim=1)
    y_row = torch.stack((-sin / height, cos / height, zero), dim=1)
    grid = functional.affine_grid(
        torch.stack((x_row, y_row), dim=1), [len(images), 1, CANVAS, CANVAS], align_corners=False
    )
    drawn = functional.grid_sample(images, grid, mode="bicubic", align_corners=False)
    return drawn.clamp(0, 1)  # a bicubic curve overshoots
