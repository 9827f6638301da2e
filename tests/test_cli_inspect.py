"""The command inspect, and how files that are no models are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import BAD_INPUT, OK, Call, program

from dcn_deploy.contract import contract


def test_inspect(folder: Path) -> None:
    result = program(folder, "inspect", "model.onnx", "--json")
    assert result.code == OK, result.err
    first, second = result.json["nodes"]

    assert list(first["attributes"]) == list(contract().attributes)
    assert list(first["attributes"].values()) == [[3, 2], [2, 1], [1, 0, 2, 1], [2, 1], 2, 3]
    assert first["form"] == "portable"
    assert first["shapes"]["input"] == ["N", 6, "H", "W"]
    assert "mask" in first["shapes"]
    assert "mask" not in second["shapes"]
    assert [verdict["runs"] for verdict in first["runtimes"]] == [True, True]
    assert first["origin"] == "first: dcn_deploy.modules.DeformConv2d"
    assert 0 < first["flops_share"] < 1
    takes = {verdict["runtime"]: verdict["runs"] for verdict in first["targets"]}
    assert takes["OpenVINO"] is False
    assert takes["onnxruntime >= 1.25, CPU"] is True


def test_inspect_for_people(cli: Call) -> None:
    for width in (80, 100):
        result = cli("inspect", "model.onnx", width=width)
        assert result.code == OK
        assert "strides=2x1" in result.out
        assert "pads=1,0,2,1" in result.out
        assert "portable form" in result.out
        assert "TensorRT" in result.out
        assert "dcn-deploy convert model.onnx model.decomposed.onnx" in result.out
        assert max(map(len, result.out.splitlines())) <= width
        assert "\x1b" not in result.out


def test_inspect_a_model_without_deformable_nodes(cli: Call) -> None:
    result = cli("inspect", "plain.onnx")
    assert result.code == OK
    assert "It has no deformable convolution." in result.out
    assert cli("inspect", "plain.onnx", "--json").json["nodes"] == []


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.onnx", "missing.onnx: no such file"),
        ("text.onnx", "text.onnx: not an ONNX model, or cut off"),
        ("cut.onnx", "cut.onnx: not an ONNX model, or cut off"),
        (".", ".: is a folder"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "run"])
def test_what_is_not_a_model(file: str, message: str, command: str, cli: Call) -> None:
    result = cli(command, file, "--json")

    assert result.code == BAD_INPUT
    assert f"error: {message}" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert result.json["exit_code"] == BAD_INPUT
    assert message in result.json["error"]


def test_a_message_is_all_that_is_printed(folder: Path) -> None:
    result = program(folder, "inspect", "missing.onnx")
    assert result.code == BAD_INPUT
    assert result.out == ""
    assert result.err == "error: missing.onnx: no such file; give the path of an ONNX model\n"
