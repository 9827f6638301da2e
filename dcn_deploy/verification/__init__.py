"""Checking an exported file against the model, node by node."""

from .compare import verify
from .difference import Difference
from .report import (
    CaseReport,
    NodeCheck,
    OutputCheck,
    SideReport,
    VerificationError,
    VerificationReport,
)

__all__ = [
    "CaseReport",
    "Difference",
    "NodeCheck",
    "OutputCheck",
    "SideReport",
    "VerificationError",
    "VerificationReport",
    "verify",
]
