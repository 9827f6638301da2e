"""Which deformable convolutions an ONNX file holds, who runs them here, what may go wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from . import availability, flops
from .availability import Verdict
from .contract import UNKNOWN_DIM, TensorSpec, check, contract, cuda_path
from .onnx_graph import (
    DeformableNode,
    Form,
    Shape,
    deformable_nodes,
    dtype_of,
    external_tensors,
    is_constant,
    load,
    origin_of,
    prepare,
    shape_of,
)
from .targets import NodeFacts, targets

NO_CUDA_KERNELS = "this build has no CUDA kernels"


@dataclass(frozen=True)
class Problem:
    """Something that stops a node from running somewhere."""

    what: str
    cure: str


@dataclass(frozen=True)
class TensorReport:
    """A graph input or output. Sizes are names where symbolic, None where unknown."""

    name: str
    dtype: str | None
    shape: Shape | None


@dataclass(frozen=True)
class NodeReport:
    """One deformable convolution."""

    name: str
    op: str
    form: Form
    scope: str
    """The control-flow nodes it sits in; empty in the main graph."""
    origin: str
    """The layer of the PyTorch model, or the node of another file, that it was; empty if unsaid."""
    dtype: str | None
    shapes: Mapping[str, Shape | None]
    """Of the inputs that are present, by the contract's names, and of "output"."""
    attributes: Mapping[str, Any]
    """By the contract's names; kernel_shape is empty where nothing says it, and a value of a wrong
    kind is its text. Empty if foreign."""
    constant_weight: bool
    cuda_kernels: str
    """Which of our CUDA kernels run it: "tensor cores", or "plain", which takes every shape and is
    slow; NO_CUDA_KERNELS where the libraries have none. Empty if that cannot be told."""
    valid: bool
    """Whether the op's own check finds nothing wrong, as far as the file says."""
    flops: int | None
    """Floating-point operations at ``ModelReport.flops_at``; None where a size stays unknown."""
    runtimes: tuple[Verdict, ...]
    """Who runs it on this machine."""
    targets: tuple[Verdict, ...]
    """Who takes it as it is, wherever it is installed."""
    problems: tuple[Problem, ...]

    @property
    def has_bias(self) -> bool:
        """Whether input 3 is there."""
        return "bias" in self.shapes

    @property
    def has_mask(self) -> bool:
        """Whether input 4 is there: DCNv2."""
        return "mask" in self.shapes


@dataclass(frozen=True)
class ModelReport:
    """An ONNX file as far as deformable convolutions are concerned."""

    path: str
    bytes: int
    """Of the file and of the weights beside it that it names."""
    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    metadata: Mapping[str, str]
    inputs: tuple[TensorReport, ...]
    outputs: tuple[TensorReport, ...]
    nodes: tuple[NodeReport, ...]
    flops: int | None
    """Floating-point operations of all convolutions, matrix products and deformable convolutions;
    None where a size of one of them stays unknown."""
    flops_at: Mapping[str, tuple[int, ...]]
    """The input sizes that operations were counted for."""

    def share(self, node: NodeReport) -> float | None:
        """A node's part of ``flops``, 0 .. 1; None where it cannot be told."""
        return None if node.flops is None or not self.flops else node.flops / self.flops

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        nodes = [asdict(node) | {"flops_share": self.share(node)} for node in self.nodes]
        return asdict(self) | {"nodes": nodes}


def _specs(entry: DeformableNode) -> list[TensorSpec | None] | None:
    """The inputs as the check sees them; None where a dtype is unknown."""
    if any(dtype_of(value) is None for value in entry.inputs.values()):
        return None
    specs: list[TensorSpec | None] = []
    for name in contract().inputs:
        if name not in entry.inputs:
            specs.append(None)
            continue
        shape = shape_of(entry.inputs[name])
        sizes = (
            None
            if shape is None
            else [dim if isinstance(dim, int) else UNKNOWN_DIM for dim in shape]
        )
        specs.append(TensorSpec(str(dtype_of(entry.inputs[name])), sizes))
    return specs


def _cuda_kernels(entry: DeformableNode, invalid: Problem | None) -> str:
    specs = None if entry.form == "foreign" or invalid else _specs(entry)
    if specs is None:
        return ""
    path = cuda_path(entry.attributes, specs)
    return path if contract().cuda_architectures or not path else NO_CUDA_KERNELS


def static_problem(entry: DeformableNode) -> Problem | None:
    """What the runtime's own check will say, as far as it can be known before running."""
    cure = "correct the model, and export it again"
    for name, kind in entry.mistyped.items():
        given = entry.node.attributes[name]
        return Problem(
            f"no runtime accepts it: attribute {name} is {given} ({given.type.name}), expected "
            f"{kind.name}",
            cure,
        )
    specs = _specs(entry)
    if specs is None:
        return None
    try:
        check(entry.attributes, specs)
    except ValueError as error:
        return Problem(f"no runtime accepts it: {error}", cure)
    return None


