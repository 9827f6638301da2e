"""``dcn_deploy.convert_onnx``: read, rewrite, check, verify, publish."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass
from onnxscript.version_converter import convert_version
from torch import Tensor

from ..contract import contract
from ..errors import ConversionError
from ..exporting import files
from ..exporting.export import BFLOAT16_OPSET
from ..exporting.forms import FORMS, LEAST_OPSET, Form, to_form
from ..exporting.metadata import least_ir_version
from ..exporting.node import plugin_attributes
from ..foreign import needs_sizes
from ..inspection import static_problem
from ..onnx_graph import DeformableNode, deformable_nodes, load, prepare
from ..precision import PRECISIONS, Precision, lower
from .check import Verification
from .errors import as_conversion_error
from .foreign_nodes import rewrite
from .gathers import fold
from .report import ConversionReport, ConvertedNode

_FOLDED = "nodes of deform_conv2d_onnx_exporter"


def convert_onnx(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    to: Form = "portable",
    precision: Precision | None = None,
    external_data: bool | None = None,
    verify: bool = True,
    inputs: Mapping[str, Tensor] | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> ConversionReport:
    """Rewrite the deformable convolutions of an ONNX file, whoever wrote it, and verify the result.

    Known are this project's forms, ONNX's DeformConv, the nodes of mmcv, mmdeploy, TensorRT's
    open-source plugins and forks of DCNv2, OpenVINO's DeformableConv2D, torchvision's operator
    where torch.onnx passed it through, and the many nodes that deform_conv2d_onnx_exporter writes
    for each. A node that is not understood in every attribute is an error. ``path`` holds the new
    model only once everything below has succeeded; until then it is as it was. The two may be one
    file.

    Args:
        source: the file to read
        path: the file to write
        to: "portable", "custom" or "standard", as for ``dcn_deploy.export``; or "decomposed", for
            runtimes that have no deformable convolution at all: operators of ONNX alone, GridSample
            among them
        precision: "float16" or "bfloat16" for data and weights of that type; offsets and what
            computes them, inputs and outputs stay float32
        external_data: weights in a second file, ``path`` + ".data". Default: above 2 GB only
        verify: compare the results of the two files; nodes that no runtime has are computed by the
            float64 reference
        inputs: tensors to compare them on, by input name; default: random ones
        sizes: of random inputs, by input name; default: what the file says, batch 1 and 64 pixels
            where that is dynamic
        seed: of the random inputs
        progress: called with a line of text as each step starts

    Returns:
        What was done; print it.

    Raises:
        ValueError: ``to`` or ``precision`` is not one of those listed here; nothing was done.
        ModelFileError: ``source`` is not a whole ONNX model.
        ConversionError: it has no deformable convolution, or one that is not understood, which the
            message names; or the result would not be valid ONNX.
        InputError: the source does not run on the inputs, or they cannot be made up.
        VerificationError: the result computes something else than the source.
        ImportError: onnxruntime is not installed, which verification needs.
        OSError: the file could not be written.
    """
    if to not in FORMS:
        raise ValueError(f"to is {to!r}, expected one of {', '.join(FORMS)}")
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    source, path = Path(source), Path(path)
    if path.is_dir():
        raise ValueError(f"path {path} is a folder, expected a file in one, model.onnx")
    with as_conversion_error(source):
        progress("reading")
        model = load(source)
        ir.external_data.load_to_model(model)
        source_opset = model.opset_imports.get("", 1)
        nodes = to_own_nodes(model)
        if not nodes:
            raise ConversionError(
                f"{source} has no deformable convolution: no node of a known project, and nothing "
                "that deform_conv2d_onnx_exporter wrote"
            )
        if precision is not None:
            progress(f"lowering to {precision}")
            _raise_opset(model, BFLOAT16_OPSET if precision == "bfloat16" else 1)
            lower(model, precision)
        _raise_opset(model, LEAST_OPSET[to])
        own = to_form(model, "custom").clone() if verify else None
        to_form(model, to)
        _sign(model, to, nodes)
        with files.staging(path) as folder:
            staged = folder / path.name
            progress("writing")
            files.write(model, staged, external_data)
            _check(staged)
            verification, reason = None, "not verified, as asked"
            if own is not None:
                task = Verification(staged, source, path, own, precision, progress)
                verification, reason = task.run(inputs or {}, sizes or {}, seed)
            files.publish(staged, path)
    if verify and verification is None:
        warnings.warn(f"converted, but not verified: {reason}", stacklevel=2)
    return ConversionReport(
        source,
        path,
        to,
        precision,
        model.opset_imports[""],
        source_opset,
        tuple(nodes),
        verification,
        reason,
    )


def to_own_nodes(model: ir.Model) -> list[ConvertedNode]:
    """Bring every deformable convolution into our custom form, in place; what each was before.

    Raises:
        ConversionError: one is not understood, or is invalid; the message names the node.
    """
    prepare(model)
    was = {entry.node: entry.op for entry in deformable_nodes(model) if entry.form != "foreign"}
    was |= dict.fromkeys(fold(model), _FOLDED)
    was |= _foreign_to_own(model)
    RemoveUnusedNodesPass()(model)
    RemoveUnusedOpsetsPass()(model)
    entries = deformable_nodes(model)
    for entry in entries:
        _require_valid(entry)
    to_form(model, "custom")
    return [ConvertedNode(entry.name, was[entry.node]) for entry in entries]


def _foreign_to_own(model: ir.Model) -> dict[ir.Node, str]:
    """The new nodes, and the operators that they were."""
    was: dict[ir.Node, str] = {}
    # One by one: the sizes of a node's inputs may follow from the node before it.
    while foreign := [entry for entry in deformable_nodes(model) if entry.form == "foreign"]:
        entry = foreign[0]
        if was and needs_sizes(entry):
            prepare(model)
        was[rewrite(entry)] = entry.op
    return was


def _require_valid(entry: DeformableNode) -> None:
    known = {*contract().attributes, *plugin_attributes()}
    problem = ""
    if unknown := set(entry.node.attributes) - known:
        problem = (
            f"it has the unknown attribute {', '.join(sorted(unknown))}, expected "
            f"{', '.join(contract().attributes)}"
        )
    elif len(entry.node.inputs) > len(contract().inputs):
        problem = f"it has {len(entry.node.inputs)} inputs, expected {', '.join(contract().inputs)}"
    elif found := static_problem(entry):
        problem = found.what
    if problem:
        raise ConversionError(f"node {entry.name!r} ({entry.op}): {problem}")


def _raise_opset(model: ir.Model, least: int) -> None:
    given = model.opset_imports.get("", 1)
    if given >= least:
        return
    problem = (
        f"the model is of opset {given}, what is asked for needs {least}, and onnx cannot convert "
        "it{}; ask for the custom form, or export it anew"
    )
    for name in ("onnxscript", "onnx_ir"):  # they announce which of two converters they take
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        convert_version(model, least, fallback=True)
    except Exception as error:  # the converter's own kinds
        raise ConversionError(problem.format(f": {error}")) from error
    if model.opset_imports.get("", 1) < least:
        raise ConversionError(problem.format(""))


def _sign(model: ir.Model, form: Form, nodes: Sequence[ConvertedNode]) -> None:
    """The file stays the work of whoever wrote it; what was done to it is added."""
    model.metadata_props.update(
        {
            "dcn_deploy.form": form,
            "dcn_deploy.op_version": str(contract().version),
            "dcn_deploy.converted_from": ", ".join(dict.fromkeys(node.was for node in nodes)),
        }
    )
    model.ir_version = max(model.ir_version, least_ir_version(model))


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"the converted model is not valid ONNX: {error}") from error
