"""Why an engine could not be built, out of what TensorRT says.

A parser's own error names the node and no reason, the plugin's message in the log has the reason,
and between the two lie lines of the importer's source. The exception leads with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...inspection import NodeReport
from .host import ERROR, Message

PLUGIN_WORDS = "deformable convolution"
"""How every message of the plugin begins."""

# What the importer prints around each error, and what a machine without a GPU adds.
_NOISE = ("ModelImporter.cpp", "cudaError 35", "CUDA initialization failure")
_MOST_LINES = 12


class BuildError(RuntimeError):
    """An engine could not be built; the message names the node and the reason."""


def refused_node(path: str, node: NodeReport) -> BuildError:
    """For a node that is known to be wrong before TensorRT sees it."""
    problem = node.problems[-1]
    return BuildError(f"{path}: node {node.name!r}: {problem.what}; to cure it: {problem.cure}")


def parser_failure(
    path: str, tensorrt: str, errors: Sequence[Any], messages: Sequence[Message]
) -> BuildError:
    """For a model that the parser refuses."""
    nodes = []
    for error in errors:
        where = (
            f"node {error.node_name()!r} ({error.node_operator()}): " if error.node_name() else ""
        )
        nodes.append(where + _one_line(error.desc()))
    return _failure(f"{path} cannot be parsed by {tensorrt}", nodes, messages)


def builder_failure(path: str, tensorrt: str, messages: Sequence[Message]) -> BuildError:
    """For a network that the builder refuses."""
    return _failure(f"{path} cannot be built by {tensorrt}", [], messages)


def _failure(headline: str, nodes: Sequence[str], messages: Sequence[Message]) -> BuildError:
    said = [message.text for message in messages if message.severity <= ERROR]
    ours = _unique(text for text in said if text.startswith(PLUGIN_WORDS))
    others = _unique(
        _one_line(text)
        for text in said
        if text not in ours and not any(noise in text for noise in _NOISE)
    )
    causes = ours or _unique(nodes) or others or ["it gives no reason"]
    details = [line for line in _unique([*nodes, *others]) if line not in causes]
    lines = [f"{headline}: {'; '.join(causes)}", *details[:_MOST_LINES]]
    return BuildError("\n  ".join(lines))


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if not _is_noise(line))


def _is_noise(line: str) -> bool:
    return any(noise in line for noise in _NOISE)


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