def _problems(entry: DeformableNode, invalid: Problem | None) -> tuple[Problem, ...]:
    found = []
    if entry.form == "foreign":
        return (
            Problem(
                f"{entry.op} is another project's operator, which nothing here runs",
                "rewrite the file with dcn-deploy convert",
            ),
        )
    if entry.form == "custom":
        found.append(
            Problem(
                "it has no function body: where this project's library is not registered, the "
                "model does not load",
                "serve it with the library, or rewrite the file with dcn-deploy convert",
            )
        )
    if "mask" in entry.inputs and "bias" not in entry.inputs:
        found.append(
            Problem(
                "it has a mask and no bias: TensorRT's parsers, and onnxruntime up to 1.23 where "
                "it infers shapes, crash on the gap between them",
                "rewrite the file with dcn-deploy convert, which adds a bias of zeros",
            )
        )
    return (*found, invalid) if invalid else tuple(found)


def _runtimes(entry: DeformableNode, invalid: Problem | None) -> tuple[Verdict, ...]:
    dtype = dtype_of(entry.inputs["input"]) if "input" in entry.inputs else None
    verdicts = (availability.ours(entry.form), availability.stock(entry.form, dtype))
    if invalid is None:
        return verdicts
    return tuple(Verdict(verdict.runtime, False, invalid.what) for verdict in verdicts)


def _node_report(entry: DeformableNode, path: Path) -> NodeReport:
    shapes = {name: shape_of(value) for name, value in entry.inputs.items()}
    dtype = dtype_of(entry.inputs["input"]) if "input" in entry.inputs else None
    weight = entry.inputs.get("weight")
    foreign = entry.form == "foreign"
    invalid = None if foreign else static_problem(entry)
    return NodeReport(
        name=entry.name,
        op=entry.op,
        form=entry.form,
        scope=entry.scope,
        origin=origin_of(entry.node),
        dtype=dtype,
        # Another project's operator may order its inputs in any way.
        shapes={"output": shape_of(entry.output)} | ({} if foreign else shapes),
        attributes={} if foreign else entry.attributes,
        constant_weight=not foreign and weight is not None and is_constant(weight),
        cuda_kernels=_cuda_kernels(entry, invalid),
        valid=invalid is None,
        flops=None,
        runtimes=_runtimes(entry, invalid),
        targets=targets(
            NodeFacts(
                path,
                entry.form,
                dtype,
                entry.attributes,
                "mask" in entry.inputs,
                "bias" in entry.inputs,
                invalid.what if invalid else "",
            )
        ),
        problems=_problems(entry, invalid),
    )


def inspect_model(
    source: str | os.PathLike[str], *, sizes: Mapping[str, Sequence[int]] | None = None
) -> ModelReport:
    """Describe the deformable convolutions of an ONNX file.

    Nodes inside model-local functions are listed once for every call, nodes inside If, Loop and
    Scan with the node that holds them.

    Args:
        source: the file
        sizes: of inputs, by name, to count operations for; default: what the file says, and where
            that is dynamic batch 1 and 256 for anything else

    Raises:
        ModelFileError: the file is not there, or is not a whole ONNX model.
        InputError: ``sizes`` do not fit the file's inputs.
    """
    model = load(source)
    size = os.path.getsize(source)
    size += sum(os.path.getsize(file) for file in {t.path for t in external_tensors(model)})
    prepare(model)
    entries = deformable_nodes(model)
    nodes = [_node_report(entry, Path(source)) for entry in entries]
    inputs, outputs = (
        tuple(map(_tensor_report, values)) for values in (model.graph.inputs, model.graph.outputs)
    )
    # From here on the model has other shapes: those that are counted for.
    flops_at = flops.fix_sizes(model, sizes)
    counts = flops.count(model)
    known = [value for value in counts.values() if value is not None]
    return ModelReport(
        path=os.fspath(source),
        bytes=size,
        ir_version=model.ir_version,
        opsets=dict(model.opset_imports),
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))),
        metadata=dict(model.metadata_props),
        inputs=inputs,
        outputs=outputs,
        nodes=tuple(
            replace(node, flops=counts[entry.node])
            for node, entry in zip(nodes, entries, strict=True)
        ),
        flops=sum(known) if len(known) == len(counts) else None,
        flops_at=flops_at,
    )


def _tensor_report(value: ir.Value) -> TensorReport:
    return TensorReport(str(value.name), dtype_of(value), shape_of(value))
