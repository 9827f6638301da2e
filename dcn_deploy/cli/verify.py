"""``dcn-deploy verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..inspection import inspect_model
from ..model_inputs import InputError
from ..verification import verify as verify_model
from ..verification.compare import RUNTIMES
from .eager import CheckpointOption, load_baseline
from .inputs import InputOption, SeedOption, SizeOption, gather
from .inspect import ModelArgument
from .output import CHECK_FAILED, JsonOption, emit, errors


def verify(
    model: ModelArgument,
    against: Annotated[
        str | None,
        typer.Option(
            help="What it should equal: another ONNX file, or package.module:callable that returns "
            "an nn.Module (looked for from the current folder too). Without it only the deformable "
            "nodes are compared, each with the float64 reference.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="onnxruntime, or tensorrt where there is a GPU; repeat it for both. Otherwise "
            "onnxruntime.",
            show_default=False,
        ),
    ] = None,
    inputs: InputOption = None,
    size: SizeOption = None,
    runs: Annotated[
        int, typer.Option(min=1, help="Sets of inputs; from the second on, random ones.")
    ] = 3,
    seed: SeedOption = 0,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Greatest ||a-b||/||b|| of an output; otherwise the dtype's.",
            show_default=False,
        ),
    ] = None,
    offsets: Annotated[
        bool,
        typer.Option(
            "--offsets",
            help="Measure the offsets on the given inputs, and warn where half precision cannot "
            "hold them.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that an ONNX file computes what a model computes.

    Compares every output and every deformable node, in onnxruntime with this project's library and
    in onnxruntime alone, or as a TensorRT engine, on several inputs; with other batch and image
    sizes too where the file's are dynamic. Exit code 1 if something differs, or if nothing could be
    compared.

    Example: dcn-deploy verify model.onnx --against mypkg.models:build_model --checkpoint w.pth
    --size 1x3x64x64

    Example: dcn-deploy verify model.onnx --offsets --input x.npy
    """
    runtimes = [name for name in RUNTIMES if name in (runtime or RUNTIMES[:1])]
    for name in runtime or ():
        if name not in RUNTIMES:
            raise InputError(f"--runtime {name}: expected {' or '.join(RUNTIMES)}")
    specs = inspect_model(model).inputs
    baseline = load_baseline(against, checkpoint)
    tensors = gather(specs, files=inputs, random=True, sizes=size, seed=seed)
    with errors.status("verifying") as status:
        report = verify_model(
            model,
            baseline,
            tuple(tensors.values()),
            runtimes=runtimes,
            runs=runs,
            seed=seed,
            tolerance=tolerance,
            offsets=offsets,
            progress=status.update,
        )
    emit(report, report.to_dict(), as_json=as_json)
    if not report.passed:
        raise typer.Exit(CHECK_FAILED)
