"""Other projects' deformable nodes: what they compute."""

from .projects import Reading, needs_sizes, read

__all__ = ["Reading", "needs_sizes", "read"]
