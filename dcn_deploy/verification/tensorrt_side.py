"""A TensorRT engine as a side of the comparison: built from the file, seen through its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from ..inspection import TensorReport
from ..runtimes.tensorrt import EngineError, TensorRTRunner, build_engine
from ..runtimes.tensorrt.runner import require_gpu
from .cases import Case
from .observation import NotRunnableError, Observation

TENSORRT = "TensorRT + dcn_deploy"


class TensorRTSide:
    """The file as an engine for the sizes of the cases. float32 is computed without TF32.

    Raises:
        NotRunnableError: there is no TensorRT, no plugin or no GPU.
        BuildError: the engine cannot be built.
    """

    name = TENSORRT

    def __init__(self, path: Path, specs: Sequence[TensorReport], cases: Sequence[Case]) -> None:
        try:
            require_gpu("an engine")
            with TemporaryDirectory() as folder:
                engine = Path(folder) / "model.engine"
                build_engine(path, engine, profiles=_profile(specs, cases))
                self._runner = TensorRTRunner(engine)
        except (EngineError, ImportError) as error:
            raise NotRunnableError(str(error)) from error
        self._inputs = [spec.name for spec in specs]
        self._outputs = [spec.name for spec in self._runner.outputs]

    def run(self, tensors: Sequence[Tensor]) -> Observation:
        """Run on the model's inputs, in order."""
        outputs = self._runner.run(dict(zip(self._inputs, tensors, strict=True)))
        return Observation([outputs[name].cpu() for name in self._outputs], [])


def _profile(
    specs: Sequence[TensorReport], cases: Sequence[Case]
) -> dict[str, tuple[tuple[int, ...], ...]]:
    """From the smallest to the largest size of each dimension, tuned for the inputs given."""
    profile: dict[str, tuple[tuple[int, ...], ...]] = {}
    for index, spec in enumerate(specs):
        sizes = [tuple(case.tensors[index].shape) for case in cases]
        smallest, largest = (tuple(map(of, zip(*sizes, strict=True))) for of in (min, max))
        profile[spec.name] = (smallest, sizes[0], largest)
    return profile
