"""Folding the op that deform_conv2d_onnx_exporter spreads over 80 nodes back into one.

That exporter (PyPI, 1.2.0; github.com/masamitsu-murase/deform_conv2d_onnx_exporter) pads the image,
gathers the four pixels of every sample with GatherND or GatherElements, adds them up by their
weights, lays the samples out as an image of kernels and convolves that with a stride of the kernel:

    Pad(input) ---------------------------+
    positions + Reshape(offset) -> Floor -+-> gathers -> Sum -> [* Reshape(mask)]
        -> Reshape, Transpose, Reshape -> Conv -> [+ bias]

Only this skeleton is looked for, because optimizers rearrange what is between. Whether it computes
what the skeleton says is then shown and not assumed: the nodes run in onnxruntime on random inputs,
offsets beyond the border among them, and must equal the float64 reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from numpy.typing import NDArray

from ..arrays import to_array, to_tensor
from ..contract import contract
from ..errors import ConversionError
from ..onnx_graph import shape_of
from ..runtimes.onnxruntime import QUIET, run, stock_session
from ..tolerances import STOCK_TOLERANCE
from ..verification.difference import difference
from ..verification.observation import NodeRun

# Kernels side by side: [N, C, oH, kH, oW, kW] of [N, C, kH, kW, oH, oW].
_TO_KERNELS = [0, 1, 4, 2, 5, 3]
_GATHERS = ("GatherND", "GatherElements")
_SPREAD = 3.0
"""Standard deviation of the random offsets, in pixels."""


@dataclass(frozen=True)
class _Skeleton:
    """What a group of nodes seems to compute."""

    convolution: ir.Node
    last: ir.Value
    """What the group makes, [N, O, oH, oW]."""
    inputs: Mapping[str, ir.Value]
    """By the contract's names, the bias excepted."""
    bias: ir.Value | None
    attributes: Mapping[str, Any]


def fold(model: ir.Model) -> list[ir.Node]:
    """Replace every such group of nodes by one of ours, in place; the new nodes.

    Raises:
        ConversionError: a group has the skeleton but not the sizes or results that go with it; the
            message names its convolution.
        ImportError: onnxruntime, which the groups are tried in, is not there.
    """
    folded = []
    for node in list(model.graph):
        if _is_tail(node):
            skeleton = _read(node)
            _try(model, skeleton)
            folded.append(_replace(model, skeleton))
    return folded


