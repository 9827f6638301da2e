"""Where the pictures say that a layer looks, against offsets that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import user_folder
from matplotlib.collections import PathCollection
from matplotlib.quiver import Quiver
from PIL import Image
from test_offsets import node

import dcn_deploy
from dcn_deploy.inspection import TensorReport
from dcn_deploy.model_inputs import InputError
from dcn_deploy.sampling.colours import mask_colour
from dcn_deploy.sampling.figure import draw
from dcn_deploy.sampling.pictures import Picture, as_input, as_picture, load_picture
from dcn_deploy.sampling.points import sample_points

HEIGHT, WIDTH = 27, 44  # three and four times the base case's 9 x 11


def shifted(dy: float, dx: float, group: int) -> torch.Tensor:
    """Offsets of zero, but (dy, dx) in one group."""
    offset = torch.zeros_like(node().inputs["offset"])
    taps = offset.shape[1] // 2 // 3
    offset[:, group * 2 * taps : (group + 1) * 2 * taps : 2] = dy
    offset[:, group * 2 * taps + 1 : (group + 1) * 2 * taps : 2] = dx
    return offset


def test_arrows_in_the_pixels_of_the_picture() -> None:
    run = node(shifted(0.5, -2.0, group=1))
    points = sample_points(run, HEIGHT, WIDTH, image=1, group=1, rows=3)
    assert (points.group, points.groups) == (1, 3)
    np.testing.assert_allclose(points.ends - points.starts, np.broadcast_to(
        [-2.0 * 4, 0.5 * 3], points.ends.shape
    ))  # fmt: skip
    still = sample_points(run, HEIGHT, WIDTH, group=2, rows=3)
    np.testing.assert_allclose(still.ends, still.starts)

    stride, pads, dilation = (run.attributes[name] for name in ("strides", "pads", "dilations"))
    for place, (row, column) in enumerate(points.outputs):
        for tap in range(points.starts.shape[1]):
            y = row * stride[0] - pads[0] + tap // 2 * dilation[0]
            x = column * stride[1] - pads[1] + tap % 2 * dilation[1]
            # The middle of the map's pixel is the middle of its patch of the picture.
            expected = ((x + 0.5) * 4 - 0.5, (y + 0.5) * 3 - 0.5)
            np.testing.assert_allclose(points.starts[place, tap], expected)


def test_masks_are_those_of_the_samples() -> None:
    run = node()
    points = sample_points(run, HEIGHT, WIDTH, image=1, group=2)
    mask = run.inputs["mask"]
    assert points.masks is not None
    for place, (row, column) in enumerate(points.outputs):
        np.testing.assert_array_equal(points.masks[place], mask[1, 12:, row, column])
    assert points.largest_mask == 1
    doubled = replace(run, inputs={**run.inputs, "mask": mask * 2})
    assert sample_points(doubled, HEIGHT, WIDTH).largest_mask == pytest.approx(
        2 * mask[0, :6].max().item(), rel=0.5
    )
    plain = replace(run, inputs={name: t for name, t in run.inputs.items() if name != "mask"})
    assert sample_points(plain, HEIGHT, WIDTH).masks is None


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"image": 2}, "image is 2, expected 0 .. 1"),
        ({"group": -1}, "group is -1, expected 0 .. 2"),
    ],
)
def test_what_is_not_there(choice: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_points(node(), HEIGHT, WIDTH, **choice)


def test_the_figure_shows_the_arrows() -> None:
    points = sample_points(node(), HEIGHT, WIDTH)
    picture = Picture("p", np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    axis = draw(picture, points).axes[0]
    (arrows,) = [one for one in axis.collections if isinstance(one, Quiver)]
    (dots,) = [one for one in axis.collections if isinstance(one, PathCollection)]
    shifts = (points.ends - points.starts).reshape(-1, 2)
    np.testing.assert_allclose(arrows.XY, points.starts.reshape(-1, 2))
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], axis=1), shifts)
    np.testing.assert_allclose(dots.get_offsets(), points.ends.reshape(-1, 2))
    assert points.masks is not None
    lightness = np.asarray(dots.get_facecolors())[:, :3].sum(axis=1)
    order = points.masks.reshape(-1).argsort()
    assert (np.diff(lightness[order]) >= -0.05).all()  # dim where a sample hardly counts


def test_colours_of_masks() -> None:
    assert mask_colour(0.0) == mask_colour(-1.0) != mask_colour(1.0) == mask_colour(3.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """The user folder's model, and the folder with its model.onnx."""
    return user_folder.build_model(), user_folder.make(tmp_path_factory.mktemp("user"))


