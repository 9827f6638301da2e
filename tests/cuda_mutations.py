"""Mistakes in the CUDA kernels, made on purpose: barriers and waits that are missing, and stages of
buffers that are mixed up.

All of them are compiled at once, into one program that makes the mistake whose number it is given:
``__syncthreads();`` becomes ``do { if (!::mutated(7)) __syncthreads(); } while (0);``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KERNELS = Path(__file__).parents[1] / "plugins" / "core" / "cuda"
# It declares what the others call.
DECLARATIONS = "warp.h"

_BARRIER = re.compile(r"\b(?P<call>__syncthreads|sync_warp|commit_copies)\(\);")
_WAIT = re.compile(r"\bwait_copies<(?P<pending>\d+)>\(\);")
_STAGE = re.compile(
    r"(?P<stage>\b(?:step|stage)|\((?:step|stage) \+ \d+\))"
    r" % (?P<buffers>2|[\w:]*k(?:Stages|\w*Buffers))\b"
)
# Where the positions of a step's samples lie.
_LINE = re.compile(r"\bline_of\((?P<step>step \+ (?:\d+|\w+\(\w+\)))\)")
_RING = re.compile(r"\b(?P<buffer>\w+) = (?P<call>next_buffer<[^;]*>)\((?P=buffer)\);")
_FREED = re.compile(r"\b(?P<buffer>asked) = (?P<other>weighed);")
# Whatever looks like one of them; to find those that the patterns above do not understand.
_ANY = re.compile(
    r"__syncthreads\(|sync_warp\(|commit_copies\(|wait_copies<|= next_buffer<|\basked = [a-z]"
    r"|% [\w:]*k(?:Stages|\w*Buffers)\b|\bline_of\((?!int32_t )"
)
_COMMENT = re.compile(r"//.*")


@dataclass(frozen=True)
class Mutation:
    """A mistake.

    Attributes:
        number: which the program is given.
        file: in the folder of the kernels.
        what: is wrong, e.g. ``without sync_warp()``.
        line: of the source, without what surrounds it.
        before: the line before it that says something.
    """

    number: int
    file: str
    what: str
    line: str
    before: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}, after: {self.before}"


class Mutant:
    """One file with all its mistakes in it."""

    def __init__(self, path: Path, first_number: int) -> None:
        self.name = path.relative_to(KERNELS).as_posix()
        self.mutations: list[Mutation] = []
        self._next = first_number
        lines = path.read_text().splitlines(keepends=True)
        code = [_COMMENT.sub("", line) for line in lines]
        self._found = 0
        for i, line in enumerate(code):
            before = next((at.strip() for at in reversed(code[:i]) if re.search(r"\w", at)), "")
            self._place = (line.strip(), before)
            for pattern, mutate in (
                (_BARRIER, self._barrier),
                (_WAIT, self._wait),
                (_STAGE, self._stage),
                (_LINE, self._line),
                (_RING, self._ring),
                (_FREED, self._freed),
            ):
                line = pattern.sub(mutate, line)
            lines[i] = line.rstrip() + "\n"
        self.text = "".join(lines)
        self.unknown = sum(len(_ANY.findall(line)) for line in code) - self._found

    def _number(self, what: str) -> str:
        number = self._next
        self._next += 1
        self.mutations.append(Mutation(number, self.name, what, *self._place))
        return f"::mutated({number})"

    def _barrier(self, match: re.Match[str]) -> str:
        self._found += 1
        call = match["call"] + "()"
        return f"do {{ if (!{self._number(f'without {call}')}) {call}; }} while (0);"

    def _wait(self, match: re.Match[str]) -> str:
        self._found += 1
        pending = int(match["pending"])
        call, short = f"wait_copies<{pending}>()", f"wait_copies<{pending + 1}>()"
        return (
            f"do {{ if ({self._number(f'without {call}')}) break; "
            f"if ({self._number(f'{short} instead of {call}')}) {short}; else {call}; }} while (0);"
        )

    def _stage(self, match: re.Match[str]) -> str:
        self._found += _ANY.search(match[0]) is not None
        next_one = self._number(f"the stage after {match[0]}")
        first = self._number(f"the first stage instead of {match[0]}")
        return f"({match['stage']} + {next_one}) % {match['buffers']} * !{first}"

    def _line(self, match: re.Match[str]) -> str:
        self._found += 1
        next_one = self._number(f"the step after {match['step']}")
        first = self._number(f"the first step instead of {match['step']}")
        return f"line_of((({match['step']}) + {next_one}) * !{first})"

    def _ring(self, match: re.Match[str]) -> str:
        self._found += 1
        call, buffer = match["call"], match["buffer"]
        stays = self._number(f"the same {buffer} buffer again")
        skips = self._number(f"not the next {buffer} buffer")
        return f"if (!{stays}) {buffer} = {call}({skips} ? {call}({buffer}) : {buffer});"

    def _freed(self, match: re.Match[str]) -> str:
        self._found += 1
        return f"if (!{self._number('the same asked buffer again')}) {match[0]}"


def mutants() -> Iterator[Mutant]:
    """Every source and header of the kernels, mistakes numbered through from 1."""
    number = 1
    for path in sorted(KERNELS.rglob("*.*")):
        if path == KERNELS / DECLARATIONS:
            continue
        mutant = Mutant(path, number)
        number += len(mutant.mutations)
        yield mutant


def write_mutants(folder: Path) -> None:
    """Write the kernels with all mistakes in them; what has not changed keeps its time."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {mutant.name: mutant.text for mutant in mutants()}
    texts[DECLARATIONS] = (KERNELS / DECLARATIONS).read_text()
    for path in folder.rglob("*.*"):
        if path.relative_to(folder).as_posix() not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
