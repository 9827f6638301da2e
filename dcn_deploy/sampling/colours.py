"""One scale of colours for masks, in every picture: dim where a sample hardly counts."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.colors import ListedColormap, to_hex

# From where on the scale stands out on a dark picture.
_DARKEST = 0.38
_STEPS = 256


def mask_colours() -> ListedColormap:
    """From 0 to the largest mask."""
    inferno = matplotlib.colormaps["inferno"]
    steps = [_DARKEST + (1 - _DARKEST) * step / (_STEPS - 1) for step in range(_STEPS)]
    return ListedColormap([inferno(step) for step in steps], "mask")


def mask_colour(share: float) -> str:
    """ "#rrggbb" of a mask, as a part of the largest."""
    colour: Any = mask_colours()(min(1.0, max(0.0, share)))
    return str(to_hex(colour))
