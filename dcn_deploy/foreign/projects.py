"""The deformable nodes of other projects, in the contract's words.

Each reader below states whose node it reads, its inputs, attributes and the order of its sizes,
and where that is written down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from ..contract import UNKNOWN_DIM, TensorSpec, check, contract
from ..errors import ConversionError
from ..onnx_graph import DeformableNode, shape_of
from .fields import DILATION, GROUP, OFFSET_GROUP, PADDING, STRIDE, Fields

_MOST_GROUPS = 2**16
"""Far more channels than any model has."""


@dataclass(frozen=True)
class Reading:
    """What another project's node computes."""

    inputs: Mapping[str, ir.Value]
    """By the contract's names."""
    attributes: Mapping[str, Any]
    """By the contract's names; kernel_shape follows from the weight."""
    before: Sequence[ir.Node] = ()
    """Nodes that make some of the inputs."""


def _attributes(
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    group: int,
    offset_group: int,
) -> dict[str, Any]:
    """Args: stride and dilation as (h, w); pads as (h, w) or (top, left, bottom, right)."""
    pads = [*pads, *pads] if len(pads) == 2 else pads
    names = [name for name in contract().attributes if name != "kernel_shape"]
    values = (list(stride), list(pads), list(dilation), group, offset_group)
    return dict(zip(names, values, strict=True))


def _mmcv(entry: DeformableNode) -> Reading:
    """mmcv's and mmdeploy's nodes, v1 and v2. Sizes are (h, w).

    Sources: ``symbolic`` in mmcv/ops/deform_conv.py and modulated_deform_conv.py (mmcv 2.2);
    mmdeploy/mmcv/ops/deform_conv.py and modulated_deform_conv.py (mmdeploy 1.3.1), whose TensorRT
    plugins have the defaults used here. mmdeploy writes the padding of v1 as (h, h, w, w). Its
    TensorRT plugins take the first of two sizes for the width; the nodes come from mmcv's layers,
    and mean the height.
    """
    fields = Fields(entry)
    if entry.node.op_type == "MMCVDeformConv2d":
        inputs = fields.inputs("input", "offset", "weight")
        fields.require(["bias"], 0, "this operator has no bias")
        fields.ignore("im2col_step")
    else:
        inputs = fields.inputs("input", "offset", "mask", "weight", optional=["bias"])
    padding = fields.sizes(PADDING, 0, lengths=(2, 4))
    if len(padding) == 4:
        if padding[0] != padding[1] or padding[2] != padding[3]:
            raise fields.error(
                f"attribute padding is {padding}, expected (h, h, w, w), as mmdeploy writes it"
            )
        padding = padding[::2]
    return _finish(fields, inputs, padding, default=1)


def _dcnv2(entry: DeformableNode) -> Reading:
    """ "DCNv2", as forks of that repository export it. Sizes are (h, w), or one number for both.

    Sources: dcn_v2.py of jinfagang/DCNv2_latest (DCNv2_2; deformable_groups); readme/ctdet2onnx.md
    and onnx-tensorrt/builtin_op_importers.cpp of CaoWGG/TensorRT-CenterNet (DCNv2; groups,
    deformable_group); the exporter of yolact::DCNv2 (stride_h and so on, as text). All order their
    inputs alike and write every size; where one is missing the readers differ in what they assume
    (CaoWGG's takes a padding of 1), so it is an error here.
    """
    fields = Fields(entry)
    inputs = fields.inputs("input", "offset", "mask", "weight", optional=["bias"])
    fields.ignore("name", "out_channel")  # of yolact::DCNv2, and of TensorRT plugins
    return _finish(fields, inputs, fields.sizes(PADDING, None), default=None)


def _openvino(entry: DeformableNode) -> Reading:
    """org.openvinotoolkit::DeformableConv2D, v1 without groups. Strides and dilations are (h, w).

    Sources: mmdeploy/mmcv/ops/deform_conv.py (mmdeploy 1.3.1), which writes the pads as
    (h, h, w, w); OpenVINO's ONNX frontend, which reads them as (top, left, bottom, right). Only
    where both are the same is it sure what the model means.
    """
    fields = Fields(entry)
    inputs = fields.inputs("input", "offset", "weight")
    pads = fields.sizes(PADDING, 0, lengths=(2, 4))
    if len(set(pads)) > 1:
        raise fields.error(
            f"attribute pads is {pads}: the exporter of this operator means (h, h, w, w) by it and "
            "OpenVINO reads (top, left, bottom, right); convert a model whose pads are all alike"
        )
    return _finish(fields, inputs, pads, default=1)


