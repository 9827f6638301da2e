"""The command verify: agreement, the node that differs, wrong arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import BAD_INPUT, FAILED, OK, Call, program


def test_verify_against_eager(folder: Path) -> None:
    result = program(
        folder, "verify", "model.onnx", "--against", "models:build", "--checkpoint", "weights.pth",
        "--input", "x.npy", "--runs", 2, "--json",
    )  # fmt: skip
    assert result.code == OK, result.err
    report = result.json

    assert report["passed"] is True
    assert report["baseline"] == "eager Net"
    assert [side["status"] for side in report["sides"]] == ["passed", "passed"]
    names = [case["name"] for case in report["sides"][0]["cases"]]
    assert names == ["given", "random 1", "N=4", "N=1", "H=16, W=14", "H=8, W=8"]
    assert len(report["node_names"]) == 2


def test_verify_against_another_file(cli: Call) -> None:
    result = cli("verify", "model.onnx", "--against", "corrupted.onnx", "--size", "1x6x8x6")
    assert result.code == FAILED
    assert "model.onnx does not agree with corrupted.onnx" in result.out
    assert "its weight differs" in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 100
    same = cli("verify", "model.onnx", "--against", "model.onnx", "--size", "1x6x8x6")
    assert same.code == OK
    assert "model.onnx agrees with model.onnx" in same.out


@pytest.mark.parametrize(
    ("file", "against", "node", "what"),
    [
        ("stride.onnx", "models:build", "the_tampered_one", "attribute strides is [1, 2]"),
        ("corrupted.onnx", "models:build", "/second/", "its weight differs"),
        ("model.onnx", "models:other", "/second/", "its weight differs"),
    ],
)
def test_verify_finds_the_node(file: str, against: str, node: str, what: str, cli: Call) -> None:
    result = cli("verify", file, "--against", against, "--input", "x.npy", "--json")

    assert result.code == FAILED
    assert result.json["passed"] is False
    assert node in result.json["summary"]
    assert what in result.json["summary"]


def test_verify_with_a_tolerance_of_ones_own(cli: Call) -> None:
    arguments = ("verify", "corrupted.onnx", "--against", "models:build", "--input", "x.npy")
    assert cli(*arguments, "--runs", 1, "--tolerance", 10).code == OK


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "models:missing"), "AttributeError: module 'models' has no attribute"),
        (("--against", "nowhere:build"), "ModuleNotFoundError: No module named 'nowhere'"),
        (("--against", "models:raises"), "KeyError: 'no such backbone'"),
        (("--against", "models:text"), "'str' object is not callable"),
        (("--against", "models"), "expected an ONNX file that exists, or package.module:callable"),
        (("--against", "missing.onnx"), "missing.onnx: no such file"),
        (("--against", "models:build", "--checkpoint", "none.pth"), "none.pth: no such file"),
        (("--against", "models:build", "--checkpoint", "wrong.pth"), "Unexpected key"),
        (
            ("--against", "models:build", "--checkpoint", "x.npy"),
            "x.npy: it cannot be read; expected a state dict",
        ),
        (("--against", "model.onnx", "--checkpoint", "weights.pth"), "not for a file"),
        (("--checkpoint", "weights.pth"), "not without it"),
        (("--against", "models:build", "--input", "wide.npy"), "expected float32 [N, 6, H, W]"),
    ],
)
def test_verify_with_wrong_arguments(arguments: tuple[str, ...], message: str, cli: Call) -> None:
    given = () if "--input" in arguments else ("--size", "1x6x8x6")
    result = cli("verify", "model.onnx", *arguments, *given)

    assert result.code == BAD_INPUT
    assert message in result.err
    assert result.out == ""
