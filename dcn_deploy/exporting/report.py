"""What an export wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..inspection import NodeReport
from .forms import Form

if TYPE_CHECKING:
    from ..verification import VerificationReport


@dataclass(frozen=True)
class ExportReport:
    """One exported model; ``print`` it."""

    path: Path
    form: Form
    exporter: str
    opset: int
    nodes: tuple[NodeReport, ...]
    """The deformable convolutions: names, shapes, attributes, and which runtimes take them."""
    verification: VerificationReport | None
    """None where the export was asked not to verify."""

    def __str__(self) -> str:
        """A few lines for people."""
        size = self.path.stat().st_size / 2**20
        lines = [
            f"{self.path}: {size:.1f} MiB, opset {self.opset}, {self.form} form, "
            f"{len(self.nodes)} deformable convolutions"
        ]
        for node in self.nodes:
            attributes = " ".join(f"{name}={value}" for name, value in node.attributes.items())
            lines.append(f"  {node.name}: {node.dtype}, {attributes}")
        lines.append(str(self.verification) if self.verification else "not verified")
        return "\n".join(lines)
