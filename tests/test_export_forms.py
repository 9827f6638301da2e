"""From any form of a model to any other, also for models that come from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_models
import pytest
import torch
from cases import BY_NAME
from exported import FORMS, attributes, deformable, run_stock
from node_problems import arrays_of

from dcn_deploy.arrays import to_tensor
from dcn_deploy.contract import contract
from dcn_deploy.exporting import ExportError
from dcn_deploy.exporting.forms import to_form

ARRAYS = arrays_of(BY_NAME["asymmetric"])
ATTRIBUTES = BY_NAME["asymmetric"].attributes()


def converted(proto: onnx.ModelProto, form: Any, path: Path) -> Path:
    model = ir.from_proto(proto)
    assert to_form(model, form) is model
    ir.save(model, path)
    onnx.checker.check_model(path, full_check=True)
    return path


@pytest.mark.parametrize("target", FORMS)
@pytest.mark.parametrize("source", FORMS)
def test_between_any_two(source: Any, target: Any, tmp_path: Path) -> None:
    proto = onnx_models.model(ARRAYS, ATTRIBUTES, form=source)
    path = converted(proto, target, tmp_path / "model.onnx")
    (node,) = deformable(path)
    assert node.domain == ("" if target == "standard" else contract().domain)
    assert attributes(node).items() >= ATTRIBUTES.items()
    model = onnx.load(path)
    assert [f.name for f in model.functions] == ([contract().op] if target == "portable" else [])
    assert (contract().domain in {o.domain for o in model.opset_import}) == (target != "standard")


@pytest.mark.parametrize("target", FORMS)
def test_an_old_file_with_defaults_and_without_bias(target: Any, tmp_path: Path) -> None:
    """What other exporters write: attributes left out, an absent bias before a mask."""
    arrays = arrays_of(BY_NAME["no_bias"])
    given = {name: value for name, value in ATTRIBUTES.items() if name != "kernel_shape"}
    proto = onnx_models.model(arrays, given, form="standard")
    path = converted(proto, target, tmp_path / "model.onnx")
    (node,) = deformable(path)
    if target == "standard":
        assert attributes(node).items() >= given.items()
    assert attributes(node)["kernel_shape"] == [3, 2]
    assert all(node.input)


def test_there_and_back_computes_the_same(tmp_path: Path) -> None:
    proto = onnx_models.model(ARRAYS, ATTRIBUTES, form="standard")
    first = tmp_path / "first.onnx"
    onnx.save(proto, first)
    model = ir.from_proto(proto)
    for form in ("portable", "custom", "portable", "standard", "portable"):
        to_form(model, form)
    last = tmp_path / "last.onnx"
    ir.save(model, last)
    names = [value.name for value in proto.graph.input]
    tensors = [to_tensor(np.asarray(ARRAYS[name])) for name in names]
    assert torch.equal(run_stock(last, *tensors), run_stock(first, *tensors))


@pytest.mark.parametrize("form", ["portable", "standard"])
def test_an_opset_before_the_standard_operator(form: Any) -> None:
    model = ir.from_proto(onnx_models.model(ARRAYS, ATTRIBUTES, opset=18))
    with pytest.raises(ExportError, match=r"opset_version is 18, expected at least 19"):
        to_form(model, form)


def test_an_unknown_form() -> None:
    model = ir.from_proto(onnx_models.model(ARRAYS, ATTRIBUTES))
    with pytest.raises(ValueError, match=r"'portabel', expected one of portable, custom, standard"):
        to_form(model, "portabel")  # type: ignore[arg-type]
