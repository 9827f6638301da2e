"""A user's folder for the command line: a model in every state that a command may find it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from dcn_deploy.contract import contract
from dcn_deploy.exporting import export

MODELS = '''
import torch
import dcn_deploy

class Net(torch.nn.Module):
    """conv -> deform -> deform, nothing symmetric."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = dcn_deploy.DeformConv2d(
            6, 8, (3, 2), (2, 1), (1, 0, 2, 1), (2, 1), groups=2, deformable_groups=3,
            modulated=True,
        )
        self.second = dcn_deploy.DeformConv2d(8, 5, 3, padding=1, bias=False)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2

    def forward(self, image):
        return self.second(self.first(image).relu())

def build():
    return Net().eval()

def other():
    model = build()
    model.second.weight.data[0] += 1
    return model

text = "not a model"

def raises():
    raise KeyError("no such backbone")
'''


def make(folder: Path) -> Path:
    """models.py, its model.onnx and weights, inputs, and files that are wrong."""
    (folder / "models.py").write_text(MODELS)
    namespace: dict[str, Any] = {}
    exec(MODELS, namespace)
    model = namespace["build"]()
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(2, 6, 12, 10, generator=generator)
    export(
        model,
        (image,),
        folder / "model.onnx",
        dynamic_shapes=({0: "N", 2: "H", 3: "W"},),
        input_names=["image"],
        output_names=["result"],
        verify=False,
    )
    torch.save({"state_dict": model.state_dict()}, folder / "weights.pth")
    torch.save({"wrong": torch.zeros(1)}, folder / "wrong.pth")
    np.save(folder / "x.npy", image.numpy())
    np.save(folder / "wide.npy", image.numpy()[:, :5])
    np.save(folder / "double.npy", image.double().numpy())
    np.savez(folder / "named.npz", image=image.numpy())
    np.savez(folder / "misnamed.npz", picture=image.numpy())
    (folder / "text.npy").write_text("1, 2, 3")
    whole = (folder / "model.onnx").read_bytes()
    (folder / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "text.onnx").write_text("no model\n")
    _save_tampered(folder)
    _save_plain(folder)
    with torch.no_grad():
        np.save(folder / "expected.npy", model(image).numpy())
    return folder


def _save_tampered(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    first = next(node for node in model.graph.node if node.op_type == contract().op)
    first.name = "the_tampered_one"
    (strides,) = [item for item in first.attribute if item.name == "strides"]
    strides.CopyFrom(helper.make_attribute("strides", [1, 2]))
    onnx.save(model, folder / "stride.onnx")

    model = onnx.load(folder / "model.onnx")
    (weight,) = [item for item in model.graph.initializer if item.name == "second.weight"]
    values = numpy_helper.to_array(weight).copy()
    values.flat[7] += 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, folder / "corrupted.onnx")


def _save_plain(folder: Path) -> None:
    """No deformable node; an integer input."""
    value = helper.make_tensor_value_info("index", TensorProto.INT64, [3])
    result = helper.make_tensor_value_info("y", TensorProto.INT64, [3])
    graph = helper.make_graph([helper.make_node("Neg", ["index"], ["y"])], "g", [value], [result])
    opsets = [helper.make_opsetid("", 19)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "plain.onnx")
