"""``dcn-deploy export``: a model, its checkpoint and its sizes from the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command_line import BAD_INPUT, FAILED, OK, Call

import dcn_deploy
from dcn_deploy.cli.dynamic import dynamic_shapes
from dcn_deploy.exporting import dynamo
from dcn_deploy.model_inputs import InputError

MODELS = """
import torch
from torch import nn
from stand_ins.dcnv2 import DCN

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = DCN(3, 4, (3, 2), (2, 1), (1, 0), 1, 1)
        nn.init.normal_(self.layer.conv_offset_mask.bias)

    def forward(self, image, scale=None):
        y = self.layer(image)
        return y if scale is None else y * scale

class Half(nn.Module):
    # Takes only multiples of 4.
    def __init__(self):
        super().__init__()
        self.down = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(3, 3, 4, 2, 1)
        self.layer = DCN(3, 4, 3, 1, 1)

    def forward(self, image):
        half = self.down(image)
        return self.layer(self.up(self.down(half)) + half)

class Unknown(nn.Module):
    def forward(self, image):
        return DCNv4Function.apply(image, 3)

class DCNv4Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, kernel):
        return value

class Untraceable(nn.Module):
    def forward(self, image):
        return image * float(image.sum().item() > 0) if image.sum() > 0 else image

def build_model():
    torch.manual_seed(0)
    return Pair()

double = Pair().double()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "zoo.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("zoo", None)


@pytest.fixture
def call(folder: Path, cli: Call) -> Call:
    def export(*arguments: object, **more: Any) -> Any:
        return cli("export", *arguments, "-o", "m.onnx", **more)

    return export


def state() -> dict[str, Any]:
    """Weights for zoo.build_model, twice what it has itself."""
    import zoo  # type: ignore[import-not-found]

    return {name: 2 * value for name, value in zoo.build_model().state_dict().items()}


