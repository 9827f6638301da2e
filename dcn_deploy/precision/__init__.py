"""Models of half precision: writing them, and checking them against their float32 originals."""

from .checking import verify_precision
from .lowering import PRECISIONS, Precision, PrecisionError, PrecisionReport, lower, to_precision

__all__ = [
    "PRECISIONS",
    "Precision",
    "PrecisionError",
    "PrecisionReport",
    "lower",
    "to_precision",
    "verify_precision",
]
