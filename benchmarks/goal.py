"""A goal: a figure and what it shall be at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    what: str
    measured: float | None
    at_most: float

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not run"
        return "met" if self.measured <= self.at_most else "missed"
