"""What an export wrote."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..inspection import ModelReport, NodeReport
from ..model_inputs import shape_text
from .conversion import Converted
from .forms import Form

if TYPE_CHECKING:
    from ..verification import VerificationReport


@dataclass(frozen=True)
class ExportReport:
    """One exported model; ``print`` it."""

    path: Path
    form: Form
    exporter: str
    model: ModelReport
    """The file as ``dcn-deploy inspect`` sees it."""
    verification: VerificationReport | None
    """None where the export was asked not to verify."""
    conversion: Converted = field(default_factory=Converted)
    """Which layers were other libraries'."""

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return self.model.opsets[""]

    @property
    def nodes(self) -> tuple[NodeReport, ...]:
        """The deformable convolutions: names, shapes, attributes, and which runtimes take them."""
        return self.model.nodes

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "path": str(self.path),
            "form": self.form,
            "exporter": self.exporter,
            "opset": self.opset,
            "model": self.model.to_dict(),
            "conversion": asdict(self.conversion),
            "verification": self.verification and self.verification.to_dict(),
        }

    def __str__(self) -> str:
        """A few lines for people."""
        megabytes = self.model.bytes / 1e6
        lines = [f"{self.path}: {megabytes:.2f} MB, {self.form} form, opset {self.opset}"]
        for node in self.nodes:
            attributes = " ".join(f"{name}={value}" for name, value in node.attributes.items())
            sizes = " -> ".join(shape_text(node.shapes[name]) for name in ("input", "output"))
            lines.append(f"  {node.name}: {node.dtype} {sizes}, {attributes}")
        if self.conversion.layers:
            lines.append(f"converted:\n{self.conversion}")
        lines.append(str(self.verification) if self.verification else "not verified, as asked")
        return "\n".join(lines)
