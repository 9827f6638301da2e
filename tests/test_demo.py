"""The demo on handwritten digits: it runs, agrees with itself, and draws what the op does."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.image as pyplot_image
import pytest
import torch
from rich.console import Console

import dcn_deploy
from dcn_deploy import DeformConv2d, availability
from dcn_deploy.runtimes.tensorrt.host import gpu_problem

DIGITS = Path(__file__).parents[1] / "export_examples" / "digits"
sys.path.append(str(DIGITS))

import comparison  # noqa: E402
import data  # noqa: E402
import demo  # noqa: E402
import picture  # noqa: E402
import report  # noqa: E402
import training  # noqa: E402


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A quick run of the demo: the folder that it wrote, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, DIGITS / "demo.py", "--quick", "--threads", "1", "--out", out]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return out, run.stdout


def test_demo_writes_these_files_and_no_other(finished: tuple[Path, str]) -> None:
    out, _ = finished
    assert sorted(path.name for path in out.iterdir()) == [
        "digits.engine",
        "digits.onnx",
        "report.json",
        "where_it_looks.png",
    ]


def test_demo_prints_one_row_for_each_runtime(finished: tuple[Path, str]) -> None:
    _, printed = finished
    for runtime in (comparison.EAGER, availability.OURS, availability.STOCK):
        assert f"\n {runtime} " in printed or f"\n{runtime} " in printed


def test_every_runtime_predicts_what_eager_predicts(finished: tuple[Path, str]) -> None:
    out, _ = finished
    runtimes = json.loads((out / "report.json").read_text())["runtimes"]
    assert list(runtimes) == [comparison.EAGER, availability.OURS, availability.STOCK]
    if not availability.stock("portable", "float32").runs:
        assert runtimes.pop(availability.STOCK)["reason"]
    for result in runtimes.values():
        assert result["differing_predictions"] == 0
        assert result["relative_error"] < 1e-5
        assert result["accuracy"] == runtimes[comparison.EAGER]["accuracy"] > 0.2
        assert all(ms > 0 for ms in result["ms_per_image"].values())
    assert runtimes[comparison.EAGER]["max_abs_error"] == 0


def test_report_says_what_was_run_and_on_what(finished: tuple[Path, str]) -> None:
    out, _ = finished
    facts = json.loads((out / "report.json").read_text())
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["machine"]["processor"]
    assert facts["machine"]["threads"] == 1
    assert facts["data"]["training_scans"] + facts["data"]["test_images"] == 1797
    assert facts["onnx"]["bytes"] == (out / "digits.onnx").stat().st_size
    assert facts["verification"]["passed"]
    for layers in ("deformable", "plain"):
        losses = facts["training"][layers]["loss_by_epoch"]
        assert losses[-1] < losses[0]


def test_engine_is_built_of_the_trained_model(finished: tuple[Path, str]) -> None:
    out, printed = finished
    facts = json.loads((out / "report.json").read_text())
    assert facts["versions"]["tensorrt_rtx"] == importlib.metadata.version("tensorrt_rtx")
    built = facts["engine"]
    assert built["verification"]["passed"]
    assert built["engine"]["bytes"] == (out / "digits.engine").stat().st_size
    assert set(built["engine"]["nodes"]) <= set(built["precision"]["lowered"])
    deformable = [node.name for node in dcn_deploy.inspect(out / "digits.onnx").nodes]
    assert built["engine"]["nodes"] == deformable
    assert deformable
    end = " ".join(printed.split())
    assert "tensorrt_rtx" in end
    assert (gpu_problem() or "run it with dcn_deploy.TensorRTRunner") in end


def test_picture_shows_three_colours_of_points(finished: tuple[Path, str]) -> None:
    pixels = pyplot_image.imread(finished[0] / "where_it_looks.png")[..., :3]
    height, width, _ = pixels.shape
    assert height > 600
    assert width > 900
    for colour in picture._COLOURS:
        rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        share = (abs(pixels - rgb).max(axis=2) < 0.02).mean()
        assert 1e-3 < share < 0.1, colour


def test_training_and_test_scans_are_disjoint_and_stratified() -> None:
    train, test = data.load(seed=3)
    together = torch.cat((train.index, test.index))
    assert together.sort().values.equal(torch.arange(1797))
    for digit in range(10):
        share = (train.labels == digit).float().mean() - (test.labels == digit).float().mean()
        assert abs(share) < 0.01


def _spread(image: torch.Tensor) -> tuple[float, float, float, float]:
    """Centre (y, x) of the ink, and its standard deviations, in pixels from the middle."""
    middle = (data.CANVAS - 1) / 2
    at = torch.arange(data.CANVAS) - middle
    ink = image / image.sum()
    rows, columns = ink.sum(dim=1), ink.sum(dim=0)
    y, x = float((rows * at).sum()), float((columns * at).sum())
    spread_y, spread_x = (rows * (at - y) ** 2).sum() ** 0.5, (columns * (at - x) ** 2).sum() ** 0.5
    return y, x, float(spread_y), float(spread_x)


def _pose(angle: float, height: float, width: float) -> data.Poses:
    return data.Poses(torch.tensor([angle]), torch.tensor([[height, width]]))


def test_height_and_width_scale_on_their_own() -> None:
    scan = torch.zeros(1, 1, 8, 8)
    scan[..., 2:6, 2:6] = 1
    _, _, spread_y, spread_x = _spread(data.draw(scan, _pose(0, 0.9, 0.45))[0, 0])
    assert spread_y == pytest.approx(2 * spread_x, rel=0.05)


def test_scans_turn_clockwise() -> None:
    scan = torch.zeros(1, 1, 8, 8)
    scan[..., 0:2, 3:5] = 1  # at the top
    at_top = data.draw(scan, _pose(0, 0.8, 0.8))[0, 0]
    at_right = data.draw(scan, _pose(90, 0.8, 0.8))[0, 0]
    y, x, *_ = _spread(at_top)
    assert y < -5
    assert x == pytest.approx(0, abs=1e-3)
    torch.testing.assert_close(at_right, at_top.rot90(-1), atol=1e-4, rtol=0)


def test_poses_are_random_but_repeatable() -> None:
    poses = data.random_poses(500, torch.Generator().manual_seed(1))
    again = data.random_poses(500, torch.Generator().manual_seed(1))
    assert poses.angle.equal(again.angle)
    assert poses.scale.equal(again.scale)
    low, high = data.SCALES
    assert low <= poses.scale.min() < poses.scale.max() <= high
    assert poses.angle.min() < -0.9 * data.MAX_ANGLE
    assert 0.9 * data.MAX_ANGLE < poses.angle.max() <= data.MAX_ANGLE
    assert abs(float(torch.corrcoef(poses.scale.T)[0, 1])) < 0.2


def _asymmetric_layer() -> tuple[DeformConv2d, torch.Tensor]:
    """A layer with a 3x2 kernel, and offsets [12, 6, 9] for an input of 12x9."""
    layer = DeformConv2d(2, 2, (3, 2), stride=(2, 1), padding=(1, 0, 2, 1), dilation=(2, 1))
    offset = torch.rand(12, 6, 9, generator=torch.Generator().manual_seed(5)) - 0.5
    return layer.requires_grad_(False), offset


def test_drawn_points_are_where_the_op_samples() -> None:
    """On an input whose values are its own coordinates, a kernel of one tap returns its sample."""
    layer, offset = _asymmetric_layer()
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing="ij")
    coordinates = torch.stack((rows, columns))[None]
    assert layer.bias is not None
    layer.bias.zero_()
    position = (2, 4)  # none of its samples touches the border
    points = picture.sampled_points(layer, offset, position)
    assert points.shape == (6, 2)
    for tap in range(6):
        layer.weight.zero_()
        layer.weight.flatten(2)[range(2), range(2), tap] = 1
        sampled = layer(coordinates, offset[None])[0, :, position[0], position[1]]
        torch.testing.assert_close(points[tap], sampled, atol=1e-5, rtol=0)


def test_an_offset_moves_its_own_point_along_its_own_axis() -> None:
    layer, offset = _asymmetric_layer()
    before = picture.sampled_points(layer, offset, (1, 3))
    offset[2 * 4, 1, 3] += 1.5  # y of tap 4
    moved = picture.sampled_points(layer, offset, (1, 3)) - before
    expected = torch.zeros(6, 2)
    expected[4, 0] = 1.5
    torch.testing.assert_close(moved, expected)


def test_positions_lie_on_ink_and_apart() -> None:
    ink = torch.zeros(8, 6)
    ink[1, 2] = ink[1, 3] = ink[6, 1] = ink[6, 5] = 1.0
    assert picture.positions_on_ink(ink, 3) == [(1, 2), (6, 5), (6, 1)]


def _constant(*logits: float) -> comparison.Runner:
    row = torch.tensor([logits])
    return lambda images: row.expand(len(images), -1).numpy()


def test_comparison_counts_predictions_that_differ() -> None:
    runners: dict[str, comparison.Runner | comparison.NotRun] = {
        comparison.EAGER: _constant(0.0, 3.0, 4.0),
        "close": _constant(0.0, 3.0, 4.5),
        "wrong": _constant(5.0, 3.0, 4.0),
        "absent": comparison.NotRun("too old"),
    }
    images, labels = torch.zeros(70, 1, 2, 2).numpy(), torch.full((70,), 2).numpy()
    results = comparison.compare(runners, images, labels, rounds=1, on_round=lambda: None)
    close, wrong = results["close"], results["wrong"]
    assert isinstance(close, comparison.Measured)
    assert isinstance(wrong, comparison.Measured)
    assert (close.differing_predictions, close.accuracy) == (0, 1.0)
    assert (close.max_abs_error, close.relative_error) == pytest.approx((0.5, 0.1))
    assert (wrong.differing_predictions, wrong.accuracy) == (70, 0.0)
    assert results["absent"] == comparison.NotRun("too old")
    assert comparison.differing_predictions(results) == 70

    console = Console(width=80)
    with console.capture() as captured:
        console.print(comparison.as_table(results, 70, 2048))
    shown = captured.get()
    assert "not run: too old" in shown
    assert "100.0%       0  5.0e-01  1.0e-01" in shown


def test_a_runtime_that_predicts_otherwise_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runners = comparison.runners

    def with_wrong_one(*args: object) -> dict[str, comparison.Runner | comparison.NotRun]:
        found = runners(*args)
        right = found[comparison.EAGER]
        return {comparison.EAGER: right, availability.OURS: lambda images: -right(images)}

    monkeypatch.setattr(comparison, "runners", with_wrong_one)
    monkeypatch.setattr(training, "train", lambda *args, **kwargs: None)
    threads = str(torch.get_num_threads())
    options = ["--quick", "--threads", threads, "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["demo.py", *options])
    assert demo.main() == 1
    assert "predictions differ" in capsys.readouterr().out
    found = json.loads((tmp_path / "report.json").read_text())["runtimes"][availability.OURS]
    assert found["differing_predictions"] > 400


def test_a_file_that_could_not_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        report.write(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
