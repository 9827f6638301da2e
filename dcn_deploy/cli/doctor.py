"""``dcn-deploy doctor``."""

from __future__ import annotations

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..contract import contract
from ..diagnosis import DoctorReport, RuntimeReport
from ..diagnosis import doctor as diagnose
from .output import CHECK_FAILED, MISSING, JsonOption, emit

_NO_CUDA = "none in this build: install nvcc, then install dcn_deploy again"


def doctor(as_json: JsonOption = False) -> None:
    """Say what works on this machine, and how to get the rest.

    Runs the op for a moment in every runtime and dtype, beside the float64 reference. Exit code 1
    if a result is wrong, 3 if PyTorch or onnxruntime cannot run the op.

    Example: dcn-deploy doctor
    """
    report = diagnose()
    emit(_render(report), report.to_dict(), as_json=as_json)
    if report.wrong:
        raise typer.Exit(CHECK_FAILED)
    if not report.complete:
        raise typer.Exit(MISSING)


def _render(report: DoctorReport) -> RenderableType:
    versions = Table(box=None, show_header=False, pad_edge=False)
    versions.add_row("python", report.python)
    for package, version in report.versions.items():
        versions.add_row(package, version or Text("not installed", "dim"))
    versions.add_row("CPU kernels", report.instruction_set)
    versions.add_row("CUDA kernels", report.cuda_architectures or Text(_NO_CUDA, "dim"))
    for library in report.libraries:
        where = Text(library.problem, "red") if library.problem else str(library.path)
        versions.add_row(f"{library.host} library", where)

    runtimes = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    runtimes.add_column("the op, error to float64")
    for dtype in contract().dtypes:
        runtimes.add_column(dtype)
    for runtime in report.runtimes:
        runtimes.add_row(runtime.name, *_cells(runtime))

    parts: list[RenderableType] = [versions, runtimes]
    for runtime in report.runtimes:
        reasons: dict[str, list[str]] = {}
        for test in runtime.tests:
            if test.reason:
                reasons.setdefault(test.reason, []).append(test.dtype)
        for reason, dtypes in reasons.items():
            which = "" if len(dtypes) == len(runtime.tests) else f", {', '.join(dtypes)}"
            parts.append(Text(f"{runtime.name}{which}: {reason}", _style(runtime)))
    parts.append(_verdict(report))
    return Group(*parts)


def _cells(runtime: RuntimeReport) -> list[Text]:
    cells = []
    for test in runtime.tests:
        if test.error is None:
            cells.append(Text("no", "red" if runtime.expected else "dim"))
        else:
            cells.append(Text(f"{test.error:.0e}", "green" if test.works else "bold red"))
    return cells


def _style(runtime: RuntimeReport) -> str:
    return "red" if runtime.expected else "dim"


def _verdict(report: DoctorReport) -> Text:
    if report.wrong:
        return Text("A runtime gives wrong results.", "bold red")
    if not report.complete:
        return Text("This installation is not complete.", "bold red")
    return Text("All is well.", "green")
