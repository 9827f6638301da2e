"""Errors that several parts raise."""

from __future__ import annotations


class ConversionError(RuntimeError):
    """A layer or a node cannot be converted exactly; nothing was changed, nothing written."""


class RunError(RuntimeError):
    """A model does not run on its inputs."""
