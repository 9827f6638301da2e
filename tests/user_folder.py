"""A user's folder, with what the commands of the README and of --help speak of.

A new command's example names a file? Make it here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import dcn_deploy

MODELS = """
import torch
from torch import nn

import dcn_deploy

def build_model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        dcn_deploy.DeformConv2d(6, 8, (3, 2), padding=(1, 0), modulated=True),
    )
    for parameter in model[2].offset_conv.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model.eval()

if __name__ == "__main__":
    torch.save(build_model().state_dict(), "w.pth")
    dcn_deploy.export(
        build_model(),
        torch.randn(2, 3, 40, 56),
        "model.onnx",
        input_names=["image"],
        output_names=["features"],
        dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
        verify=False,
    )
"""


def build_model() -> torch.nn.Module:
    """The model of MODELS."""
    namespace: dict[str, Any] = {"__name__": "mypkg.models"}
    exec(MODELS, namespace)
    model: torch.nn.Module = namespace["build_model"]()
    return model


def add_package(folder: Path) -> None:
    """mypkg/models.py with build_model, and its weights w.pth."""
    (folder / "mypkg").mkdir()
    (folder / "mypkg" / "__init__.py").touch()
    (folder / "mypkg" / "models.py").write_text(MODELS)
    torch.save(build_model().state_dict(), folder / "w.pth")


def make(folder: Path) -> Path:
    """What a user may have: the package, its model.onnx and other.onnx, and inputs."""
    add_package(folder)
    dcn_deploy.export(
        build_model(),
        torch.randn(2, 3, 40, 56),
        folder / "model.onnx",
        input_names=["image"],
        output_names=["features"],
        dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
        verify=False,
    )
    (folder / "other.onnx").write_bytes((folder / "model.onnx").read_bytes())
    add_inputs(folder)
    return folder


def add_inputs(folder: Path) -> None:
    """x.npy, and a photo.jpg of two colours."""
    values = np.random.default_rng(0).random((1, 3, 40, 56), dtype=np.float32)
    np.save(folder / "x.npy", values)
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, 20:] = (200, 120, 40)
    pixels[30:] = (20, 90, 160)
    Image.fromarray(pixels).save(folder / "photo.jpg")
