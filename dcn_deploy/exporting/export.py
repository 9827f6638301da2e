"""``dcn_deploy.export``: capture, bring into form, check, verify, publish."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from onnxscript.version_converter import convert_version

from ..call_arguments import in_order
from ..inspection import inspect_model
from ..verification import VerificationReport
from ..verification import verify as verify_file
from ..verification.eager import tensors_in
from . import files
from .capture import EXPORTERS, Exporter, capture
from .checks import as_export_error, check_model, check_names, check_opset, check_path
from .conversion import converted
from .forms import FORMS, Form, to_form
from .metadata import sign
from .node import ExportError
from .report import ExportReport
from .request import DynamicShapes, Request

DEFAULT_OPSET = 20
"""The newest that both exporters write, and that onnxruntime 1.17 reads."""
BFLOAT16_OPSET = 22
"""The first whose convolutions take bfloat16, the deformable one included."""


def export(
    model: torch.nn.Module,
    args: tuple[Any, ...] | torch.Tensor,
    path: str | os.PathLike[str],
    *,
    kwargs: Mapping[str, Any] | None = None,
    form: Form = "portable",
    exporter: Exporter = "dynamo",
    opset_version: int | None = None,
    dynamic_shapes: DynamicShapes | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    external_data: bool | None = None,
    verify: bool = True,
) -> ExportReport:
    """Write a model with deformable convolutions to an ONNX file, and verify it.

    Deformable convolutions may be dcn_deploy's, or of a library that ``dcn_deploy.convert`` knows:
    the model is converted in place meanwhile, so do not use it in another thread, and is afterwards
    what it was. It is exported in eval mode, whichever mode it is in, and on the device that it is
    on. ``path`` holds the new model only once everything below has succeeded; until then it is as
    it was.

    ``torch.onnx.export`` itself works too once dcn_deploy is imported; it writes the custom form,
    and verifies nothing.

    Args:
        model: the trained model, of dtype float32, float16, bfloat16 or float64
        args: example inputs; a single tensor may stand alone
        path: the file to write
        kwargs: example inputs that forward takes by name
        form: "portable" for nodes that run in our kernel where it is and in the runtime's own
            DeformConv elsewhere; "custom" for nodes that only our kernel runs; "standard" for the
            ONNX operator DeformConv
        exporter: "dynamo" (torch.export) or "torchscript" (tracing)
        opset_version: 19 or newer (the custom form: any the exporter writes). Default: 20, the
            newest that both exporters write, and that the oldest supported onnxruntime reads; 22
            for bfloat16, which DeformConv takes from there on
        dynamic_shapes: for each input, by its position, forward's name for it or the file's, the
            dimensions that vary, {0: "N", 2: "H", 3: "W"}, by a name or a torch.export.Dim
        input_names: the file's; default: forward's own
        output_names: the file's
        external_data: weights in a second file, ``path`` + ".data". Default: above 2 GB only.
            Without it, a file of that name, which was an older model's, is removed
        verify: compare the file's outputs with the model's own, and those of a converted model
            with those of the model as given, where that runs here. Where no runtime of this machine
            can run the file (onnxruntime has no bfloat16 convolutions on the CPU), it is written
            all the same, with a warning.

    Returns:
        What was written; print it.

    Raises:
        ValueError, TypeError: an argument is not one of those listed here; nothing was done.
        ConversionError: a layer of another library cannot be converted exactly.
        ExportError: the model could not be exported, or the result is not valid ONNX.
        OSError: the file could not be written.
        VerificationError: the file computes something else than the model. With ``verify=False``
            it would be written all the same.
    """
    _require("form", form, FORMS)
    _require("exporter", exporter, EXPORTERS)
    opset = DEFAULT_OPSET if opset_version is None else opset_version
    check_model(model)
    check_opset(opset, form)
    path = Path(path)
    check_path(path)
    args = args if isinstance(args, tuple) else (args,)
    check_names(input_names, output_names, len(tensors_in((args, kwargs))))
    request = Request(
        model,
        args,
        in_order(model, kwargs or {}),
        opset,
        dynamic_shapes,
        input_names,
        output_names,
    )
    with (
        files.staging(path) as folder,
        as_export_error(),
        converted(request, compare=verify) as conversion,
    ):
        captured = capture(request, exporter, folder)
        if output_names and len(output_names) > len(captured.graph.outputs):
            raise ExportError(
                f"output_names holds {len(output_names)} names, expected at most "
                f"{len(captured.graph.outputs)}: one for each tensor that the model returns"
            )
        if opset < BFLOAT16_OPSET and _uses_bfloat16(captured):
            if opset_version is not None:
                raise ExportError(
                    f"opset_version is {opset}, expected at least {BFLOAT16_OPSET} for a model in "
                    "bfloat16: ONNX's convolutions take it from there on; raise opset_version"
                )
            convert_version(captured, BFLOAT16_OPSET)
        sign(to_form(captured, form), form, exporter)
        staged = folder / path.name
        files.write(captured, staged, external_data)
        _check(staged)
        verification = _verify(staged, path, request) if verify else None
        written = inspect_model(staged)
        files.publish(staged, path)
    model_report = replace(written, path=str(path))
    return ExportReport(path, form, exporter, model_report, verification, conversion)


def _require(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")


def _uses_bfloat16(model: ir.Model) -> bool:
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    values += [output for node in model.graph.all_nodes() for output in node.outputs]
    return any(value.dtype == ir.DataType.BFLOAT16 for value in values)


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported model is not valid ONNX: {error}") from error


def _verify(staged: Path, path: Path, request: Request) -> VerificationReport:
    report = verify_file(
        staged,
        request.model,
        request.args,
        request.kwargs,
        name=str(path),
        input_names=list(request.file_names().values()),
    )
    if all(side.status == "not run" for side in report.sides):
        warnings.warn(f"exported, but not verified: {report.summary}", stacklevel=3)
    else:
        report.raise_if_failed()
    return report
