"""One node's samples on one picture, by matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .colours import mask_colours
from .pictures import Picture
from .points import Sampling

_WIDTH = 9.0
# Of the picture's longer side, for samples that fall outside it.
_MARGIN = 0.03


def draw(picture: Picture, points: Sampling) -> Figure:
    """One node on one picture."""
    height, width = picture.pixels.shape[:2]
    figure = Figure(figsize=(_WIDTH, _WIDTH * 0.9 * height / width + 0.8), layout="constrained")
    axis = figure.add_subplot()
    axis.imshow(picture.dimmed, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    starts, ends = points.starts.reshape(-1, 2), points.ends.reshape(-1, 2)
    masks = np.ones(len(ends)) if points.masks is None else points.masks.reshape(-1)
    scale = ScalarMappable(Normalize(0, points.largest_mask), mask_colours())
    colours = scale.to_rgba(masks)
    shifts = ends - starts
    axis.quiver(
        *starts.T, *shifts.T, color=colours, angles="xy", scale_units="xy", scale=1, width=0.0022
    )
    axis.scatter(ends[:, 0], ends[:, 1], s=3, color=colours)
    margin = _MARGIN * max(width, height)
    axis.set(
        xlim=(-margin, width + margin),
        ylim=(height + margin, -margin),
        xticks=[],
        yticks=[],
        title=points.title,
    )
    axis.set_facecolor("#101014")
    if points.masks is not None:
        figure.colorbar(scale, ax=axis, label="mask", shrink=0.8, pad=0.01)
    return figure
