"""How long a model takes, in each runtime, dtype and number of threads, and how much memory."""

from .bench import bench, usable_cpus
from .report import BenchReport, Timing

__all__ = ["BenchReport", "Timing", "bench", "usable_cpus"]
