"""Export a model of your own that learns its offsets, and run the file.

python export_examples/own_model.py [--out DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

import dcn_deploy


class Classifier(nn.Module):
    """A small image classifier with two modulated deformable layers (DCNv2)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            dcn_deploy.DeformConv2d(16, 32, 3, padding=1, modulated=True),
            nn.ReLU(),
            dcn_deploy.DeformConv2d(32, 32, (3, 5), (2, 1), (1, 2), modulated=True, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean((2, 3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the file")
    path: Path = parser.parse_args().out / "own_model.onnx"

    model = Classifier()  # train it, or load your weights, here
    image = torch.randn(1, 3, 64, 48)
    # It exports in eval mode, checks the file, and compares what it computes with the model.
    report = dcn_deploy.export(model, image, path, input_names=["image"], output_names=["scores"])
    print(report)

    session = dcn_deploy.ort_session(path)
    (scores,) = session.run(["scores"], {"image": image.numpy()})
    with torch.no_grad():
        difference = (torch.from_numpy(scores) - model.eval()(image)).abs().max()
    print(f"onnxruntime with dcn_deploy's kernel: largest difference from eager {difference:.1e}")


if __name__ == "__main__":
    main()
