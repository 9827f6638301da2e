"""Larger networks of other libraries' layers: exported with dynamic sizes, run with our library and
without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from networks import BY_NAME, NETWORKS, Network
from torch import nn
from torch.export import Dim

import dcn_deploy
from dcn_deploy import availability
from dcn_deploy.tolerances import MODEL_TOLERANCE
from dcn_deploy.verification.eager import EagerSide, tensors_in

# DLA joins levels that were halved and doubled again: only multiples of 32 fit.
DERIVED = {"dla": {0: "batch", 2: 32 * Dim("h", min=1), 3: 32 * Dim("w", min=1)}}
CASES = [
    ("birefnet", "dynamo"),
    ("basicvsr", "dynamo"),
    ("dla", "dynamo"),
    ("dla", "torchscript"),
]


@pytest.mark.parametrize(("name", "exporter"), CASES)
def test_exported_equals_eager_at_any_size(name: str, exporter: Any, tmp_path: Path) -> None:
    network = BY_NAME[name]
    model, image = network.seeded(), network.inputs()
    path = tmp_path / "network.onnx"
    dynamic = DERIVED.get(name, network.dynamic) if exporter == "dynamo" else network.dynamic
    report = dcn_deploy.export(
        model, image, path, exporter=exporter, dynamic_shapes=(dynamic,), verify=False
    )
    assert len(report.nodes) == network.nodes
    height, width = (dim for dim in network.dynamic if dim)
    size = list(image.shape)
    size[0], size[height], size[width] = 1, size[height] + 32, size[width] + 64
    for example in (image, torch.randn(size)):
        checked = dcn_deploy.verify(path, model, example, runs=1, sizes=[])
        assert checked.passed, str(checked)
        for side in checked.sides:
            assert [case.name for case in side.cases] == ["given"]
            assert len(side.cases[0].nodes) == network.nodes
    assert {side.name for side in checked.sides} == {availability.OURS, availability.STOCK}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_converted_equals_as_given(network: Network) -> None:
    model, image = network.seeded(), network.inputs()
    wanted = tensors_in(model(image))
    converted = dcn_deploy.convert(model)
    side = EagerSide(converted, (image,), {})
    seen = side.run([image])
    assert len(seen.nodes) == network.nodes
    assert len(seen.outputs) == len(wanted)
    for actual, expected in zip(seen.outputs, wanted, strict=True):
        error = (actual - expected).norm() / expected.norm()
        assert error <= 1e-5
    for node in seen.nodes:
        offset = node.inputs["offset"]
        assert offset.abs().mean() > 0.3
        assert (offset.frac().abs() > 0.05).float().mean() > 0.5


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_outputs_depend_on_every_deformable_layer(network: Network) -> None:
    """A wrong sample of any one of them would not go unseen."""
    model, image = network.seeded(), network.inputs()
    converted = dcn_deploy.convert(model)
    with torch.no_grad():
        wanted = tensors_in(converted(image))
        for layer in dcn_deploy.convertible_layers(model):
            module = converted.get_submodule(layer.path)
            offsets = next(m for n, m in module.named_modules() if "offset" in n)
            last = [m for m in offsets.modules() if isinstance(m, nn.Conv2d)][-1]
            bias = last.bias.clone()
            last.bias[: max(1, len(bias) // 3)] += 0.2
            changed = tensors_in(converted(image))
            last.bias.copy_(bias)
            apart = [(a - b).norm() / b.norm() for a, b in zip(changed, wanted, strict=True)]
            assert max(apart) > 3 * MODEL_TOLERANCE["float32"], (layer.path, apart)
