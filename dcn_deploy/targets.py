"""Which runtimes take a deformable node as it is, wherever they are installed, and what to do where
they do not. ``availability`` says what this machine runs; this is about where a file can go.

Each rule rests on what the runtime's own sources or releases do: the kernels that onnxruntime
registers for DeformConv since 1.25, OpenVINO's list of ONNX operators. What TensorRT's parsers do
is in ``tensorrt_plugins``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .availability import Verdict
from .onnx_graph import Form
from .tensorrt_plugins import plugin_verdicts

ORT_OURS = "onnxruntime >= 1.17 + dcn_deploy, CPU"
ORT_OLD = "onnxruntime 1.17 .. 1.24, CPU"
ORT_CPU = "onnxruntime >= 1.25, CPU"
ORT_CUDA = "onnxruntime >= 1.25, CUDA"
OPENVINO = "OpenVINO"


@dataclass(frozen=True)
class NodeFacts:
    """What decides who runs a node."""

    path: Path
    """The file, for the commands."""
    form: Form
    dtype: str | None
    attributes: Mapping[str, Any]
    """By the contract's names."""
    has_mask: bool
    has_bias: bool
    invalid: str = ""
    """Why no runtime can run it at all."""

    def converted(self, to: str) -> str:
        """The command that rewrites the file, and with it every node."""
        source, target = self.path.name, f"{self.path.stem}.{to}.onnx"
        return f"dcn-deploy convert {shlex.quote(source)} {shlex.quote(target)} --to {to}"


def targets(node: NodeFacts) -> tuple[Verdict, ...]:
    """One verdict for each runtime that people deploy to."""
    if node.invalid:
        rules = tuple(Verdict(runtime, False, node.invalid) for runtime in _RULES)
    elif node.form == "foreign":
        why = "another project's operator"
        rules = tuple(Verdict(name, False, why, node.converted("portable")) for name in _RULES)
    else:
        rules = tuple(rule(name, node) for name, rule in _RULES.items())
    return rules + tuple(_tensorrt(node))


def _tensorrt(node: NodeFacts) -> Iterator[Verdict]:
    source, target = shlex.quote(node.path.name), shlex.quote(f"{node.path.stem}.engine")
    fix = f"dcn-deploy build {source} -o {target}"
    if node.invalid:
        fix = ""
    elif node.form == "foreign":
        fix = node.converted("portable")
    for verdict in plugin_verdicts(
        node.form,
        node.dtype,
        node.attributes,
        mask_without_bias=node.has_mask and not node.has_bias,
        invalid=node.invalid,
    ):
        yield Verdict(verdict.runtime, verdict.runs, verdict.reason, fix)


def _ours(runtime: str, node: NodeFacts) -> Verdict:
    if node.form == "standard":
        return Verdict(runtime, True, "our kernel with ort_session(..., override=True)")
    return Verdict(runtime, True, "our kernel")


def _old(runtime: str, node: NodeFacts) -> Verdict:
    why = "it has no kernel for DeformConv"
    if node.form == "custom":
        why = "the operator is ours"
    return Verdict(runtime, False, f"{why}: register our library", node.converted("decomposed"))


def _body(runtime: str, node: NodeFacts) -> Verdict:
    """A runtime with a kernel for the standard operator."""
    if node.form == "custom":
        why = "the node has no function body to fall back on"
        return Verdict(runtime, False, why, node.converted("portable"))
    how = "through the function body" if node.form == "portable" else "its own DeformConv"
    return Verdict(runtime, True, how)


def _cpu(runtime: str, node: NodeFacts) -> Verdict:
    if node.dtype == "bfloat16" and node.form != "custom":
        why = "its DeformConv has no bfloat16 on the CPU: register our library"
        return Verdict(runtime, False, why)
    verdict = _body(runtime, node)
    casts = ", float16 through casts" if verdict.runs and node.dtype == "float16" else ""
    return Verdict(runtime, verdict.runs, verdict.reason + casts, verdict.fix)


def _openvino(runtime: str, node: NodeFacts) -> Verdict:
    return Verdict(runtime, False, "it imports no DeformConv", node.converted("decomposed"))


_RULES = {
    ORT_OURS: _ours,
    ORT_OLD: _old,
    ORT_CPU: _cpu,
    ORT_CUDA: _body,
    OPENVINO: _openvino,
}