def sizes(path: str) -> list[list[Any]]:
    inputs = onnx.load(path).graph.input
    return [[d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in inputs]


def test_the_issue_in_one_line(folder: Path, call: Call) -> None:
    sys.path.insert(0, "")
    torch.save({"state_dict": state(), "epoch": 3}, "w.pth")
    result = call(
        "zoo:build_model", "--checkpoint", "w.pth", "--input", "1x3x12x14",
        "--dynamic", "batch,height,width",
    )  # fmt: skip
    assert result.code == OK, result.err
    assert "m.onnx agrees with eager Pair" in result.out
    assert "stand_ins.dcnv2._DCNv2 -> dcn_deploy, in layer" in result.out
    assert sizes("m.onnx") == [["batch", 3, "height", "width"]]

    import zoo

    model = zoo.build_model().eval()
    model.load_state_dict(state())
    image = torch.randn(2, 3, 9, 10)
    assert dcn_deploy.verify("m.onnx", model, image, runs=1).passed


def test_json(call: Call) -> None:
    result = call("zoo:build_model", "--input", "1x3x12x14", "--json")
    assert result.code == OK, result.err
    written = result.json
    assert written["path"] == "m.onnx"
    assert written["conversion"]["layers"][0]["path"] == "layer"
    assert written["verification"]["passed"]
    assert len(written["model"]["nodes"]) == 1


def test_several_inputs_by_order_name_and_file(call: Call) -> None:
    np.save("scale.npy", np.full((1, 4, 6, 13), 3, np.float64))
    arguments = ("zoo:double", "--input", "1x3x12x14", "--input", "scale=scale.npy", "--no-verify")
    result = call(*arguments, "--dynamic", "batch", "--input-name", "picture", "--output-name", "y")
    assert result.code == OK, result.err
    assert "not verified, as asked" in result.out
    model = onnx.load("m.onnx")
    assert [i.name for i in model.graph.input] == ["picture", "scale"]
    assert [o.name for o in model.graph.output] == ["y"]
    assert {i.type.tensor_type.elem_type for i in model.graph.input} == {onnx.TensorProto.DOUBLE}
    assert sizes("m.onnx") == [["batch", 3, 12, 14], ["batch", 4, 6, 13]]


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_sizes_that_are_multiples(exporter: str, call: Call) -> None:
    result = call(
        "zoo:Half", "--input", "1x3x16x24", "--dynamic", "batch,4*height,4*width",
        "--exporter", exporter, "--form", "custom",
    )  # fmt: skip
    assert result.code == OK, result.err
    session = dcn_deploy.ort_session("m.onnx")
    (output,) = session.run(None, {"image": np.ones((2, 3, 20, 8), np.float32)})
    assert output.shape == (2, 4, 10, 4)


def test_a_failure_with_dynamic_sizes_speaks_of_multiples(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch.export says of a model that takes only multiples, it seldom says plainly."""

    def capture(request: object) -> None:
        raise NotImplementedError("The inequality, Eq(x/4 - (((x/2)//2)), 0), cannot be solved")

    monkeypatch.setattr(dynamo, "capture", capture)
    result = call("zoo:Half", "--input", "1x3x16x24", "--dynamic", "height,width")
    assert result.code == FAILED
    assert "--dynamic 32*height" in result.err
    assert "32*height" not in call("zoo:Half", "--input", "1x3x16x24").err


class Runs:
    """A pickle that runs code."""

    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def test_a_checkpoint_runs_no_code_unless_asked_to(folder: Path, call: Call) -> None:
    sys.path.insert(0, "")
    torch.save({"state_dict": state(), "note": Runs()}, "w.pth")
    arguments = ("zoo:build_model", "--checkpoint", "w.pth", "--input", "1x3x9x9", "--no-verify")
    result = call(*arguments)
    assert result.code == BAD_INPUT
    assert not (folder / "ran").exists()
    assert "--checkpoint w.pth: it holds more than tensors, io.open" in result.err
    assert "--unsafe-checkpoint, which runs whatever code" in result.err
    assert call(*arguments, "--unsafe-checkpoint").code == OK
    assert (folder / "ran").exists()
    assert (folder / "m.onnx").exists()


def test_checkpoints_of_training_programs(folder: Path, call: Call) -> None:
    """DataParallel's prefix, and a whole module."""
    sys.path.insert(0, "")
    weights = state()
    torch.save({"model": {f"module.{name}": value for name, value in weights.items()}}, "w.pth")
    arguments = ("zoo:build_model", "--checkpoint", "w.pth", "--input", "1x3x9x9", "--no-verify")
    assert call(*arguments).code == OK
    wanted = onnx.load("m.onnx").graph.initializer
    import zoo

    model = zoo.build_model()
    model.load_state_dict(weights)
    torch.save(model, "w.pth")
    assert call(*arguments).code == BAD_INPUT
    assert call(*arguments, "--unsafe-checkpoint").code == OK
    found = onnx.load("m.onnx").graph.initializer
    assert [t.SerializeToString() for t in found] == [t.SerializeToString() for t in wanted]


WRONG = {
    "no_model": (["zoo", "--input", "1x3x9x9"], "model zoo: expected package.module:callable"),
    "no_module": (["nowhere:build", "--input", "1x3x9x9"], "model nowhere:build: ModuleNotFound"),
    "no_size": (["zoo:build_model", "--input", "axb"], "--input axb: expected a size, like"),
    "no_file": (["zoo:build_model", "--input", "x.npy"], "x.npy: no such file"),
    "no_argument": (
        ["zoo:build_model", "--input", "y=1x3x9x9"],
        "--input: zoo:build_model cannot be called with these: missing a required argument",
    ),
    "twice": (
        ["zoo:build_model", "--input", "image=1x3x9x9", "--input", "image=1x3x9x9"],
        "image was given before",
    ),
    "order": (
        ["zoo:build_model", "--input", "scale=1x1x1x1", "--input", "1x3x9x9"],
        "inputs in order come before those with a name",
    ),
    "dynamic": (
        ["zoo:build_model", "--input", "1x3x9x9", "--dynamic", "frames"],
        "--dynamic frames: which dimension is it? Write frames=1",
    ),
    "dynamic_text": (
        ["zoo:build_model", "--input", "1x3x9x9", "--dynamic", "batch,2"],
        "--dynamic 2: expected batch, height, width",
    ),
    "flag_alone": (
        ["zoo:build_model", "--input", "1x3x9x9", "--unsafe-checkpoint"],
        "--unsafe-checkpoint says how to read --checkpoint",
    ),
    "names": (
        ["zoo:build_model", "--input", "1x3x9x9", "--input-name", "a", "--output-name", "a"],
        "m.onnx: input_names and output_names hold a twice",
    ),
    "layer": (
        ["zoo:Unknown", "--input", "1x3x9x9"],
        "the model (zoo.Unknown) calls zoo.DCNv4Function: it takes (value, kernel), expected",
    ),
    "no_checkpoint": (
        ["zoo:build_model", "--input", "1x3x9x9", "--checkpoint", "w.pth"],
        "--checkpoint w.pth: no such file",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case: str, folder: Path, call: Call) -> None:
    arguments, message = WRONG[case]
    result = call(*arguments)
    assert result.code == BAD_INPUT, result.err
    assert message in result.err
    assert not (folder / "m.onnx").exists()


def test_a_model_that_cannot_be_exported(folder: Path, call: Call) -> None:
    result = call("zoo:Untraceable", "--input", "1x3x9x9")
    assert result.code == FAILED
    assert "could not export Untraceable" in result.err
    assert list(folder.glob("*.onnx*")) == []


def test_dynamic_sizes_of_several_inputs() -> None:
    tensors = {
        "image": torch.empty(1, 3, 64, 48),
        "depth": torch.empty(1, 1, 32, 48),
        "video": torch.empty(1, 5, 3, 64, 48),
        "scale": torch.empty(1),
    }
    assert dynamic_shapes("batch,height,width,frames=1", tensors, multiples=False) == {
        "image": {0: "batch", 1: "frames", 2: "height", 3: "width"},
        "depth": {0: "batch", 1: "depth_frames", 2: "depth_height", 3: "width"},
        "video": {0: "batch", 1: "video_frames", 3: "height", 4: "width"},
        "scale": {0: "batch"},
    }
    assert dynamic_shapes("height", {"vector": torch.empty(4), **tensors}, multiples=False) == {
        "vector": None, "image": {2: "height"}, "depth": {2: "depth_height"},
        "video": {3: "height"}, "scale": None,
    }  # fmt: skip
    with pytest.raises(
        InputError, match=r"32\*width: it is 48 in image, expected a multiple of 32"
    ):
        dynamic_shapes("32*width", tensors, multiples=True)
    with pytest.raises(InputError, match=r"height: no input has this dimension; given are v \[4\]"):
        dynamic_shapes("height", {"v": torch.empty(4)}, multiples=True)
