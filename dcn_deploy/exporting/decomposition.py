"""The op in standard operators that every runtime has, for those without a DeformConv.

All taps of an offset group are sampled by one GridSample, whose output is then what an ordinary
convolution multiplies with its kernel:

    offset -> positions in the image -> GridSample -> times mask -> MatMul with the weight -> + bias

GridSample's padding_mode "zeros" is the op's own rule: each of a sample's four pixels that lies
outside counts as zero. Batch and sizes may be dynamic: they are read from the tensors' shapes, and
every reshape either copies a dimension (0) or leaves one to follow from the rest (-1), which an
empty batch does not allow.

Runtimes turn a coordinate into an integer before they look whether it is inside. So an offset that
is NaN, infinite or beyond 2^20 pixels is set to 2^20 first, which lies outside of every image that
the op's check accepts: such samples are zero, as in our kernels.

GridSample takes positions as fractions of the image, which float32 resolves to about W * 6e-8
pixels: the price is accuracy as in any kernel that adds the offset to its position first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

DECOMPOSED_SINCE = 16
"""The opset that brought GridSample."""
_GRID_SAMPLE_LINEAR_SINCE = 20
"""The opset from which on GridSample calls its two-dimensional bilinear mode "linear"."""
_FAR = 2.0**20
_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class _Graph(Tape):
    """The standard operators, and constants, by the shortest names."""

    def __call__(self, op: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        return self.op(op, inputs, attributes)

    def constant(self, value: Any, dtype: ir.DataType = ir.DataType.INT64) -> ir.Value:
        array = np.asarray(value).astype(dtype.numpy())
        return self("Constant", value=ir.tensor(array, dtype=dtype))

    def reshape(self, value: ir.Value, *sizes: int) -> ir.Value:
        """0 copies the dimension in its place, -1 follows from the others."""
        return self("Reshape", value, self.constant(sizes))


def decompose(
    inputs: Mapping[str, ir.Value],
    attributes: Mapping[str, Any],
    opset: int,
) -> tuple[list[ir.Node], ir.Value]:
    """One deformable convolution.

    Args:
        inputs: by the contract's names; the weight's shape, [O, C/group, kH, kW], is known
        attributes: by the contract's names, all of them
        opset: of the model, at least DECOMPOSED_SINCE

    Returns:
        The nodes, in order, and the output, [N, O, oH, oW].
    """
    graph = _Graph()
    dtype = inputs["input"].dtype or ir.DataType.FLOAT
    # Runtimes have no GridSample for halves, and positions need float32 anyway.
    work = ir.DataType.FLOAT if dtype in _HALVES else dtype
    values = {
        name: graph("Cast", value, to=work) if value.dtype not in (None, work) else value
        for name, value in inputs.items()
    }
    weight = values["weight"]
    out_channels, group_channels, kernel_h, kernel_w = _sizes(inputs["weight"])
    group, offset_group = attributes["group"], attributes["offset_group"]
    taps, channels = kernel_h * kernel_w, group_channels * group

    image = values["input"]
    if offset_group > 1:  # [N * offset_group, C / offset_group, H, W]
        image = graph.reshape(image, -1, channels // offset_group, 0, 0)
    out_size = graph("Shape", values["offset"], start=2)
    position = graph(
        "Add",
        _finite_shift(graph, values["offset"], taps, work),
        _undeformed(graph, out_size, attributes, (kernel_h, kernel_w), work),
    )
    samples = graph(
        "GridSample",
        image,
        _grid(graph, position, image, work),
        mode="linear" if opset >= _GRID_SAMPLE_LINEAR_SINCE else "bilinear",
        padding_mode="zeros",
        align_corners=0,
    )  # [N * offset_group, C / offset_group, kH*kW, oH*oW]
    if "mask" in values:
        mask = graph.reshape(values["mask"], -1, taps, 0, 0)
        samples = graph("Mul", samples, graph.reshape(mask, 0, 1, taps, -1))

    depth = group_channels * taps
    columns = graph.reshape(samples, -1, group, depth, 0)
    kernel = graph.reshape(weight, group, out_channels // group, depth)
    shape = graph("Concat", graph.constant([0, out_channels]), out_size, axis=0)
    output = graph("Reshape", graph("MatMul", kernel, columns), shape)
    if "bias" in values:
        output = graph("Add", output, graph.reshape(values["bias"], -1, 1, 1))
    if work != dtype:
        output = graph("Cast", output, to=dtype)
    return list(graph.nodes), output


def _sizes(value: ir.Value) -> Sequence[int]:
    shape = value.shape
    assert shape is not None
    assert shape.is_static()
    return shape.numpy()


def _finite_shift(graph: _Graph, offset: ir.Value, taps: int, work: ir.DataType) -> ir.Value:
    """The offset as [N * offset_group, kH*kW, 2 (y, x), oH*oW], without NaN and Inf."""
    shift = graph.reshape(graph.reshape(offset, -1, 2 * taps, 0, 0), 0, taps, 2, -1)
    far = graph.constant(_FAR, work)
    return graph("Where", graph("Less", graph("Abs", shift), far), shift, far)


def _undeformed(
    graph: _Graph,
    out_size: ir.Value,
    attributes: Mapping[str, Any],
    kernel: Sequence[int],
    work: ir.DataType,
) -> ir.Value:
    """Where an undeformed convolution looks: [kH*kW, 2 (y, x), oH*oW], in pixels of the image."""
    axes = []
    for axis, column in ((0, (-1, 1)), (1, (1, -1))):
        size = graph("Gather", out_size, graph.constant(axis), axis=0)
        indices = graph("Range", graph.constant(0), size, graph.constant(1))
        steps = graph("Mul", indices, graph.constant(attributes["strides"][axis]))
        plane = graph("Expand", graph.reshape(steps, *column), out_size)
        axes.append(graph.reshape(plane, 1, -1))
    corners = graph("Concat", *axes, axis=0)  # [2, oH*oW]
    tap_y, tap_x = np.indices(kernel).reshape(2, -1)
    tap = np.stack([tap_y, tap_x], axis=1) * attributes["dilations"] - attributes["pads"][:2]
    return graph("Cast", graph("Add", corners, graph.constant(tap[..., None])), to=work)


def _grid(graph: _Graph, position: ir.Value, image: ir.Value, work: ir.DataType) -> ir.Value:
    """Positions as GridSample takes them: (x, y) last, -1 .. 1 from edge to edge of the image.

    Edge to edge (align_corners=0) and not from centre to centre, which an image of one pixel does
    not have: pixel p is (2p + 1) / size - 1.
    """
    size = graph("Cast", graph("Shape", image, start=2), to=work)
    size = graph.reshape(size, 2, 1)
    one, two = graph.constant(1, work), graph.constant(2, work)
    scaled = graph("Mul", position, graph("Div", two, size))
    fractions = graph("Add", scaled, graph("Sub", graph("Div", one, size), one))
    x_first = graph("Gather", fractions, graph.constant([1, 0]), axis=2)
    return graph("Transpose", x_first, perm=[0, 1, 3, 2])
