"""From an ONNX file to a TensorRT engine in the precision asked for, checked on the way.

TensorRT takes the types of the graph for the types to compute in. So half precision means to write
a typed graph, and to see in onnxruntime that it still computes what the model does: what an engine
computes can be seen on a GPU only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from .exporting import files
from .exporting.forms import to_form
from .onnx_graph import load
from .precision import Precision, PrecisionReport, lower, verify_precision
from .runtimes.tensorrt import EngineReport, build_engine
from .verification import VerificationReport


@dataclass(frozen=True)
class BuildReport:
    """What was built, and of what."""

    onnx_path: str
    engine: EngineReport
    precision: PrecisionReport | None
    """None where the model's own types were kept."""
    verification: VerificationReport | None
    """The typed model beside the original, in onnxruntime; None where there is no typed model."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "onnx_path": self.onnx_path,
            "engine": self.engine.to_dict(),
            "precision": self.precision and asdict(self.precision),
            "verification": self.verification and self.verification.to_dict(),
        }


def build(
    onnx_path: str | os.PathLike[str],
    engine_path: str | os.PathLike[str],
    *,
    precision: Precision | None = None,
    keep: Collection[str] = (),
    args: tuple[Tensor, ...] | None = None,
    profiles: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    plugin_in_engine: bool = True,
    tf32: bool = False,
    workspace: int | None = None,
    package: str | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> BuildReport:
    """Build an engine; in half precision after the typed model was compared with the original.

    Args:
        onnx_path: the model, in any form
        engine_path: the file to write
        precision: "float16" or "bfloat16"; offsets, masks and other coordinates stay float32, and
            so do the engine's inputs and outputs. Default: the types of the file
        keep: names of nodes that stay float32 too
        args: input tensors, in the model's order, to compare the typed model with the original on
        profiles: as for ``build_engine``
        plugin_in_engine: as for ``build_engine``
        tf32: as for ``build_engine``
        workspace: as for ``build_engine``
        package: as for ``build_engine``
        progress: called with a line of text as each step starts

    Raises:
        ValueError: ``precision`` without ``args``, or ``keep`` without ``precision``.
        PrecisionError: the model cannot be written in that precision.
        VerificationError: the typed model does not compute what the original does, or could not be
            run; no engine was built.
        InputError: no node has a name that ``keep`` has; or as ``build_engine``.
        ImportError, ModelFileError, BuildError, OSError: as ``build_engine``.
    """
    if keep and precision is None:
        raise ValueError("keep names nodes that stay float32 in half precision; give precision too")

    def engine_of(source: str | os.PathLike[str]) -> EngineReport:
        return build_engine(
            source,
            engine_path,
            profiles=profiles,
            plugin_in_engine=plugin_in_engine,
            tf32=tf32,
            workspace=workspace,
            package=package,
            progress=progress,
        )

    path = os.fspath(onnx_path)
    if precision is None:
        return BuildReport(path, engine_of(onnx_path), None, None)
    if args is None:
        raise ValueError("args are needed to compare the typed model with the original; give some")
    with TemporaryDirectory() as folder:
        typed = Path(folder) / f"{Path(path).stem}.{precision}.onnx"
        progress(f"writing the model in {precision}")
        model = load(onnx_path)
        to_form(model, "custom")  # the standard operator would compute in float32, between casts
        lowered = lower(model, precision, keep=keep)
        files.write(model, typed, None)
        verification = verify_precision(
            typed, onnx_path, args, name=f"{path} in {precision}", progress=progress
        )
        verification.raise_if_failed()
        engine = engine_of(typed)
    return BuildReport(path, engine, lowered, verification)
