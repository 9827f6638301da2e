"""``dcn-deploy convert`` as a user meets it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import foreign_models
import numpy as np
import onnx
import onnx_models
import pytest
from cases import BY_NAME
from command_line import OK, Call, program
from foreign_models import FOREIGN
from node_problems import arrays_of

from dcn_deploy.cli.output import BAD_INPUT, CHECK_FAILED
from dcn_deploy.exporting import decomposition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of mmcv's, one of dynamic sizes that follow from each other, and one that is none."""
    onnx.save(foreign_models.model(FOREIGN["mmcv v2"]), tmp_path / "model.onnx")
    bad = foreign_models.model(FOREIGN["mmcv v2"], stride=[1, 1, 1])
    onnx.save(bad, tmp_path / "bad.onnx")
    case = BY_NAME["asymmetric"]
    dynamic = onnx_models.model(
        arrays_of(case), case.attributes(), shapes=onnx_models.DYNAMIC_SHAPES
    )
    onnx.save(dynamic, tmp_path / "dynamic.onnx")
    (tmp_path / "text.onnx").write_text("no model\n")
    return tmp_path


def test_the_example_of_its_help(folder: Path) -> None:
    shown = program(folder, "convert", "--help").out
    (example,) = re.findall(r"Example: dcn-deploy (convert .+?)\s*[│\n]", shown)
    result = program(folder, *example.split())
    assert result.code == OK, result.err
    assert "model.onnx -> out.onnx: decomposed form" in result.out
    assert "1 node: mmcv::MMCVModulatedDeformConv2d" in result.out
    assert "passed" in result.out
    assert {n.domain for n in onnx.load(folder / "out.onnx").graph.node} == {""}


def test_json(cli: Call, folder: Path) -> None:
    result = cli("convert", "model.onnx", "out.onnx", "--json", "--fp16")
    assert result.code == OK, result.err
    report = result.json
    assert report["form"] == "portable"
    assert report["precision"] == "float16"
    assert report["nodes"] == [{"name": "deform", "was": "mmcv::MMCVModulatedDeformConv2d"}]
    assert report["verification"]["passed"]
    weight = next(t for t in onnx.load(folder / "out.onnx").graph.initializer if t.name == "weight")
    assert weight.data_type == onnx.TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.onnx", "out.onnx"), "none.onnx: no such file"),
        (("text.onnx", "out.onnx"), "not an ONNX model"),
        (("bad.onnx", "out.onnx"), "node 'deform' .* stride has 3 values"),
        (("model.onnx", "out.onnx", "--to", "portabel"), "portabel"),
        (("model.onnx", "out.onnx", "--fp16", "--bf16"), "exclude each other"),
        (("model.onnx", "out.onnx", "--size", "image=1x1"), "image"),
        (("model.onnx", "."), "is a directory"),
        (("model.onnx", "text.onnx/out.onnx"), "cannot be written"),
        (("dynamic.onnx", "out.onnx"), "cannot run on the inputs"),
        (("model.onnx",), "Missing argument"),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], message: str, cli: Call, folder: Path) -> None:
    before = sorted(os.listdir(folder))
    result = cli("convert", *arguments, "--json")
    assert result.code == BAD_INPUT, result.err
    assert re.search(message, result.json["error"])
    assert sorted(os.listdir(folder)) == before


def test_inputs_and_sizes_to_verify_on(cli: Call, folder: Path) -> None:
    arrays = arrays_of(BY_NAME["asymmetric"])
    image = arrays["input"]
    assert image is not None
    np.save(folder / "x.npy", image)
    given = ["--input", "input=x.npy"]
    for name in ("offset", "mask"):
        shape = np.asarray(arrays[name]).shape
        given += ["--size", f"{name}={'x'.join(map(str, shape))}"]
    result = cli("convert", "dynamic.onnx", "out.onnx", *given)
    assert result.code == OK, result.err
    assert "passed" in result.out


def test_without_verification(cli: Call) -> None:
    result = cli("convert", "dynamic.onnx", "out.onnx", "--no-verify")
    assert result.code == OK, result.err
    assert "not verified, as asked" in result.out


def test_a_result_that_differs(cli: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decomposition, "_FAR", 1.0)
    result = cli("convert", "model.onnx", "out.onnx", "--to", "decomposed")
    assert result.code == CHECK_FAILED
    assert "does not agree with model.onnx" in result.err
    assert not (folder / "out.onnx").exists()