def _producer(value: ir.Value | None, *ops: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.domain == "" and node.op_type in ops else None


def _kernel_image(convolution: ir.Node) -> ir.Value | None:
    """The samples, [N, C, kH, kW, oH, oW], that the convolution takes as an image of kernels."""
    value = convolution.inputs[0] if convolution.inputs else None
    for op in ("Reshape", "Transpose", "Reshape"):
        node = _producer(value, op)
        if node is None or (op == "Transpose" and _ints(node, "perm") != _TO_KERNELS):
            return None
        value = node.inputs[0]
    return value


def _ints(node: ir.Node, name: str) -> list[int]:
    attribute = node.attributes.get(name)
    if attribute is None or attribute.type != ir.AttributeType.INTS:
        return []
    return list(attribute.as_ints())


def _is_tail(node: ir.Node) -> bool:
    if node.domain != "" or node.op_type != "Conv":
        return False
    kernel = _ints(node, "kernel_shape")
    samples = _kernel_image(node)
    if len(kernel) != 2 or _ints(node, "strides") != kernel or samples is None:
        return False
    return any(above.op_type in _GATHERS for above in _above(samples))


def _above(value: ir.Value, until: Callable[[ir.Node], bool] = lambda node: False) -> list[ir.Node]:
    """Every node that the value is made from, up to those that ``until`` holds for."""
    seen: dict[ir.Node, None] = {}
    waiting = [value.producer()]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen[node] = None
        if not until(node):
            waiting += [item.producer() for item in node.inputs if item is not None]
    return list(seen)


def _error(convolution: ir.Node, what: str) -> ConversionError:
    return ConversionError(
        f"node {convolution.name!r} ends what looks like a deformable convolution written by "
        f"deform_conv2d_onnx_exporter, but {what}"
    )


def _constant(value: ir.Value | None) -> NDArray[Any] | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def _read(convolution: ir.Node) -> _Skeleton:
    samples = _kernel_image(convolution)
    assert samples is not None
    kernel = _ints(convolution, "kernel_shape")
    mask = None
    product = _producer(samples, "Mul")
    if product is not None:
        # What is reshaped from four dimensions is the mask; the other is the sum of the gathers.
        masks = [value for value in product.inputs if _producer(value, "Reshape")]
        if len(masks) != 1:
            raise _error(convolution, "which factor of its product is the mask cannot be told")
        mask = _reshaped(masks[0])
        # The mask comes from layers of its own, which may end in other such groups.
        samples = next(value for value in product.inputs if value and value is not masks[0])
    above = _above(samples, lambda node: node.op_type == "Pad" or _positions(node) is not None)
    pads = [node for node in above if node.op_type == "Pad"]
    moved = [found for node in above if (found := _positions(node)) is not None]
    if len(pads) != 1 or len(moved) != 1:
        raise _error(
            convolution, f"it has {len(pads)} padded images and {len(moved)} sets of positions"
        )
    (positions, offset), (pad,) = moved[0], pads
    padding = _constant(pad.inputs[1] if len(pad.inputs) > 1 else None)
    weight = convolution.inputs[1]
    image = pad.inputs[0]
    if padding is None or padding.size != 8 or weight is None or image is None:
        raise _error(convolution, "its padding is no constant")
    last, bias = _with_bias(convolution)
    inputs = {"input": image, "weight": weight, "offset": offset}
    if mask is not None:
        inputs["mask"] = mask
    return _Skeleton(
        convolution,
        last,
        inputs,
        bias,
        _attributes(convolution, inputs, positions, padding.tolist(), kernel),
    )


def _reshaped(value: ir.Value | None) -> ir.Value:
    node = _producer(value, "Reshape")
    assert node is not None
    assert node.inputs[0] is not None
    return node.inputs[0]


def _positions(node: ir.Node) -> tuple[NDArray[Any], ir.Value] | None:
    """The constant and the offset of an Add of [1, 1, kH*kW, 2, oH, oW] positions and offsets."""
    if node.domain != "" or node.op_type != "Add" or len(node.inputs) != 2:
        return None
    for constant, other in (node.inputs, node.inputs[::-1]):
        values = _constant(constant)
        if values is not None and values.ndim == 6 and _producer(other, "Reshape"):
            return values, _reshaped(other)
    return None


def _with_bias(convolution: ir.Node) -> tuple[ir.Value, ir.Value | None]:
    """The output after a constant bias, [1, O, 1, 1], that may follow, and the bias."""
    output = convolution.outputs[0]
    if len(convolution.inputs) > 2 and convolution.inputs[2] is not None:
        return output, convolution.inputs[2]
    uses = list(output.uses())
    node = uses[0].node if len(uses) == 1 and not output.is_graph_output() else None
    if node is None or node.domain != "" or node.op_type != "Add":
        return output, None
    (bias,) = (value for value in node.inputs if value is not output)
    # An Identity stands where torch.onnx found two weights to be one.
    while above := _producer(bias, "Unsqueeze", "Identity"):
        bias = above.inputs[0]
    values = _constant(bias)
    if values is None or values.shape not in ((values.size,), (1, values.size, 1, 1)):
        return output, None
    return node.outputs[0], bias


def _attributes(
    convolution: ir.Node,
    inputs: Mapping[str, ir.Value],
    positions: NDArray[Any],
    padding: Sequence[int],
    kernel: Sequence[int],
) -> dict[str, Any]:
    """The sizes that the positions follow from.

    The exporter pads by at least one pixel, and moves every position by what it pads more.
    """
    shapes = {name: shape_of(value) for name, value in inputs.items()}
    if any(
        shape is None or len(shape) != 4 or not all(isinstance(size, int) for size in shape)
        for shape in shapes.values()
    ):
        raise _error(convolution, f"its sizes are not known: {shapes}")
    image, offset = ([int(d or 0) for d in shapes[name] or ()] for name in ("input", "offset"))
    out = offset[2:]
    if positions.shape != (1, 1, kernel[0] * kernel[1], 2, *out):
        raise _error(convolution, f"its positions are {list(positions.shape)}")
    grid = positions[0, 0].reshape(*kernel, 2, *out)
    strides, dilations, pads = [], [], []
    for axis in (0, 1):
        along = grid[:, 0, axis] if axis == 0 else grid[0, :, axis]  # [kernel, oH, oW]
        line = along[:, :, 0] if axis == 0 else along[:, 0, :]  # [kernel, out]
        more = int(line[0, 0])
        pad = int(padding[2 + axis]) - more
        dilation = int(line[1, 0]) - more if kernel[axis] > 1 else 1
        extent = dilation * (kernel[axis] - 1) + 1
        # Where there is one output only, any stride that leaves room for no second one will do.
        free = image[2 + axis] + 2 * pad - extent
        stride = int(line[0, 1]) - more if out[axis] > 1 else max(free + 1, 1)
        strides.append(stride)
        dilations.append(dilation)
        pads.append(pad)
    group = convolution.attributes.get_int("group", 1)
    values = (
        list(kernel),
        strides,
        [*pads, *pads],
        dilations,
        group,
        offset[1] // (2 * kernel[0] * kernel[1]),
    )
    return dict(zip(contract().attributes, values, strict=True))


def _try(model: ir.Model, skeleton: _Skeleton) -> None:
    """Run the group beside the reference.

    Raises:
        ConversionError: it computes something else than the skeleton says.
    """
    varying = {name: value for name, value in skeleton.inputs.items() if _constant(value) is None}
    graph = skeleton.convolution.graph
    assert isinstance(graph, ir.Graph)
    try:
        part = ir.convenience.extract(graph, list(varying.values()), [skeleton.last])
    except ValueError as error:
        raise _error(skeleton.convolution, f"it takes more than its inputs: {error}") from error
    proto = ir.to_proto(ir.Model(part, ir_version=model.ir_version))
    session = stock_session(proto.SerializeToString(), **QUIET)
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, value in skeleton.inputs.items():
        fixed = _constant(value)
        if fixed is not None:
            tensors[name] = to_tensor(fixed)
            continue
        shape = [int(size or 0) for size in shape_of(value) or ()]
        drawn = torch.randn(shape, generator=generator) * (_SPREAD if name == "offset" else 1.0)
        dtype = value.dtype or ir.DataType.FLOAT
        tensors[name] = to_tensor(to_array(drawn).astype(dtype.numpy()))
    feed = {str(value.name): to_array(tensors[name]) for name, value in varying.items()}
    (result,) = run(session, feed).values()
    output = to_tensor(result)
    bias = _constant(skeleton.bias)
    if bias is not None:
        tensors["bias"] = to_tensor(bias.reshape(-1))
    node = NodeRun(str(skeleton.convolution.name), tensors, output, skeleton.attributes)
    tolerance = STOCK_TOLERANCE[str(output.dtype).removeprefix("torch.")]
    apart = difference(output, node.float64_output(), tolerance)
    if not apart.ok:
        raise _error(skeleton.convolution, f"computes something else on random inputs: {apart}")


def _flat(graph: ir.Graph, bias: ir.Value) -> ir.Value:
    """The bias as [O], shared by all that share it."""
    if len(shape_of(bias) or ()) == 1:
        return bias
    values = _constant(bias)
    assert values is not None
    name = f"{bias.name}.flat"
    if name not in graph.initializers:
        tensor = ir.tensor(values.reshape(-1), name=name)
        graph.initializers.add(ir.Value(name=name, const_value=tensor))
    return graph.initializers[name]


def _replace(model: ir.Model, skeleton: _Skeleton) -> ir.Node:
    inputs = dict(skeleton.inputs)
    graph = skeleton.convolution.graph
    assert isinstance(graph, ir.Graph)
    if skeleton.bias is not None:
        inputs["bias"] = _flat(graph, skeleton.bias)
    ordered = [inputs.get(name) for name in contract().inputs]
    while ordered[-1] is None:
        ordered.pop()
    last = skeleton.last.producer()
    assert last is not None
    node = ir.Node(
        contract().domain,
        contract().op,
        ordered,
        ir.convenience.convert_attributes(skeleton.attributes),
        name=last.name or skeleton.convolution.name,
        doc_string=f"nodes of deform_conv2d_onnx_exporter up to {skeleton.convolution.name}",
    )
    node.outputs[0].type, node.outputs[0].shape = skeleton.last.type, skeleton.last.shape
    ir.convenience.replace_nodes_and_values(
        graph, last, [last], [node], [skeleton.last], node.outputs
    )
    model.opset_imports[contract().domain] = contract().version
    return node
