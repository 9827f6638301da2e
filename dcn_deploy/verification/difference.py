"""How far one tensor is from another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

DECADES = range(-17, 2)
"""Powers of ten that the errors of single elements are sorted by."""


@dataclass(frozen=True)
class Difference:
    """The distance of a tensor from the one it is compared with."""

    error: float
    """||a - b|| / ||b||; of integers and booleans the share of elements that differ."""
    max_abs: float
    """The largest |a - b|."""
    tolerance: float
    """What ``error`` may be at most."""
    elements: int
    """How many there are."""
    finite: int
    """How many of the expected ones are neither NaN nor Inf: only these say anything."""
    histogram: tuple[int, ...] = ()
    """How many elements are equal, and then for each power of ten in DECADES how many errors lie
    between it and the next; an element's error is |a - b| as a part of the root mean square of b.
    Beyond either end counts as at the end. Empty of integers, and where an error is infinite."""

    @property
    def ok(self) -> bool:
        """Whether it is within the tolerance."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        return f"error {self.error:.2e}, tolerance {self.tolerance:.0e}, largest {self.max_abs:.2e}"


def difference(actual: Tensor, expected: Tensor, tolerance: float) -> Difference:
    """Compare two tensors of one shape, of any dtypes, in float64.

    NaN equals NaN and Inf equals Inf of the same sign, at the same place; a NaN or Inf on one side
    only makes both numbers infinite.
    """
    if actual.shape != expected.shape:
        raise ValueError(f"shapes {list(actual.shape)} and {list(expected.shape)} differ")
    sizes = expected.numel(), int(expected.isfinite().sum())
    if not expected.is_floating_point():
        wrong = actual != expected
        share = wrong.double().mean().item() if wrong.numel() else 0.0
        largest = (actual.double() - expected.double()).abs()
        return Difference(share, largest.max().item() if wrong.numel() else 0.0, tolerance, *sizes)
    actual, expected = actual.double(), expected.double()
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    error = torch.where(same, 0.0, actual - expected)
    if not bool(error.isfinite().all()):
        return Difference(math.inf, math.inf, tolerance, *sizes)
    norm = torch.where(expected.isfinite(), expected, 0.0).norm().item()
    distance = error.norm().item()
    relative = distance / norm if norm else (math.inf if distance else 0.0)
    largest_abs = error.abs().max().item() if error.numel() else 0.0
    histogram = _histogram(error.abs(), norm / math.sqrt(max(1, sizes[1])))
    return Difference(relative, largest_abs, tolerance, *sizes, histogram)


def _histogram(errors: Tensor, scale: float) -> tuple[int, ...]:
    wrong = errors[errors > 0]
    decades = (wrong / (scale or 1.0)).log10().floor().clamp(DECADES[0], DECADES[-1]).long()
    counts = torch.bincount(decades - DECADES[0], minlength=len(DECADES))
    return (errors.numel() - wrong.numel(), *counts.tolist())
