"""Models with the deformable nodes of other projects, and an evaluator that runs them.

Written from what those projects document, and not with dcn_deploy's readers of the same nodes: each
class below has the signature of one operator, and the float64 reference as its body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from cases import Case
from node_problems import arrays_of
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from dcn_deploy import reference

Array = NDArray[Any]

# Sizes that differ wherever two axes could be swapped; these projects know two pads, not four.
BASE = Case("foreign", pads=(1, 2, 1, 2), stride=(2, 1), dilation=(1, 2), size=(9, 11))
UNGROUPED = replace(BASE, group=1)
NO_MASK = replace(UNGROUPED, mask=False, bias=False)


def _compute(
    x: Array,
    offset: Array,
    weight: Array,
    bias: Array | None,
    mask: Array | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    offset_groups: int,
) -> tuple[Array]:
    """All sizes (h, w)."""
    arrays = (x, offset, weight, bias, mask)
    tensors = [None if a is None else torch.from_numpy(np.array(a, np.float64)) for a in arrays]
    data, shift, kernel, b, m = tensors
    assert data is not None
    assert shift is not None
    assert kernel is not None
    output = reference.deform_conv2d(
        data,
        shift,
        kernel,
        b,
        (stride[0], stride[1]),
        (padding[0], padding[1], padding[0], padding[1]),
        (dilation[0], dilation[1]),
        m,
        groups=groups,
        offset_groups=offset_groups,
    )
    return (output.numpy().astype(x.dtype),)


class _MmcvV1(OpRun):
    op_domain = "mmcv"

    def _run(
        self, x, offset, weight, stride=None, padding=None, dilation=None, groups=None,
        deform_groups=None, bias=None, im2col_step=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        return _compute(
            x, offset, weight, None, None, stride, padding, dilation, groups, deform_groups
        )


class _MmdeployV1(OpRun):
    op_domain = "mmdeploy"

    def _run(
        self, x, offset, weight, stride=None, padding=None, dilation=None, groups=None,
        deform_groups=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        pads = (padding[0], padding[2])  # top and bottom first
        return _compute(
            x, offset, weight, None, None, stride, pads, dilation, groups, deform_groups
        )


class _MmcvV2(OpRun):
    op_domain = "mmcv"

    def _run(
        self, x, offset, mask, weight, bias=None, stride=None, padding=None, dilation=None,
        groups=None, deform_groups=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        return _compute(
            x, offset, weight, bias, mask, stride, padding, dilation, groups, deform_groups
        )


class _MmdeployV2(_MmcvV2):
    op_domain = "mmdeploy"


class _TensorRt(OpRun):
    """Sizes (w, h), as the plugin takes them."""

    op_domain = "TRT"

    def _run(
        self, x, offset, mask, weight, bias=None, stride=None, padding=None, dilation=None,
        group=None, deformable_group=None, plugin_version=None, plugin_namespace=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        sizes = (stride[::-1], padding[::-1], dilation[::-1])
        return _compute(x, offset, weight, bias, mask, *sizes, group, deformable_group)


class _Dcnv2(OpRun):
    op_domain = ""

    def _run(
        self, x, offset, mask, weight, bias, stride=None, padding=None, dilation=None,
        groups=None, deformable_group=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        sizes = ([size, size] for size in (stride, padding, dilation))
        return _compute(x, offset, weight, bias, mask, *sizes, groups, deformable_group)


class _Dcnv2Second(OpRun):
    op_domain = ""

    def _run(
        self, x, offset, mask, weight, bias, stride=None, padding=None, dilation=None,
        deformable_groups=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        return _compute(
            x, offset, weight, bias, mask, stride, padding, dilation, 1, deformable_groups
        )


class _Yolact(OpRun):
    op_domain = "yolact"

    def _run(
        self, x, offset, mask, weight, bias, name=None, stride_h=None, stride_w=None,
        padding_h=None, padding_w=None, dilation_h=None, dilation_w=None, deformable_groups=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        sizes = ((int(stride_h), int(stride_w)), (int(padding_h), int(padding_w)))
        last = (int(dilation_h), int(dilation_w))
        return _compute(x, offset, weight, bias, mask, *sizes, last, 1, int(deformable_groups))


class _Plugin(OpRun):
    op_domain = ""

    def _run(self, x, offset_mask, weight, bias, name=None, info=None):  # type: ignore[no-untyped-def]
        read = json.loads(info)
        third = offset_mask.shape[1] // 3
        mask = 1 / (1 + np.exp(-offset_mask[:, 2 * third :].astype(np.float64)))
        return _compute(
            x, offset_mask[:, : 2 * third], weight, bias, mask, read["stride"], read["padding"],
            read["dilation"], 1, read["deformable_groups"],
        )  # fmt: skip


class _OpenVino(OpRun):
    op_domain = "org.openvinotoolkit"

    def _run(
        self, x, offset, weight, strides=None, pads=None, dilations=None, groups=None,
        deformable_groups=None, kernel_shape=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        return _compute(
            x, offset, weight, None, None, strides, pads[:2], dilations, groups, deformable_groups
        )


class _Torchvision(OpRun):
    op_domain = "torchvision"

    def _run(self, x, weight, offset, mask, bias, *numbers):  # type: ignore[no-untyped-def]
        sh, sw, ph, pw, dh, dw, groups, offset_groups, use_mask = (int(n) for n in numbers)
        return _compute(
            x, offset, weight, bias, mask if use_mask else None, (sh, sw), (ph, pw), (dh, dw),
            groups, offset_groups,
        )  # fmt: skip


_NAMES = {
    _MmcvV1: "MMCVDeformConv2d",
    _MmdeployV1: "MMCVDeformConv2d",
    _MmcvV2: "MMCVModulatedDeformConv2d",
    _MmdeployV2: "MMCVModulatedDeformConv2d",
    _TensorRt: "ModulatedDeformConv2d",
    _Dcnv2: "DCNv2",
    _Dcnv2Second: "DCNv2_2",
    _Yolact: "DCNv2",
    _Plugin: "Plugin",
    _OpenVino: "DeformableConv2D",
    _Torchvision: "deform_conv2d",
}
# The evaluator finds an operator by its class's name.
EVALUATED = [type(name, (base,), {"op_domain": base.op_domain}) for base, name in _NAMES.items()]


def _pairs(case: Case) -> dict[str, Any]:
    return {
        "stride": list(case.stride),
        "padding": list(case.pads[:2]),
        "dilation": list(case.dilation),
    }


def _mmcv_groups(case: Case) -> dict[str, Any]:
    return {"groups": case.group, "deform_groups": case.offset_group}


def _trt(case: Case) -> dict[str, Any]:
    swapped = {name: value[::-1] for name, value in _pairs(case).items()}
    return swapped | {"group": case.group, "deformable_group": case.offset_group,
                      "plugin_version": "1", "plugin_namespace": ""}  # fmt: skip


def _yolact(case: Case) -> dict[str, Any]:
    pairs = _pairs(case).items()
    text = {f"{name}_{axis}": str(n) for name, pair in pairs for axis, n in zip("hw", pair)}  # noqa: B905
    return text | {"name": "DCNv2", "deformable_groups": str(case.offset_group)}


@dataclass(frozen=True)
class Foreign:
    """One project's node."""

    domain: str
    op: str
    inputs: Sequence[str]
    attributes: Callable[[Case], dict[str, Any]]
    case: Case = BASE
    opset: int = 11


