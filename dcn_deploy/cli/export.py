"""``dcn-deploy export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ..call_arguments import by_name
from ..exporting import export as export_model
from ..exporting.capture import Exporter
from ..exporting.forms import Form
from ..model_inputs import InputError
from .dynamic import dynamic_shapes
from .eager import load_eager
from .example_inputs import example_inputs
from .inputs import SeedOption
from .output import JsonOption, emit, errors


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="package.module:callable that is or returns an nn.Module (looked for from the "
            "current folder too).",
            show_default=False,
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input",
            help="Size of an example input, 1x3x512x512, filled with random numbers, or an array, "
            "x.npy; for forward's arguments in order, or name=1x3x512x512. Repeat it for more.",
            show_default=False,
        ),
    ],
    path: Annotated[
        Path,
        typer.Option("--output", "-o", help="ONNX file to write.", show_default=False),
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights: a state dict that torch.save wrote. It can run no code.",
            show_default=False,
        ),
    ] = None,
    unsafe_checkpoint: Annotated[
        bool,
        typer.Option(
            "--unsafe-checkpoint",
            help="Read any checkpoint, as a pickle: that runs whatever code is in the file, with "
            "your rights. Only for files that you trust as you trust a program.",
        ),
    ] = False,
    dynamic: Annotated[
        str | None,
        typer.Option(
            help="Sizes that may vary: batch,height,width. Other dimensions by their number, "
            "frames=1. A model that takes only multiples wants them named, 32*height.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            help="portable: our node, with ONNX's DeformConv as its body; custom: our node alone; "
            "standard: DeformConv; decomposed: for runtimes that have neither, plain operators.",
        ),
    ] = "portable",
    exporter: Annotated[
        Exporter, typer.Option(help="dynamo (torch.export) or torchscript (tracing).")
    ] = "dynamo",
    opset: Annotated[
        int | None, typer.Option(help="Of the standard operators.", show_default=False)
    ] = None,
    input_name: Annotated[
        list[str] | None,
        typer.Option(help="The file's name for an input, in order.", show_default=False),
    ] = None,
    output_name: Annotated[
        list[str] | None,
        typer.Option(help="The file's name for an output, in order.", show_default=False),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(" /--no-verify", help="Write the file without comparing it with the model."),
    ] = True,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Export a PyTorch model to an ONNX file, and verify it.

    Its deformable layers may be dcn_deploy's, torchvision's, mmcv's, detectron2's or DCNv2's. Exit
    code 1 if the model cannot be exported, or the file computes something else.

    Example: dcn-deploy export mypkg.models:build_model --checkpoint w.pth --input 1x3x64x64
    --dynamic batch,height,width -o m.onnx
    """
    if unsafe_checkpoint and checkpoint is None:
        raise InputError("--unsafe-checkpoint says how to read --checkpoint: give that too")
    module = load_eager(model, checkpoint, option="model", unsafe=unsafe_checkpoint).eval()
    args, kwargs = example_inputs(inputs, module, seed)
    try:
        tensors = by_name(module, args, kwargs)
    except TypeError as error:
        raise InputError(f"--input: {model} cannot be called with these: {error}") from error
    shapes = None
    if dynamic is not None:
        shapes = dynamic_shapes(dynamic, tensors, multiples=exporter == "dynamo")
    try:
        with errors.status("exporting"):
            report = export_model(
                module,
                args,
                path,
                kwargs=kwargs,
                form=form,
                exporter=exporter,
                opset_version=opset,
                dynamic_shapes=shapes,
                input_names=input_name or None,
                output_names=output_name or None,
                verify=verify,
            )
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    emit(Text(str(report)), report.to_dict(), as_json=as_json)
