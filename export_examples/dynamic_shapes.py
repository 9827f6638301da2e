"""Export with a free batch size, height and width, and serve the file with onnxruntime.

python export_examples/dynamic_shapes.py [--out DIR]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import dcn_deploy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the file")
    path: Path = parser.parse_args().out / "dynamic_shapes.onnx"

    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        dcn_deploy.DeformConv2d(16, 16, 3, padding=1, deformable_groups=4, modulated=True),
    )
    report = dcn_deploy.export(
        model,
        torch.randn(2, 3, 64, 48),
        path,
        dynamic_shapes=({0: "N", 2: "H", 3: "W"},),
        input_names=["image"],
        output_names=["features"],
    )
    print(report)

    # One session serves every size, and any number of threads may call it at once.
    session = dcn_deploy.ort_session(path, intra_op_num_threads=2)
    for batch, height, width in [(1, 64, 48), (4, 64, 48), (2, 96, 130)]:
        image = np.random.default_rng(0).standard_normal((batch, 3, height, width), np.float32)
        start = time.perf_counter()
        (features,) = session.run(None, {"image": image})
        milliseconds = (time.perf_counter() - start) * 1e3
        print(f"{list(image.shape)} -> {list(features.shape)} in {milliseconds:.1f} ms")


if __name__ == "__main__":
    main()