_V1 = ("input", "offset", "weight")
_V2 = ("input", "offset", "mask", "weight", "bias")
_SQUARE = replace(UNGROUPED, stride=(2, 2), pads=(1, 1, 1, 1), dilation=(1, 1), kernel=(3, 2))
_TV_NUMBERS = ("stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w",
               "n_weight_grps",
               "n_offset_grps", "use_mask")  # fmt: skip

FOREIGN: dict[str, Foreign] = {
    "mmcv v1": Foreign(
        "mmcv", "MMCVDeformConv2d", _V1,
        lambda case: _pairs(case) | _mmcv_groups(case) | {"bias": 0, "im2col_step": 32},
        replace(BASE, mask=False, bias=False),
    ),
    "mmdeploy v1": Foreign(
        "mmdeploy", "MMCVDeformConv2d", _V1,
        lambda case: _pairs(case) | _mmcv_groups(case) | {
            "padding": [case.pads[0]] * 2 + [case.pads[1]] * 2
        },
        replace(BASE, mask=False, bias=False),
    ),
    "mmcv v2": Foreign(
        "mmcv", "MMCVModulatedDeformConv2d", _V2, lambda case: _pairs(case) | _mmcv_groups(case)
    ),
    "mmcv v2 without bias": Foreign(
        "mmcv", "MMCVModulatedDeformConv2d", _V2[:4],
        lambda case: _pairs(case) | _mmcv_groups(case), replace(BASE, bias=False),
    ),
    "mmdeploy v2": Foreign(
        "mmdeploy", "MMCVModulatedDeformConv2d", _V2,
        lambda case: _pairs(case) | _mmcv_groups(case), opset=17,
    ),
    "TensorRT's plugin": Foreign("TRT", "ModulatedDeformConv2d", _V2, _trt, opset=17),
    "DCNv2": Foreign(
        "", "DCNv2", _V2,
        lambda case: {"stride": case.stride[0], "padding": case.pads[0],
                      "dilation": case.dilation[0], "groups": case.group,
                      "deformable_group": case.offset_group},
        replace(_SQUARE, group=2),
    ),
    "DCNv2_2": Foreign(
        "", "DCNv2_2", _V2,
        lambda case: _pairs(case) | {"deformable_groups": case.offset_group}, UNGROUPED,
    ),
    "yolact::DCNv2": Foreign("yolact", "DCNv2", _V2, _yolact, UNGROUPED),
    "Plugin": Foreign(
        "", "Plugin", ("input", "offset_mask", "weight", "bias"),
        lambda case: {"name": "DCNv2", "info": json.dumps(
            _pairs(case) | {"deformable_groups": case.offset_group})},
        UNGROUPED,
    ),
    "OpenVINO's": Foreign(
        "org.openvinotoolkit", "DeformableConv2D", _V1,
        lambda case: {"strides": list(case.stride), "pads": [case.pads[0]] * 4,
                      "dilations": list(case.dilation), "groups": 1,
                      "deformable_groups": case.offset_group,
                      "kernel_shape": list(case.kernel)},
        replace(NO_MASK, pads=(1, 1, 1, 1)),
    ),
    "torchvision's": Foreign(
        "torchvision", "deform_conv2d",
        ("input", "weight", "offset", "mask", "bias", *_TV_NUMBERS), lambda case: {},
    ),
}  # fmt: skip


