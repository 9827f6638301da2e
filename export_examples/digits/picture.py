"""A picture of where a deformable layer looks: its sampled points, drawn on the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from dcn_deploy import DeformConv2d

_COLOURS = ("#d55e00", "#0072b2", "#009e73")
"""One for each output position; told apart with any colour vision."""
_POINT_SIZE = 9.0
"""Diameter of a point whose mask is 1, in points of print; the area goes with the mask."""
_MARGIN = 5.0
"""Image pixels shown around the image, for samples that fall outside it."""
_ROW_LABELS = (
    "zero offsets:\nthe fixed 3x3 grid\nof a plain\nconvolution",
    "learnt offsets\nand mask",
)


@dataclass(frozen=True)
class Look:
    """One image, and what the layer made of it."""

    title: str
    image: Tensor
    """[H, W], ink in 0 .. 1."""
    offset: Tensor
    """[2*taps, oH, oW] in pixels of the layer's input, channels (tap, (y, x))."""
    mask: Tensor
    """[taps, oH, oW] in 0 .. 1."""


def sampled_points(layer: DeformConv2d, offset: Tensor, position: tuple[int, int]) -> Tensor:
    """Where one output position samples the layer's input.

    Args:
        layer: with one deformable group
        offset: [2*taps, oH, oW]
        position: output row and column

    Returns:
        [taps, 2], (y, x) in pixels of the layer's input; pixel centres are whole numbers
    """
    kernel_h, kernel_w = layer.kernel_size
    taps = torch.cartesian_prod(torch.arange(kernel_h), torch.arange(kernel_w))
    corner = torch.tensor(position) * torch.tensor(layer.stride) - torch.tensor(layer.padding[:2])
    row, column = position
    shift = offset[:, row, column].reshape(-1, 2)
    return corner + taps * torch.tensor(layer.dilation) + shift


def positions_on_ink(ink: Tensor, count: int) -> list[tuple[int, int]]:
    """Output positions that lie on ink and far from each other, the topmost first.

    Args:
        ink: [oH, oW], the ink under each output position
        count: how many
    """
    points = torch.nonzero(ink > 0.5 * ink.max())
    chosen = [0]
    while len(chosen) < count:
        distance = torch.cdist(points.double(), points[chosen].double()).amin(dim=1)
        chosen.append(int(distance.argmax()))
    return [(int(row), int(column)) for row, column in points[chosen]]


def draw(layer: DeformConv2d, looks: Sequence[Look], pitch: int) -> Figure:
    """The images in columns: above with the points of zero offsets, below with the learnt ones.

    Args:
        layer: the one that ``looks`` come from
        looks: one for each column
        pitch: image pixels from one pixel of the layer's input to the next
    """
    figure = Figure(figsize=(3.3 * len(looks) + 2.0, 8.0), dpi=130)
    axes = figure.subplots(2, len(looks), squeeze=False)
    for column, look in zip(axes.T, looks, strict=True):
        column[0].set_title(look.title, fontsize=14)
        for axis in column:
            _draw_image(axis, look.image)
        step_y, step_x = (pitch * stride for stride in layer.stride)
        positions = positions_on_ink(look.image[::step_y, ::step_x], len(_COLOURS))
        for position, colour in zip(positions, _COLOURS, strict=True):
            grid = sampled_points(layer, torch.zeros_like(look.offset), position) * pitch
            learnt = sampled_points(layer, look.offset, position) * pitch
            mask = look.mask[:, position[0], position[1]]
            for axis, points, weights in zip(
                column, (grid, learnt), (torch.ones_like(mask), mask), strict=True
            ):
                _draw_points(axis, grid.mean(dim=0), points, weights, colour)
    for axis, text in zip(axes[:, 0], _ROW_LABELS, strict=True):
        axis.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=14, fontsize=13)
    figure.suptitle(
        "Where a deformable layer looks: the 9 samples behind each of three output values",
        fontsize=16,
        fontweight="bold",
        y=0.97,
    )
    figure.legend(handles=_legend(), loc="lower center", ncols=4, frameon=False, fontsize=12)
    figure.subplots_adjust(
        left=2.0 / figure.get_figwidth(),
        right=0.99,
        top=0.875,
        bottom=0.08,
        wspace=0.04,
        hspace=0.04,
    )
    return figure


def _draw_image(axis: Axes, image: Tensor) -> None:
    height, width = image.shape
    # Ink in light grey, so that the points stand out on it.
    axis.imshow(image.numpy(), cmap="Greys", vmin=0, vmax=2.2, interpolation="nearest")
    axis.add_patch(
        Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor="#999999", linestyle=":")
    )
    axis.set(
        xlim=(-0.5 - _MARGIN, width - 0.5 + _MARGIN),
        ylim=(height - 0.5 + _MARGIN, -0.5 - _MARGIN),
        xticks=[],
        yticks=[],
    )
    axis.spines[:].set_color("#cccccc")


def _draw_points(axis: Axes, middle: Tensor, points: Tensor, weights: Tensor, colour: str) -> None:
    """The samples of one output position, each tied to it.

    Args:
        axis: to draw on
        middle: [2], (y, x) of the position
        points: [taps, 2], (y, x) of its samples
        weights: [taps], their mask
        colour: theirs
    """
    for y, x in points.tolist():
        axis.plot([middle[1], x], [middle[0], y], color=colour, linewidth=1.0, alpha=0.5)
    axis.scatter(
        points[:, 1],
        points[:, 0],
        s=_POINT_SIZE**2 * weights,
        color=colour,
        edgecolors="white",
        linewidths=0.8,
        zorder=3,
    )
    axis.add_line(_cross([float(middle[1])], [float(middle[0])]))


def _cross(x: list[float], y: list[float], label: str = "") -> Line2D:
    return Line2D(
        x,
        y,
        linestyle="",
        marker="x",
        color="black",
        markersize=7.0,
        markeredgewidth=1.8,
        zorder=4,
        label=label,
    )


def _legend() -> list[Line2D]:
    def dot(mask: float) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            color="#555555",
            markeredgewidth=0,
            markersize=_POINT_SIZE * mask**0.5,
            label=f"sample, mask {mask:g}",
        )

    edge = Line2D([], [], color="#999999", linestyle=":", label="edge of the image, zero beyond")
    return [_cross([], [], "output position"), dot(1.0), dot(0.25), edge]
