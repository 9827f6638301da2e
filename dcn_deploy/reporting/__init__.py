"""One page about a model: its deformable nodes, whether it is right, how fast, where it looks."""

from .report import Report, report

__all__ = ["Report", "report"]