def model(kind: Foreign, **changes: Any) -> onnx.ModelProto:
    """A small network around one such node: Relu before it, a 1x1 convolution after it.

    Args:
        kind: one of FOREIGN
        changes: attributes instead of its own; None leaves one out
    """
    arrays = arrays_of(kind.case)
    names = list(kind.inputs)
    fed: dict[str, Array] = {"image": np.asarray(arrays["input"])}
    constants: dict[str, Array] = {}
    for name in names:
        if name == "offset_mask":
            fed[name] = np.concatenate([arrays["offset"], arrays["mask"]], axis=1)  # type: ignore[list-item]
        elif name in ("offset", "mask"):
            fed[name] = np.asarray(arrays[name])
        elif name in ("weight", "bias"):
            constants[name] = np.asarray(arrays[name])
    case = kind.case
    numbers = (*case.stride, *case.pads[:2], *case.dilation, case.group, case.offset_group, 1)
    constants |= {n: np.array(v) for n, v in zip(_TV_NUMBERS, numbers, strict=True) if n in names}
    random = np.random.default_rng(1)
    constants["last"] = random.normal(size=(3, case.out_channels, 1, 1)).astype(np.float32)
    attributes = {n: v for n, v in (kind.attributes(case) | changes).items() if v is not None}
    deform = helper.make_node(kind.op, names, ["deformed"], name="deform", domain=kind.domain)
    deform.attribute.extend(helper.make_attribute(n, v) for n, v in attributes.items())
    nodes = [
        helper.make_node("Relu", ["image"], ["input"]),
        deform,
        helper.make_node("Conv", ["deformed", "last"], ["output"], name="after"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in fed.items()],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", kind.opset)]
    if kind.domain:
        opsets.append(helper.make_opsetid(kind.domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=6)


def feeds(proto: onnx.ModelProto, seed: int = 2) -> dict[str, Array]:
    """Random inputs of its sizes."""
    random = np.random.default_rng(seed)
    made = {}
    for value in proto.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        scale = 2 if value.name.startswith("offset") else 1
        made[value.name] = (random.normal(size=shape) * scale).astype(np.float32)
    return made


def evaluate(proto: onnx.ModelProto, inputs: dict[str, Array]) -> Array:
    """What the model gives, in onnx's reference evaluator."""
    evaluator = ReferenceEvaluator(proto, new_ops=EVALUATED)
    (output,) = evaluator.run(None, inputs)
    return np.asarray(output)
