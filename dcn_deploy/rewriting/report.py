"""What a conversion wrote."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exporting.forms import Form

if TYPE_CHECKING:
    from ..verification import VerificationReport


@dataclass(frozen=True)
class ConvertedNode:
    """One deformable convolution."""

    name: str
    was: str
    """Its operator in the source, or the exporter that had written it as many."""


@dataclass(frozen=True)
class ConversionReport:
    """One converted model; ``print`` it."""

    source: Path
    path: Path
    form: Form
    precision: str | None
    """The dtype that the model computes in now, where one was asked for."""
    opset: int
    source_opset: int
    nodes: tuple[ConvertedNode, ...]
    verification: VerificationReport | None
    """None where the conversion was asked not to verify, or could not."""
    not_verified: str
    """Why; empty where it was verified."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        verification = self.verification and self.verification.to_dict()
        plain = asdict(self) | {"verification": verification}
        return plain | {"source": str(self.source), "path": str(self.path)}

    def __str__(self) -> str:
        """A few lines for people."""
        opset = f"opset {self.opset}"
        if self.opset != self.source_opset:
            opset += f", was {self.source_opset}"
        dtype = f", {self.precision}" if self.precision else ""
        lines = [f"{self.source} -> {self.path}: {self.form} form{dtype}, {opset}"]
        for was, count in Counter(node.was for node in self.nodes).items():
            lines.append(f"  {count} {'node' if count == 1 else 'nodes'}: {was}")
        lines.append(str(self.verification) if self.verification else self.not_verified)
        return "\n".join(lines)
