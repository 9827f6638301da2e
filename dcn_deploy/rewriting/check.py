"""Does the converted file compute what its source computes?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from torch import Tensor

from .. import flops
from ..inspection import inspect_model
from ..model_inputs import InputError
from ..onnx_graph import deformable_nodes
from ..precision import Precision, verify_precision
from ..verification import VerificationReport, verify
from .inputs import random_inputs

_MOST_OPERATIONS = 20e9
"""Of the deformable convolutions in one run: what the float64 reference does in about a minute."""


@dataclass(frozen=True)
class Verification:
    """Two files to compare."""

    staged: Path
    """The converted one."""
    source: Path
    """What it was made of."""
    path: Path
    """What the report calls ``staged``."""
    own: ir.Model
    """The model with our nodes, whichever form ``staged`` has. It is changed."""
    precision: Precision | None
    """The half type that ``staged`` computes in, if one was asked for."""
    progress: Callable[[str], None]
    """Called with a line of text as each run starts."""

    def run(
        self, given: Mapping[str, Tensor], sizes: Mapping[str, Sequence[int]], seed: int
    ) -> tuple[VerificationReport | None, str]:
        """Compare them on given or random inputs, and other sizes where they are dynamic.

        Args:
            given: inputs by name
            sizes: of random inputs, by name
            seed: of the random values

        Returns:
            The report, or None and why there is none.

        Raises:
            VerificationError: they differ.
            InputError: the source does not run on these inputs, or they cannot be made up.
            ImportError: onnxruntime is not installed.
        """
        import onnxruntime  # noqa: F401

        tensors = random_inputs(inspect_model(self.source).inputs, given, sizes, seed)
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        operations = _operations(self.own, shapes)
        if operations > _MOST_OPERATIONS:
            return None, (
                f"its deformable convolutions take {operations / 1e9:.0f} G operations on inputs "
                f"of {shapes}, for which the float64 reference is too slow; give smaller sizes, or "
                "compare the two with dcn-deploy verify"
            )
        compare = verify if self.precision is None else verify_precision
        try:
            report = compare(
                self.staged,
                self.source,
                tuple(tensors.values()),
                name=str(self.path),
                runs=1,
                seed=seed,
                progress=self.progress,
            )
        except InputError as error:
            raise InputError(
                f"{error}; give inputs, or their sizes, to verify with, or do not verify"
            ) from error
        if all(side.status == "not run" for side in report.sides):
            return None, report.summary
        report.raise_if_failed()
        return report, ""


def _operations(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> int:
    """Of the deformable convolutions; what is unknown counts as nothing."""
    flops.fix_sizes(model, shapes)
    counts = flops.count(model)
    return sum(counts[entry.node] or 0 for entry in deformable_nodes(model))
