"""Models that TensorRT cannot build: the error names node and reason, nothing is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_models
import pytest
from cases import BY_NAME
from engine_worker import build_all, write_model
from node_problems import arrays_of

# name -> (changes of the case's attributes, what the message must say)
ATTRIBUTES: dict[str, tuple[dict[str, Any], str]] = {
    "stride_zero": ({"strides": [0, 1]}, r"attribute strides is \[0, 1\], expected every value"),
    "stride_negative": ({"strides": [2, -1]}, r"attribute strides is \[2, -1\]"),
    "one_stride": ({"strides": [2]}, "attribute strides has 1 values, expected 2"),
    "three_pads": ({"pads": [1, 0, 2]}, "attribute pads has 3 values, expected 4"),
    "pad_negative": ({"pads": [1, 0, -2, 1]}, r"attribute pads is \[1, 0, -2, 1\], expected"),
    "dilation_zero": ({"dilations": [0, 2]}, "attribute dilations"),
    "group_zero": ({"group": 0}, "attribute group is 0, expected at least 1"),
    "group_no_divisor": ({"group": 5}, "expected a multiple of group = 5"),
    "offset_group_zero": ({"offset_group": 0}, "attribute offset_group is 0"),
    "offset_group_no_divisor": ({"offset_group": 5}, "expected a multiple of offset_group = 5"),
    "group_a_float": ({"group": 1.5}, "attribute group is .*expected"),
    "strides_text": ({"strides": "ab"}, "attribute strides is .*expected"),
    "kernel_shape": ({"kernel_shape": [3, 3]}, "weight has kernel width 2, expected 3"),
}
# input -> (its size, what the message must say)
SIZES: dict[str, tuple[str, tuple[int, ...], str]] = {
    "offset_channels": (
        "offset",
        (2, 34, 5, 10),
        r"offset has 34 channels, expected 2 \* off",
    ),
    "offset_height": (
        "offset",
        (2, 36, 4, 10),
        "offset has height 4, expected the output",
    ),
    "offset_width": ("offset", (2, 36, 5, 11), "offset has width 11, expected the output"),
    "offset_batch": ("offset", (3, 36, 5, 10), "offset has batch 3, expected 2 like input"),
    "mask_channels": ("mask", (2, 17, 5, 10), "mask has 17 channels, expected offset_group"),
    "mask_height": ("mask", (2, 18, 4, 10), "mask has height 4, expected 5 like offset"),
    "bias_length": ("bias", (7,), "bias has 7 values, expected 8"),
    "weight_channels": ("weight", (8, 5, 3, 2), "weight has 5 input channels, expected"),
    "input_rank": ("input", (12, 9, 11), "input has 3 dimensions, expected 4"),
}


def bad_models() -> dict[str, tuple[onnx.ModelProto, str]]:
    """Models that no plugin may accept, and what the error must say."""
    case = BY_NAME["asymmetric"]
    arrays = arrays_of(case)
    models = {}
    for name, (changes, message) in ATTRIBUTES.items():
        models[name] = onnx_models.model(arrays, case.attributes() | changes), message
    for name, (tensor, size, message) in SIZES.items():
        resized = arrays | {tensor: np.ones(size, np.float32)}
        models[name] = onnx_models.model(resized, case.attributes()), message
    halved = arrays | {"offset": arrays["offset"].astype(np.float16)}
    message = "offset is float16, expected float32 like input"
    models["offset_dtype"] = onnx_models.model(halved, case.attributes()), message
    missing = onnx_models.model(arrays, case.attributes())
    del missing.graph.node[0].input[2:]
    models["no_offset"] = missing, "offset is missing"
    return models


@pytest.mark.parametrize("raw", [False, True], ids=["checked", "raw"])
def test_bad_node_is_refused_with_the_reason(tmp_path: Path, raw: bool) -> None:
    """By the check of the file, and by the plugin where nobody checked: the same words."""
    models = bad_models()
    jobs = []
    for name, (model, _) in models.items():
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        jobs.append({"onnx": str(path), "engine": str(tmp_path / f"{name}.engine"), "raw": raw})
    for name, result in zip(models, build_all(jobs), strict=True):
        assert result.get("kind") == "BuildError", (name, result)
        headline = result["error"].splitlines()[0]
        assert re.search(models[name][1], headline), (name, headline)
        assert "'deform'" in headline
        assert f"{name}.onnx" in headline
        assert not (tmp_path / f"{name}.engine").exists()


def test_other_failures_name_the_cause(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "whole.onnx", "custom")
    dynamic = write_model(tmp_path / "dynamic.onnx", "custom", shapes=onnx_models.DYNAMIC_SHAPES)
    unknown = onnx.load(whole)
    unknown.graph.node.add(op_type="Mystery", name="riddle", domain="elsewhere",
                           input=["output"], output=["solved"])  # fmt: skip
    unknown.opset_import.add(domain="elsewhere", version=1)
    unknown.graph.output[0].name = "solved"
    onnx.save(unknown, tmp_path / "unknown.onnx")
    foreign = onnx.load(whole)
    foreign.graph.node[0].op_type, foreign.graph.node[0].domain = "MMCVDeformConv2d", "mmcv"
    onnx.save(foreign, tmp_path / "foreign.onnx")
    (tmp_path / "cut.onnx").write_bytes(whole.read_bytes()[:-200])

    sizes = {"input": [2, 12, 9, 11], "offset": [2, 36, 5, 10], "mask": [2, 18, 5, 10]}
    expected: list[tuple[Path, dict[str, Any], str, str]] = [
        (tmp_path / "unknown.onnx", {}, "BuildError", r"unknown.onnx cannot be parsed .*riddle"),
        (tmp_path / "foreign.onnx", {}, "BuildError", "'deform': mmcv::MMCVDeformConv2d"),
        (tmp_path / "cut.onnx", {}, "ModelFileError", "not an ONNX model, or cut off"),
        (tmp_path / "none.onnx", {}, "ModelFileError", "no such file"),
        (dynamic, {}, "InputError", r"input 'input' is \[N, 12, H, W\]: give its smallest, usual"),
        (dynamic, {"profiles": sizes | {"offset": [2, 35, 5, 10]}}, "InputError",
         r"'offset': the smallest size is \[2, 35, 5, 10\], expected \[N, 36, oH, oW\]"),
        (dynamic, {"profiles": sizes | {"offset": [3, 36, 5, 10]}}, "InputError",
         "its smallest N is 3, expected 2 as in input 'input'"),
        (dynamic, {"profiles": sizes | {"image": [1]}}, "InputError", "has no such input"),
        (dynamic, {"profiles": sizes | {"mask": [[2, 18, 5, 10]] * 2}}, "InputError",
         "three sizes"),
        (dynamic, {"profiles": {n: [size, size, [1, *size[1:]]] for n, size in sizes.items()}},
         "InputError", r"the usual size \[2, 12, 9, 11\] is larger than the largest"),
        (dynamic, {"profiles": sizes | {"offset": [2, 36, 4, 10]}}, "InputError",
         "'mask': its smallest oH is 5, expected 4 as in input 'offset'"),
        (dynamic, {"profiles": sizes | {"offset": [2, 36, 4, 10], "mask": [2, 18, 4, 10]}},
         "BuildError", "'deform': offset has height 4, expected the output height 5"),
        (whole, {"package": "tensorflow"}, "ValueError", "package is 'tensorflow', expected"),
        (whole, {"package": "tensorrt"}, "ImportError", "pip install tensorrt-rtx"),
    ]  # fmt: skip
    engine = tmp_path / "out" / "model.engine"
    jobs = [
        {"onnx": str(path), "engine": str(engine), "options": options}
        for path, options, _, _ in expected
    ]
    results = build_all(jobs)
    for (_, options, kind, message), result in zip(expected, results, strict=True):
        assert result.get("kind") == kind, (options, result)
        assert re.search(message, result["error"]), (options, result["error"])
    assert not engine.parent.exists(), "nothing is left of a failed build"


def test_engine_that_was_there_survives_a_failed_build(tmp_path: Path) -> None:
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"an older engine")
    model, _ = bad_models()["offset_height"]
    onnx.save(model, tmp_path / "model.onnx")
    (result,) = build_all([{"onnx": str(tmp_path / "model.onnx"), "engine": str(engine)}])
    assert result["kind"] == "BuildError"
    assert engine.read_bytes() == b"an older engine"
