"""A model that calls torchvision's deformable convolution exports unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from cases import BY_NAME, expected, make_inputs, relative_error
from exported import (
    EXPORTERS,
    FORMS,
    Layer,
    arguments,
    attributes,
    deformable,
    run_ours,
    run_stock,
)
from torch import Tensor, nn
from torchvision_stand_in import deform_conv2d

from dcn_deploy.contract import contract
from dcn_deploy.exporting import export
from dcn_deploy.tolerances import STOCK_TOLERANCE, TOLERANCE


def torchvision_op(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Any, stride: Any, pads: Any, *rest: Any
) -> Tensor:
    """torchvision pads both ends alike."""
    return deform_conv2d(input, offset, weight, bias, stride, pads[:2], *rest)


@pytest.mark.parametrize("name", ["asymmetric", "no_bias", "no_mask"])
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("form", FORMS)
def test_one_layer(form: Any, exporter: Any, name: str, tmp_path: Path) -> None:
    case = replace(BY_NAME[name], pads=(2, 1, 2, 1), dilation=(1, 2))
    inputs = make_inputs(case, torch.float32)
    path = tmp_path / "layer.onnx"
    report = export(
        Layer(case, inputs, torchvision_op), arguments(inputs), path, form=form, exporter=exporter
    )
    assert report.verification is not None
    assert report.verification.passed

    onnx.checker.check_model(path, full_check=True)
    (node,) = deformable(path)
    assert node.domain == ("" if form == "standard" else contract().domain)
    assert attributes(node).items() >= case.attributes().items()
    # Its placeholder for an absent mask does not get into the file.
    assert len(node.input) == (5 if case.mask else 4)
    assert all(node.input)
    wanted = expected(case, inputs)
    assert relative_error(run_ours(path, *arguments(inputs)), wanted) <= TOLERANCE["float32"]
    if form != "custom":
        actual = run_stock(path, *arguments(inputs))
        assert relative_error(actual, wanted) <= STOCK_TOLERANCE["float32"]


class Learned(nn.Module):
    """As published models use torchvision's function: 2*sigmoid mask, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(4, 3 * 15, (3, 5), (2, 1), (1, 2))
        self.weight = nn.Parameter(torch.randn(6, 4, 3, 5) / 8)

    def forward(self, image: Tensor) -> Tensor:
        offset, mask = self.offsets(image).split([30, 15], dim=1)
        mask = 2 * torch.sigmoid(mask)
        return deform_conv2d(image, offset, self.weight, None, (2, 1), (1, 2), mask=mask)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_dynamic_sizes(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "learned.onnx"
    model = Learned()
    dynamic = ({0: "N", 2: "H", 3: "W"},)
    image = torch.randn(2, 4, 9, 8)
    export(model, image, path, exporter=exporter, dynamic_shapes=dynamic, verify=False)
    (node,) = deformable(path)
    assert all(node.input)
    for shape in [(1, 4, 12, 7), (3, 4, 5, 18)]:
        image = torch.randn(shape)
        wanted = model(image).detach()
        assert relative_error(run_ours(path, image), wanted) <= 1e-5
        assert relative_error(run_stock(path, image), wanted) <= 1e-5