def test_pngs_of_a_module_and_of_its_file(
    made: tuple[torch.nn.Module, Path], tmp_path: Path
) -> None:
    model, folder = made
    image = torch.rand(2, 3, 40, 56)
    (of_module,) = dcn_deploy.plot_sampling(model, image, tmp_path / "module", image=1)
    (of_file,) = dcn_deploy.plot_sampling(folder / "model.onnx", image, tmp_path / "file", image=1)
    assert of_module.name == "0_dcn_deploy_deform_conv2d_0.png"
    one, other = (
        np.asarray(Image.open(path).convert("RGB"), float) for path in (of_module, of_file)
    )
    assert one.shape == other.shape
    assert one.shape[1] == 1080
    # The same arrows; only the titles differ.
    height = one.shape[0]
    assert np.abs(one[height // 8 :] - other[height // 8 :]).mean() < 1


def test_plots_that_cannot_be(made: tuple[torch.nn.Module, Path], tmp_path: Path) -> None:
    model, folder = made
    image = torch.rand(1, 3, 40, 56)
    plot = dcn_deploy.plot_sampling
    with pytest.raises(InputError, match="no deformable node 'x'; it has dcn_deploy::deform"):
        plot(model, image, tmp_path / "p", nodes=["x"])
    with pytest.raises(InputError, match="has no deformable convolution"):
        plot(torch.nn.ReLU(), image, tmp_path / "p")
    with pytest.raises(InputError, match=r"x\.npy: not a picture"):
        plot(model, image, tmp_path / "p", picture=folder / "x.npy")
    with pytest.raises(InputError, match="does not run"):
        plot(folder / "model.onnx", torch.rand(1, 4, 40, 56), tmp_path / "p")
    with pytest.raises(ValueError, match="image is 3"):
        plot(model, image, tmp_path / "p", image=3)
    assert not (tmp_path / "p").exists()


def test_a_picture_becomes_an_input(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
    Image.fromarray(pixels).save(tmp_path / "p.png")
    picture = load_picture(tmp_path / "p.png")
    np.testing.assert_array_equal(picture.pixels, pixels)
    spec = TensorReport("x", "float16", ("N", 3, "H", "W"))
    tensor = as_input(picture, spec, [0.5, 0.25, 0.0], [2.0])
    assert tensor.dtype == torch.float16
    expected = (pixels.transpose(2, 0, 1) / 255 - np.reshape([0.5, 0.25, 0.0], (3, 1, 1))) / 2
    np.testing.assert_allclose(tensor[0].double().numpy(), expected, atol=1e-3)
    assert load_picture(tmp_path / "p.png", (4, 5)).pixels.shape == (4, 5, 3)

    grey = as_input(picture, TensorReport("x", "float32", (1, 1, None, None)), [0.0], [1.0])
    np.testing.assert_allclose(grey[0, 0], pixels.mean(axis=2) / 255, rtol=1e-6)
    with pytest.raises(InputError, match="mean has 2 values, expected 1 or 3"):
        as_input(picture, spec, [0.0, 0.0], [1.0])
    with pytest.raises(InputError, match=r"input 'x' is float32 \[N, 7\]"):
        as_input(picture, TensorReport("x", "float32", ("N", 7)), [0.0], [1.0])


def test_a_tensor_becomes_a_picture() -> None:
    tensor = torch.tensor([[[0.0, 2.0]], [[1.0, 1.0]], [[-2.0, float("nan")]]])
    pixels = as_picture(tensor, "p").pixels
    np.testing.assert_array_equal(pixels[0], [[128, 191, 0], [255, 191, 128]])
    assert as_picture(torch.zeros(5, 2, 2), "p").pixels.shape == (2, 2, 3)
