"""``dcn-deploy convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ..exporting.forms import Form
from ..inspection import inspect_model
from ..model_inputs import InputError
from ..precision import Precision
from ..rewriting import convert_onnx
from .inputs import InputOption, SeedOption, parse_sizes, read_inputs
from .output import JsonOption, emit, errors


def convert(
    source: Annotated[Path, typer.Argument(help="ONNX file to read.", show_default=False)],
    path: Annotated[
        Path, typer.Argument(help="ONNX file to write.", show_default=False, dir_okay=False)
    ],
    to: Annotated[
        Form,
        typer.Option(
            help="portable: our node, with ONNX's DeformConv as its body; custom: our node alone; "
            "standard: DeformConv; decomposed: for runtimes that have neither, plain operators.",
        ),
    ] = "portable",
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Data and weights in float16, offsets in float32.")
    ] = False,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Data and weights in bfloat16, offsets in float32.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(" /--no-verify", help="Write the file without comparing it with its source."),
    ] = True,
    inputs: InputOption = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            "--size",
            help="Size of a random input to verify on, where the model's is dynamic: 1x3x224x224 "
            "for the inputs in order, or name=1x3x224x224.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Rewrite the deformable convolutions of an ONNX file from anywhere, and verify the result.

    Takes ONNX's DeformConv, the nodes of mmcv, mmdeploy, TensorRT's plugins and DCNv2, and what
    deform_conv2d_onnx_exporter writes. Exit code 1 if the result computes something else.

    Example: dcn-deploy convert model.onnx out.onnx --to decomposed
    """
    if fp16 and bf16:
        raise typer.BadParameter("--fp16 and --bf16 exclude each other")
    precision: Precision | None = "float16" if fp16 else "bfloat16" if bf16 else None
    specs = inspect_model(source).inputs if inputs or size else ()
    tensors, sizes = read_inputs(inputs or [], specs), parse_sizes(size or [], specs)
    try:
        with errors.status("converting") as status:
            report = convert_onnx(
                source,
                path,
                to=to,
                precision=precision,
                verify=verify,
                inputs=tensors,
                sizes=sizes,
                seed=seed,
                progress=status.update,
            )
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error
    emit(Text(str(report)), report.to_dict(), as_json=as_json)