def _tensorrt(entry: DeformableNode) -> Reading:
    """ModulatedDeformConv2d of TensorRT's open-source plugins, v2, in any domain.

    Source: plugin/modulatedDeformConvPlugin of NVIDIA/TensorRT (README.md for inputs, attributes
    and defaults; ``enqueue`` in modulatedDeformConvPlugin.cpp for the order). The plugin passes the
    first of two sizes on as the width; exporters that write this node pass on PyTorch's (h, w).
    Where the two differ, what fits the tensors' sizes is meant; where both do, it is an error.
    """
    fields = Fields(entry)
    inputs = fields.inputs("input", "offset", "mask", "weight", optional=["bias"])
    fields.ignore("plugin_version", "plugin_namespace")
    as_written = _finish(fields, inputs, fields.sizes(PADDING, 0), default=1)
    swapped = dict(as_written.attributes)
    for name, value in swapped.items():
        if isinstance(value, list):
            swapped[name] = [*value[1::-1], *value[3:1:-1]]
    if swapped == as_written.attributes:
        return as_written
    fitting = [a for a in (as_written.attributes, swapped) if _fits(inputs, a)]
    if len(fitting) != 1:
        sizes = {n: v for n, v in as_written.attributes.items() if isinstance(v, list)}
        raise fields.error(
            f"{sizes}: TensorRT's plugin takes the first of two sizes for the width, exporters for "
            f"the height, and the tensors' sizes fit {'both' if fitting else 'neither'}; give the "
            "model fixed input sizes, or make the two alike"
        )
    return Reading(inputs, fitting[0])


def _packed(entry: DeformableNode) -> Reading:
    """ "Plugin" named DCNv2: offset and mask in one tensor, the mask before its sigmoid.

    Source: dcn_v2_onnx.py of jinfagang/DCNv2_latest. The first two thirds of the channels are the
    offset; ``info`` is JSON with stride, padding, dilation and deformable_groups.
    """
    fields = Fields(entry)
    inputs = fields.inputs("input", "offset", "weight", "bias")
    info = entry.node.attributes.get("info")
    try:
        read: Any = json.loads(str(info.value) if info is not None else "")
        values = {name: read.pop(name) for name in ("stride", "padding", "dilation")}
        sizes = [v if isinstance(v, list) else [v, v] for v in values.values()]
        offset_group = read.pop("deformable_groups")
        numbers = [number for size in sizes for number in size]
        if read or len(numbers) != 6 or not all(isinstance(n, int) for n in numbers):
            raise ValueError(f"sizes {sizes}, and more: {sorted(read)}")
        if offset_group not in range(1, _MOST_GROUPS):
            raise ValueError(f"deformable_groups is {offset_group}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise fields.error(
            f"attribute info is {info}, expected JSON with stride, padding, dilation (two numbers "
            f"each) and deformable_groups ({type(error).__name__}: {error})"
        ) from error
    fields.ignore("name", "info")
    fields.close()
    shape = shape_of(inputs["weight"])
    if shape is None or not all(isinstance(size, int) for size in shape[2:]):
        raise fields.error(f"its weight has the shape {shape}, expected a known one")
    rows = offset_group * int(shape[2]) * int(shape[3])  # type: ignore[arg-type]
    packed = inputs["offset"]
    offset = _channels(packed, range(2 * rows))
    mask = _channels(packed, range(2 * rows, 3 * rows))
    sigmoid = ir.node("Sigmoid", mask[-1].outputs)
    sigmoid.outputs[0].shape = mask[-1].outputs[0].shape
    if packed.dtype is not None:
        sigmoid.outputs[0].dtype = packed.dtype
    made = {"offset": offset[-1].outputs[0], "mask": sigmoid.outputs[0]}
    stride, padding, dilation = sizes
    attributes = _attributes(stride, padding, dilation, 1, offset_group)
    return Reading(inputs | made, attributes, (*offset, *mask, sigmoid))


def _channels(value: ir.Value, channels: range) -> tuple[ir.Node, ir.Node]:
    """Some channels of [N, C, H, W]. By Gather, which is the same in every opset; Split is not."""
    indices = ir.node("Constant", [], {"value": ir.tensor(list(channels))})
    taken = ir.node("Gather", [value, indices.outputs[0]], {"axis": 1})
    dims = value.shape if value.shape is not None and len(value.shape) == 4 else [None] * 4
    output = taken.outputs[0]
    if value.dtype is not None:
        output.dtype = value.dtype
    output.shape = ir.Shape([dims[0], len(channels), dims[2], dims[3]])
    return indices, taken


