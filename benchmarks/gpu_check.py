"""Whether the CUDA kernels are right on this machine's GPU, and how fast they are.

    python benchmarks/gpu_check.py [--quick] [--out build/gpu-check]

``make gpu-check`` runs the same. It also runs where nothing can be installed: torch with CUDA, nvcc
and these sources are all it needs. What else is there is used: compute-sanitizer, torchvision,
onnxruntime with CUDA, TensorRT-RTX, dcn_deploy itself; what is not is reported as "not run".

It compiles the kernels; judges every named case and random ones against float64, forward and
backward, in every dtype; tries streams and CUDA graphs; and then measures, in one run, ours and
the others on layers of published models. Exit status 0: all that ran is right; 1: something is not;
2: there is no GPU, or no nvcc, and nothing was checked.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
# The cases and the reference need torch only; the package itself imports all that it depends on.
package = types.ModuleType("dcn_deploy")
package.__path__ = [str(ROOT / "dcn_deploy")]
sys.modules.setdefault("dcn_deploy", package)

from cuda_core.core import Core  # noqa: E402
from cuda_core.judging import BACKWARD, FORWARD  # noqa: E402
from on_gpu import checks, report, workload  # noqa: E402
from on_gpu.building import BuildError, build  # noqa: E402
from on_gpu.checks import Extent, Outcome, attempt, extent  # noqa: E402
from on_gpu.goals import goals  # noqa: E402
from on_gpu.measuring import Row, measure_all, measure_ceilings  # noqa: E402
from on_gpu.sanitizing import sanitize  # noqa: E402
from on_gpu.screen import say, show_table  # noqa: E402

Check = tuple[str, Callable[[], str]]


def every_check(core: Core, extent: Extent, library: Path) -> Iterator[Check]:
    for name, kind in FORWARD.items():
        yield f"forward, {name}", partial(checks.forward_cases, core, kind, extent.cases)
    for name, kind in BACKWARD.items():
        yield f"backward, {name}", partial(checks.backward_cases, core, kind, extent.cases)
    count = extent.random_problems
    yield "random problems", partial(checks.random_problems, core, count)
    yield "values that are no numbers", partial(checks.wild_values, core)
    yield "gradients of offsets that are none", partial(checks.wild_gradients, core)
    yield "the same twice", partial(checks.deterministic, core)
    yield "a stream of its own", partial(checks.own_stream, core)
    yield "several streams at once", partial(checks.two_streams, core)
    yield "a CUDA graph", partial(checks.graph, core)
    yield "the op for torch", partial(checks.torch_op, core)
    for tool in ("memcheck", "racecheck"):
        yield f"compute-sanitizer, {tool}", partial(sanitize, core, library, tool)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    began = time.monotonic()
    if options.device == "cuda" and not torch.cuda.is_available():
        say("There is no GPU here that torch can use: nothing was checked.")
        return 2
    try:
        library = _library(options)
    except BuildError as error:
        say(f"The kernels cannot be compiled, nothing was checked: {error}")
        return 2
    core = Core(library)
    extent_ = extent(device=options.device, quick=options.quick)
    outcomes = [attempt(*check) for check in every_check(core, extent_, library)]
    ceilings, rows, reached = None, list[Row](), []
    if options.device == "cpu":
        outcomes.append(Outcome("timing", "not run", "the emulator has no speed"))
        say("timing: the emulator has no speed", "not run")
    else:
        ceilings = measure_ceilings()
        layers = (*workload.LAYERS, *(() if options.quick else workload.MORE_LAYERS))
        kinds = ("float16", "float32") if options.quick else workload.KINDS
        count = 3 if options.quick else 7
        rows = measure_all(core, layers, kinds, workload.PASSES, ceilings, count)
        reached = list(goals(rows, torch.cuda.get_device_name()))
        cells = [report.timing_cells(row) for row in rows]
        show_table("Timings", report.TIMING_HEADINGS, cells)
        show_table("Goals", report.GOAL_HEADINGS, [report.goal_cells(goal) for goal in reached])
    report.write(options.out, outcomes, ceilings, rows, reached)
    results = [outcome.result for outcome in outcomes]
    counts = ", ".join(f"{results.count(r)} {r}" for r in ("ok", "FAILED", "not run"))
    seconds = time.monotonic() - began
    say(f"{len(results)} checks: {counts}; {seconds:.0f} s; written: {options.out}")
    return 1 if "FAILED" in results else 0


def _library(options: argparse.Namespace) -> Path:
    if options.library:
        return Path(options.library.resolve())
    major, minor = torch.cuda.get_device_capability()
    return build(options.out, 10 * major + minor)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-check")
    parser.add_argument(
        "--quick", action="store_true", help="fewer problems, layers and dtypes: under 2 minutes"
    )
    parser.add_argument("--library", type=Path, help="compiled before; default: compiled here")
    parser.add_argument(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda",
        help="cpu: to try this script, with a --library whose kernels are emulated",
    )
    options = parser.parse_args(arguments)
    if options.device == "cpu" and not options.library:
        parser.error("--device cpu needs a --library whose kernels are emulated")
    return options


if __name__ == "__main__":
    sys.exit(main())
