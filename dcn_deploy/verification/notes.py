"""What a verification could not look at, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..inspection import ModelReport
from .difference import Difference
from .offsets import OffsetRange
from .report import CaseReport


def file_notes(file: ModelReport) -> list[str]:
    """The nodes that cannot be compared one by one."""
    if not file.nodes:
        return [f"{file.path} has no deformable node: only its outputs are compared"]
    return [
        f"node {node.name} is inside {node.scope}: it is compared through the outputs only"
        for node in file.nodes
        if node.scope
    ]


def comparison_notes(sides: Iterable[Sequence[CaseReport]]) -> list[str]:
    """The values that were compared but say little; each once, whichever sides saw it."""
    notes = [note for cases in sides for note in (*_non_finite(cases), *_offsets_of_zero(cases))]
    return list(dict.fromkeys(notes))


def _non_finite(cases: Sequence[CaseReport]) -> list[str]:
    seen: dict[str, list[Difference]] = defaultdict(list)
    for case in cases:
        for output in case.outputs:
            if output.difference is not None:
                seen[f"output {output.name}"].append(output.difference)
        for node in case.nodes:
            seen[f"node {node.name}"].append(node.to_float64)
    notes = []
    for what, differences in seen.items():
        elements = sum(one.elements for one in differences)
        finite = sum(one.finite for one in differences)
        if finite < elements:
            share = 100 * (elements - finite) / elements
            notes.append(f"{what}: {share:.3g} % of the expected values are NaN or infinite")
    return notes


def _offsets_of_zero(cases: Sequence[CaseReport]) -> list[str]:
    ranges = defaultdict(set)
    for case in cases:
        for node in case.nodes:
            ranges[node.name].add(node.offset_range)
    return [
        f"node {name}: every offset is 0, as in a fresh layer: sampling between pixels was not "
        "exercised"
        for name, found in ranges.items()
        if found == {(0.0, 0.0)}
    ]


def offset_notes(ranges: Mapping[str, OffsetRange]) -> list[str]:
    """A warning for each node whose offsets a half precision cannot hold."""
    return [
        f"warning: node {name}: {dtype} cannot hold its offsets of {found.least:.3g} .. "
        f"{found.greatest:.3g} px, it would move samples by {rounding.moves:.2g} px and change the "
        f"output by {rounding.output_changes:.0e}: keep its offset in float32"
        for name, found in ranges.items()
        for dtype, rounding in found.rounding.items()
        if not rounding.holds
    ]
