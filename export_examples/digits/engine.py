"""The exported model as a TensorRT engine in float16, built on any machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text
from torch import Tensor

import dcn_deploy
from dcn_deploy.runtimes.tensorrt.host import gpu_problem

BATCHES = (1, 32, 256)
"""Smallest, usual and largest."""


def build(onnx_path: Path, engine_path: Path, images: Tensor) -> dcn_deploy.BuildReport | str:
    """Build the engine, or say why there is none.

    Args:
        onnx_path: the model, of an input "x" with a free batch
        engine_path: the file to write
        images: [N, 1, H, W], on which the float16 model is compared with the original
    """
    size = tuple(images.shape[1:])
    try:
        return dcn_deploy.build(
            onnx_path,
            engine_path,
            precision="float16",
            args=(images,),
            profiles={"x": tuple((batch, *size) for batch in BATCHES)},
        )
    except ImportError as error:
        return str(error)


def facts(built: dcn_deploy.BuildReport | str) -> dict[str, Any]:
    """For the report."""
    return {"reason": built} if isinstance(built, str) else built.to_dict()


def as_text(built: dcn_deploy.BuildReport | str) -> RenderableType:
    """What was built; whether it ran is not for this machine to say unless it has a GPU."""
    if isinstance(built, str):
        return Text(f"no TensorRT engine: {built}", "yellow")
    assert built.precision is not None
    assert built.verification is not None
    problem = gpu_problem()
    where = f"it was not run: {problem}" if problem else "run it with dcn_deploy.TensorRTRunner"
    return Text(
        f"{built.engine.tensorrt} built an engine of {built.engine.bytes / 1e6:.1f} MB: "
        f"{len(built.engine.nodes)} deformable layers in this project's plugin, "
        f"{len(built.precision.lowered)} nodes in float16 (checked in onnxruntime), "
        f"{len(built.precision.kept)} in float32; {where}"
    )
