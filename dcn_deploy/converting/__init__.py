"""From the layers of other libraries to ours."""

from .convert import convert, convertible_layers
from .plan import ConvertedLayer, Plan

__all__ = ["ConvertedLayer", "Plan", "convert", "convertible_layers"]
