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
from cuda_core.nvcc import BuildError  # noqa: E402
from on_gpu import checks, report, workload  # noqa: E402
from on_gpu.building import build  # noqa: E402
from on_gpu.checks import Extent, attempt, extent  # noqa: E402
from on_gpu.goals import goals  # noqa: E402
from on_gpu.measuring import measure_all, measure_ceilings  # noqa: E402
from on_gpu.sanitizing import sanitize  # noqa: E402
from on_gpu.screen import say, show_table  # noqa: E402

# After so long, no layer is begun any more.
SECONDS, QUICK_SECONDS = 450, 105
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
        yield f"compute-sanitizer, {tool}", partial(sanitize, core, library, tool, extent.quick)


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
    results = report.Results(outcomes)
    until = began + (QUICK_SECONDS if options.quick else SECONDS)
    outcomes.append(attempt("timing", partial(_measure, core, options.quick, until, results)))
    report.write(options.out, results)
    came = [outcome.result for outcome in outcomes]
    counts = ", ".join(f"{came.count(r)} {r}" for r in ("ok", "FAILED", "not run"))
    seconds = time.monotonic() - began
    say(f"{len(came)} checks: {counts}; {seconds:.0f} s; written: {options.out}")
    return 1 if "FAILED" in came else 0


def _measure(core: Core, quick: bool, until: float, results: report.Results) -> str:
    checks.need_gpu(core)
    results.ceilings = measure_ceilings()
    work, count = workload.all_work(quick=quick), 3 if quick else 7
    results.rows = measure_all(core, work, results.ceilings, count, until)
    results.goals = list(goals(results.rows, torch.cuda.get_device_name()))
    cells = [report.timing_cells(row) for row in results.rows]
    show_table("Timings", report.TIMING_HEADINGS, cells)
    reached = [report.goal_cells(goal) for goal in results.goals]
    show_table("Goals", report.GOAL_HEADINGS, reached)
    missed = sum(goal.verdict == "missed" for goal in results.goals)
    return f"{len(results.rows)} timings, {missed} of {len(results.goals)} goals missed"


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
