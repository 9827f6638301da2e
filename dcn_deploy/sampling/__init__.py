"""Pictures of where deformable layers look."""

from .plot import plot_sampling

__all__ = ["plot_sampling"]
