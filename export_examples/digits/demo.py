"""Train, export, verify and compare on real data, show where the deformable layer looks, and build
a TensorRT engine.

    python export_examples/digits/demo.py [--out demo_out] [--epochs 70] [--threads 2] [--quick]

Exit code 0 if every runtime that runs here gives every test image the class that eager PyTorch
gives it, else 1.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import comparison
import data
import engine
import picture
import report
import torch
import training
from matplotlib.figure import Figure
from model import STEM_STRIDE, DigitNet
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

import dcn_deploy

SEED = 0
PICTURED_DIGITS = (2, 4, 7)


def main() -> int:
    """The whole story; returns the exit code."""
    options = _options()
    console = Console()
    options.out.mkdir(parents=True, exist_ok=True)
    onnx_path, engine_path, report_path, picture_path = (
        options.out / name
        for name in ("digits.onnx", "digits.engine", "report.json", "where_it_looks.png")
    )

    scans, test_scans = data.load(SEED)
    poses = data.random_poses(len(test_scans), torch.Generator().manual_seed(SEED))
    images, labels = data.draw(test_scans.images, poses), test_scans.labels
    console.print(
        f"{len(scans)} training scans, drawn in a new pose in every epoch; {len(labels)} test "
        f"images of {data.CANVAS}x{data.CANVAS} pixels, rotated by up to {data.MAX_ANGLE:.0f} "
        f"degrees, scaled to {data.SCALES[0]:.0%} .. {data.SCALES[1]:.0%}"
    )

    # Batches this small gain little from a second thread, and with one the trained weights do not
    # depend on the number of cores.
    torch.set_num_threads(1)
    models, trained = {}, {}
    with _progress(console) as progress:
        for layers in ("deformable", "plain"):
            torch.manual_seed(SEED)
            models[layers] = DigitNet(deformable=layers == "deformable")
            trained[layers] = _train(models[layers], layers, scans, options.epochs, progress)
            trained[layers]["test_accuracy"] = training.accuracy(models[layers], images, labels)
    for layers, facts in trained.items():
        console.print(
            f"with {layers} layers: {facts['test_accuracy']:.1%} of the test images right, "
            f"{facts['parameters']:,} parameters"
        )
    model = models["deformable"]

    torch.set_num_threads(options.threads)
    with console.status("exporting and verifying"):
        exported = dcn_deploy.export(model, images[:2], onnx_path, dynamic_shapes={"x": {0: "N"}})
    console.print(exported.verification)

    with _progress(console) as progress:
        task = progress.add_task("comparing runtimes", total=options.rounds, note="")
        results = comparison.compare(
            comparison.runners(model, onnx_path, options.threads),
            images.numpy(),
            labels.numpy(),
            rounds=options.rounds,
            on_round=lambda: progress.advance(task),
        )
    onnx_bytes = onnx_path.stat().st_size
    console.print(comparison.as_table(results, len(labels), onnx_bytes))

    with console.status("building a TensorRT engine"):
        built = engine.build(onnx_path, engine_path, images[:32])

    report.write(picture_path, _picture(model, images, labels, poses).savefig)
    facts = {
        "machine": report.machine(),
        "versions": report.versions(),
        "data": {
            "training_scans": len(scans),
            "test_images": len(labels),
            "canvas": data.CANVAS,
            "max_angle_degrees": data.MAX_ANGLE,
            "scales": data.SCALES,
            "seed": SEED,
        },
        "training": trained,
        "onnx": {"bytes": onnx_bytes, "form": exported.form, "opset": exported.opset},
        "verification": exported.verification.to_dict() if exported.verification else None,
        "runtimes": {name: asdict(result) for name, result in results.items()},
        "engine": engine.facts(built),
    }
    text = json.dumps(facts, indent=2) + "\n"
    report.write(report_path, lambda path: path.write_text(text))
    for path in (onnx_path, report_path, picture_path):
        console.print(f"wrote {path}")
    console.print(engine.as_text(built))
    if not isinstance(built, str):
        console.print(f"wrote {engine_path}")

    differing = comparison.differing_predictions(results)
    if differing:
        console.print(f"[bold red]{differing} predictions differ from eager PyTorch's")
    return 1 if differing else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder to write to")
    parser.add_argument("--epochs", type=int, default=70, help="of training (default: 70)")
    parser.add_argument("--threads", type=int, default=2, help="compared with (default: 2)")
    parser.add_argument("--rounds", type=int, default=8, help="of timing; the best counts")
    parser.add_argument("--quick", action="store_true", help="2 epochs, 1 round: all parts, badly")
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.rounds = 2, 1
    return options


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def _train(
    model: DigitNet, layers: str, scans: data.Scans, epochs: int, progress: Progress
) -> dict[str, Any]:
    """Train the model, and return what to report of that."""
    task = progress.add_task(f"training with {layers} layers", total=epochs, note="")
    losses: list[float] = []

    def on_epoch(loss: float) -> None:
        losses.append(loss)
        progress.update(task, advance=1, note=f"loss {loss:.3f}")

    start = time.perf_counter()
    training.train(model, scans, epochs=epochs, seed=SEED, on_epoch=on_epoch)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": epochs,
        "seconds": time.perf_counter() - start,
        "loss_by_epoch": losses,
    }


def _picture(model: DigitNet, images: Tensor, labels: Tensor, poses: data.Poses) -> Figure:
    """Where the first deformable layer looks, in the largest test image of a few digits."""
    layer = model.first.conv
    assert isinstance(layer, dcn_deploy.DeformConv2d)
    size = poses.scale.amin(dim=1)
    looks = []
    for digit in PICTURED_DIGITS:
        image = images[int(torch.where(labels == digit, size, 0).argmax())]
        with torch.no_grad():
            offset, mask = layer.learned(model.stem(image[None]))
        assert mask is not None
        looks.append(picture.Look(f'a "{digit}"', image[0], offset[0], mask[0]))
    return picture.draw(layer, looks, pitch=STEM_STRIDE)


if __name__ == "__main__":
    raise SystemExit(main())
