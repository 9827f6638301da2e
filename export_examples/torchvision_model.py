"""Export a model that calls torchvision.ops.deform_conv2d, without a change to the model.

    python export_examples/torchvision_model.py [--out DIR]

torchvision has no build beside a CPU-only torch; there the model takes dcn_deploy.deform_conv2d,
which has the same arguments.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

import dcn_deploy

try:
    from torchvision.ops import deform_conv2d
except (ImportError, RuntimeError):  # RuntimeError: a torchvision that was built for another torch
    from dcn_deploy import deform_conv2d


class DeformableBlock(nn.Module):
    """As published models write it: offsets and a mask of 0 .. 2 from convolutions, no bias."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.padding = kernel // 2
        self.offset = nn.Conv2d(channels, 2 * kernel**2, kernel, padding=self.padding)
        self.modulator = nn.Conv2d(channels, kernel**2, kernel, padding=self.padding)
        self.weight = nn.Parameter(torch.randn(channels, channels, kernel, kernel) / channels)

    def forward(self, image: Tensor) -> Tensor:
        offset = self.offset(image)
        mask = 2 * torch.sigmoid(self.modulator(image))
        padding = (self.padding, self.padding)
        return deform_conv2d(image, offset, self.weight, None, padding=padding, mask=mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the files")
    folder: Path = parser.parse_args().out

    print(f"the model calls {deform_conv2d.__module__}.deform_conv2d")
    model = nn.Sequential(DeformableBlock(8), nn.ReLU(), DeformableBlock(8, kernel=7))
    image = torch.randn(2, 8, 32, 24)
    # One file runs everywhere; "standard" is for runtimes that know nothing but ONNX's operators.
    for form in ("portable", "standard"):
        path = folder / f"torchvision_{form}.onnx"
        print(dcn_deploy.export(model, image, path, form=form))


if __name__ == "__main__":
    main()