def _torchvision(entry: DeformableNode) -> Reading:
    """torchvision::deform_conv2d, which torch.onnx passes through under ONNX_FALLTHROUGH.

    Source: the operator's own signature (torchvision/csrc/ops/deform_conv2d.cpp): the tensors, then
    eight numbers and whether there is a mask, all of them inputs of the node.
    """
    fields = Fields(entry)
    numbers = ("stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w", "groups",
               "offset_groups", "use_mask")  # fmt: skip
    tensors = ("input", "weight", "offset", "mask", "bias")
    inputs = fields.inputs(*tensors, *numbers)
    fields.close()
    *geometry, use_mask = (fields.constant(5 + i, name) for i, name in enumerate(numbers))
    sizes = (geometry[0:2], geometry[2:4], geometry[4:6])
    kept = {n: v for n, v in inputs.items() if n in tensors and (use_mask or n != "mask")}
    return Reading(kept, _attributes(*sizes, *geometry[6:]))


def _finish(
    fields: Fields, inputs: Mapping[str, ir.Value], padding: Sequence[int], default: int | None
) -> Reading:
    """What all readers have in common. ``default`` is that of strides and dilations."""
    stride, dilation = fields.sizes(STRIDE, default), fields.sizes(DILATION, default)
    attributes = _attributes(
        stride, padding, dilation, fields.integer(GROUP, 1), fields.integer(OFFSET_GROUP, 1)
    )
    fields.require_kernel(inputs["weight"])
    fields.close()
    return Reading(inputs, attributes)


def _fits(inputs: Mapping[str, ir.Value], attributes: Mapping[str, Any]) -> bool:
    """Whether the op's own check finds nothing wrong with the sizes, as far as they are known."""
    specs: list[TensorSpec | None] = []
    for name in contract().inputs:
        shape = shape_of(inputs[name]) if name in inputs else None
        if shape is None:
            specs.append(TensorSpec("float32", None) if name in inputs else None)
            continue
        specs.append(
            TensorSpec("float32", [d if isinstance(d, int) else UNKNOWN_DIM for d in shape])
        )
    weight = shape_of(inputs["weight"])
    kernel = list(weight[2:]) if weight is not None else []
    try:
        check({"kernel_shape": kernel, **attributes}, specs)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Project:
    ops: Sequence[str]
    read: Callable[[DeformableNode], Reading]
    domains: Sequence[str] = ()
    """Empty: any."""
    needs_sizes: bool = False
    """Whether the reader looks at the sizes of what comes from other nodes."""


_MMCV_DOMAINS = ("mmcv", "mmdeploy")
_PROJECTS = (
    _Project(("MMCVDeformConv2d", "MMCVModulatedDeformConv2d"), _mmcv),
    _Project(("ModulatedDeformConv2d",), _mmcv, domains=_MMCV_DOMAINS),
    _Project(("ModulatedDeformConv2d",), _tensorrt, needs_sizes=True),
    _Project(("DCNv2", "DCNv2_2", "_DCNv2", "DCNv2Plugin"), _dcnv2),
    _Project(("Plugin",), _packed),
    _Project(("DeformableConv2D",), _openvino, domains=("org.openvinotoolkit",)),
    _Project(("deform_conv2d",), _torchvision, domains=("torchvision",)),
)


def _project(entry: DeformableNode) -> _Project:
    node = entry.node
    for project in _PROJECTS:
        if node.op_type in project.ops and (not project.domains or node.domain in project.domains):
            return project
    known = [
        f"{project.domains[0]}::{op}" if project.domains else op
        for project in _PROJECTS
        for op in project.ops
    ]
    raise ConversionError(
        f"node {entry.name!r}: the operator {entry.op} is not known; known are "
        f"{', '.join(dict.fromkeys(known))}, and ONNX's own DeformConv"
    )


def needs_sizes(entry: DeformableNode) -> bool:
    """Whether reading the node takes the sizes of its inputs.

    Raises:
        ConversionError: the operator is not known.
    """
    return _project(entry).needs_sizes


def read(entry: DeformableNode) -> Reading:
    """What the node computes.

    Raises:
        ConversionError: the operator is not known, or the node is not as its project writes it;
            the message names the node.
    """
    return _project(entry).read(entry)
