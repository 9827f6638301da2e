"""The outcome of a verification, as data: what was compared, how far apart, where it went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import RenderableType

from .difference import Difference
from .offsets import OffsetRange
from .rendering import as_text, render

Status = Literal["passed", "failed", "not run"]


class VerificationError(RuntimeError):
    """The model does not compute what it should; ``report`` has everything."""

    def __init__(self, report: VerificationReport) -> None:
        super().__init__(report.summary)
        self.report = report


@dataclass(frozen=True)
class OutputCheck:
    """One graph output beside the baseline's."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    difference: Difference | None
    problem: str = ""
    """Why there is no difference to give: other shape, other dtype."""

    @property
    def ok(self) -> bool:
        """Whether it agrees."""
        return self.difference is not None and self.difference.ok


@dataclass(frozen=True)
class NodeCheck:
    """One deformable convolution."""

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    """Of its inputs and its "output"."""
    offset_range: tuple[float, float]
    """Least and greatest offset, in pixels; NaN where an offset is NaN."""
    to_float64: Difference
    """From the float64 reference on the node's own inputs."""
    to_baseline: Difference | None
    """From the baseline's node in the same place, where there is one of these shapes."""
    baseline_to_float64: Difference | None
    """The baseline's node from the float64 reference on its own inputs; None where they agree."""
    cause: str
    """Where it disagrees: what about it, and which side is wrong. Empty where it agrees."""
    offsets: OffsetRange | None = None
    """What the offsets need of their dtype, where that was asked for."""

    @property
    def ok(self) -> bool:
        """Whether it agrees with both."""
        return not self.cause


@dataclass(frozen=True)
class CaseReport:
    """One side on one set of inputs."""

    name: str
    input_shapes: tuple[tuple[int, ...], ...]
    outputs: tuple[OutputCheck, ...] = ()
    nodes: tuple[NodeCheck, ...] = ()
    error: str = ""
    """What stopped the run."""

    @property
    def compared(self) -> int:
        """How many finite elements were compared: without any, nothing is shown.

        Of the outputs; where there was no model to compare them with, of the nodes.
        """
        if not self.outputs:
            return sum(check.to_float64.finite for check in self.nodes)
        return sum(check.difference.finite for check in self.outputs if check.difference)

    @property
    def ok(self) -> bool:
        """Whether it ran and every output, and every node beside float64, is within tolerance.

        A node that differs from the baseline's while every output agrees is no failure: exporters
        may reorder nodes.
        """
        return (
            not self.error
            and self.compared > 0
            and all(check.ok for check in self.outputs)
            and all(check.to_float64.ok for check in self.nodes)
        )

    @property
    def first_difference(self) -> NodeCheck | None:
        """The first node, in execution order, that disagrees."""
        return next((check for check in self.nodes if not check.ok), None)


@dataclass(frozen=True)
class SideReport:
    """One way to run the file, beside the baseline."""

    name: str
    cases: tuple[CaseReport, ...] = ()
    not_run: str = ""
    """Why it cannot run here, for a reason that says nothing about the model."""

    @property
    def status(self) -> Status:
        """ "not run" is never "passed"."""
        if self.not_run:
            return "not run"
        return "passed" if self.cases and all(case.ok for case in self.cases) else "failed"

    @property
    def first_failure(self) -> CaseReport | None:
        """The first case that failed."""
        return next((case for case in self.cases if not case.ok), None)


@dataclass(frozen=True)
class VerificationReport:
    """The outcome."""

    path: str
    baseline: str
    """What the file was compared with."""
    sides: tuple[SideReport, ...]
    node_names: tuple[str, ...]
    """The deformable convolutions that were looked at one by one."""
    notes: tuple[str, ...]
    """What was left out, and why."""
    only_given_sizes: bool = False
    """Whether other sizes were tried, and the baseline could take none of them."""

    @property
    def offset_ranges(self) -> Mapping[str, OffsetRange]:
        """What the offsets of each node need, by its name; of the first side that measured it."""
        return {
            node.name: node.offsets
            for side in reversed(self.sides)
            for case in side.cases
            for node in case.nodes
            if node.offsets is not None
        }

    @property
    def passed(self) -> bool:
        """Whether at least one side was compared, and none of those failed."""
        statuses = [side.status for side in self.sides]
        return "passed" in statuses and "failed" not in statuses

    @property
    def summary(self) -> str:
        """The verdict; on a failure also what failed first, and where to look."""
        if self.passed:
            cases = max(len(side.cases) for side in self.sides)
            return (
                f"{self.path} agrees with {self.baseline} on {cases} sets of inputs, "
                f"{len(self.node_names)} deformable nodes each"
                + ("; no other size could be confirmed" if self.only_given_sizes else "")
            )
        failed = [side for side in self.sides if side.status == "failed"]
        if not failed:
            reasons = "; ".join(f"{side.name}: {side.not_run}" for side in self.sides)
            return f"{self.path}: nothing could be compared ({reasons})"
        headline = f"{self.path} is not shown to agree with {self.baseline}"
        if any(_differs(case) for side in failed for case in side.cases):
            headline = f"{self.path} does not agree with {self.baseline}"
        return "\n".join([headline, *_failures(failed)])

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON: infinities and NaN become text."""
        sides = [asdict(side) | {"status": side.status} for side in self.sides]
        for side, report in zip(sides, self.sides, strict=True):
            for case, case_report in zip(side["cases"], report.cases, strict=True):
                case["ok"] = case_report.ok
        result = asdict(self) | {"passed": self.passed, "summary": self.summary, "sides": sides}
        plain: dict[str, Any] = _plain(result)
        return plain

    def raise_if_failed(self) -> None:
        """Raise ``VerificationError`` unless ``passed``."""
        if not self.passed:
            raise VerificationError(self)

    def __rich__(self) -> RenderableType:
        return render(self)

    def __str__(self) -> str:
        return as_text(self)


def _differs(case: CaseReport) -> bool:
    """Whether it failed for something that was seen, not for want of anything to compare."""
    return not case.ok and (bool(case.error) or not all(check.ok for check in case.outputs))


def _failures(sides: list[SideReport]) -> Iterator[str]:
    """What went wrong first on each side; once where it is the same."""
    told: set[tuple[str, ...]] = set()
    for side in sides:
        case = side.first_failure
        if case is None:
            yield f"{side.name}: no inputs to run on"
            continue
        node = case.first_difference
        wrong = [output for output in case.outputs if not output.ok]
        kind = (case.name, *(output.name for output in wrong), node.name if node else case.error)
        if kind in told:
            yield f"{side.name} fails on the inputs {case.name!r} in the same place"
            continue
        told.add(kind)
        yield f"{side.name} fails on the inputs {case.name!r}:"
        if case.error:
            yield f"  {case.error}"
        elif not case.compared and not wrong:
            what = "no output of the baseline" if case.outputs else "no deformable node"
            yield f"  nothing compared: {what} has a finite element"
        for output in wrong:
            yield f"  output {output.name!r}: {output.difference or output.problem}"
        if node is not None:
            low, high = node.offset_range
            yield f"  first node that differs: {node.name!r}: {node.cause}"
            yield f"    offsets {low:.3g} .. {high:.3g} px"
            yield f"    {', '.join(f'{name} {list(size)}' for name, size in node.shapes.items())}"


def _plain(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
