"""Files that deform_conv2d_onnx_exporter writes; run as a program: gather_models.py FOLDER.

In a process of its own, because the exporter registers itself with torch.onnx for good. It looks
for a type in the place where torch 2.0 had it.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from cases import Case, make_inputs
from torch import Tensor, nn
from torch.onnx._internal.torchscript_exporter import _type_utils
from torchvision_stand_in import deform_conv2d

BASE = Case("gathers", pads=(1, 0, 1, 0), stride=(2, 1), dilation=(1, 2))


@dataclass(frozen=True)
class Written:
    """One file."""

    case: Case
    options: tuple[tuple[str, bool], ...] = ()
    """Of the exporter."""
    folding: bool = True
    """Whether torch.onnx computes constants ahead."""
    opset: int = 17


WRITTEN = {
    "gather_nd": Written(BASE),
    "gather_elements": Written(BASE, (("use_gathernd", False),)),
    "openvino_patch": Written(BASE, (("enable_openvino_patch", True),), opset=12),
    "no_folding": Written(replace(BASE, pads=(2, 1, 2, 1)), folding=False),
    "no_mask": Written(replace(BASE, mask=False, pads=(0, 3, 0, 3), group=1), opset=14),
    "kernel_1x1": Written(
        replace(BASE, kernel=(1, 1), dilation=(1, 1), stride=(1, 2), pads=(0, 0, 0, 0))
    ),
    "one_output": Written(replace(BASE, size=(3, 3), stride=(3, 2), pads=(0, 0, 0, 0))),
    "kernel_4x5": Written(
        replace(BASE, kernel=(4, 5), size=(13, 12), offset_group=1, pads=(1, 2, 1, 2))
    ),
}


class Two(nn.Module):
    """Two layers of one weight and one bias; image and mask of the second come from the first."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        inputs = make_inputs(case, torch.float32)
        assert inputs.bias is not None
        self.weight, self.bias = nn.Parameter(inputs.weight), nn.Parameter(inputs.bias)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        sizes = ((1, 1), (1, 1), (1, 1))
        first = deform_conv2d(x, offset, self.weight, self.bias, *sizes, mask)
        mask = mask * first.mean(1, keepdim=True).sigmoid()
        return deform_conv2d(first.relu(), offset * 2, self.weight, self.bias, *sizes, mask)


TWO = Case("two", in_channels=6, out_channels=6, kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1),
           dilation=(1, 1), group=2, offset_group=3)  # fmt: skip


class Layer(nn.Module):
    """One layer with weights of its own."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        inputs = make_inputs(case, torch.float32)
        assert inputs.bias is not None
        self.weight, self.bias = nn.Parameter(inputs.weight), nn.Parameter(inputs.bias)
        self.sizes = (case.stride, case.pads[:2], case.dilation)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(x, offset, self.weight, self.bias, *self.sizes, mask)


def main(folder: Path) -> None:
    """Write every file."""
    warnings.simplefilter("ignore")
    sys.modules["torch.onnx._type_utils"] = _type_utils
    import deform_conv2d_onnx_exporter as exporter

    models = {name: (Layer(each.case), each) for name, each in WRITTEN.items()}
    models["two"] = (Two(TWO), Written(TWO))
    for name, (model, each) in models.items():
        exporter.register_deform_conv2d_onnx_op(**dict(each.options))
        inputs = make_inputs(each.case, torch.float32)
        args = [t for t in (inputs.input, inputs.offset, inputs.mask) if t is not None]
        torch.onnx.export(
            model.eval(),
            tuple(args),
            folder / f"{name}.onnx",
            dynamo=False,
            opset_version=each.opset,
            do_constant_folding=each.folding,
            input_names=["input", "offset", "mask"][: len(args)],
            output_names=["output"],
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
