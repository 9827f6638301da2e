"""Hypothesis strategies: random valid problems, and random ways to spoil one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from cases import Case, Inputs
from hypothesis import strategies as st

_small = st.integers(1, 3)


@st.composite
def valid_cases(draw: st.DrawFn) -> Case:
    """Any problem that the contract allows, small enough for thousands a minute."""
    group, offset_group = draw(_small), draw(st.integers(1, 4))
    common = group * offset_group
    in_channels = common * draw(st.integers(1, max(1, 24 // common)))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation = (draw(_small), draw(_small))
    pads = tuple(draw(st.integers(0, 3)) for _ in range(4))
    size = []
    for axis in (0, 1):
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        least = max(1, extent - pads[axis] - pads[axis + 2])
        size.append(draw(st.integers(least, least + 12)))
    return Case(
        "random",
        batch=draw(st.integers(0, 3)),
        in_channels=in_channels,
        out_channels=group * draw(st.integers(1, 20)),
        size=(size[0], size[1]),
        kernel=kernel,
        stride=(draw(_small), draw(_small)),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        dilation=dilation,
        group=group,
        offset_group=offset_group,
        bias=draw(st.booleans()),
        mask=draw(st.booleans()),
        offsets=draw(st.sampled_from(["mixed", "zero", "integer", "tiny", "far"])),
    )


@dataclass
class Spoiled:
    """A call that must be refused with a message that matches ``message``."""

    inputs: Inputs
    attributes: dict[str, object]
    message: str


def _resized(tensor: torch.Tensor, dim: int, change: int) -> torch.Tensor:
    shape = list(tensor.shape)
    shape[dim] += change
    return torch.zeros(shape, dtype=tensor.dtype)


# name -> (spoil, the tensor or attribute that the message must name)
_TENSOR_SPOILS: dict[str, tuple[Callable[[Inputs, Case, int], None], str]] = {}


def _spoil(names: str) -> Callable[[Callable[[Inputs, Case, int], None]], None]:
    def register(function: Callable[[Inputs, Case, int], None]) -> None:
        _TENSOR_SPOILS[function.__name__] = (function, names)

    return register


@_spoil("^deform_conv2d: input has [35] dimensions, expected 4")
def input_rank(inputs: Inputs, case: Case, by: int) -> None:
    inputs.input = inputs.input[..., 0] if by % 2 else inputs.input.unsqueeze(0)


@_spoil("weight has [35] dimensions, expected 4")
def weight_rank(inputs: Inputs, case: Case, by: int) -> None:
    inputs.weight = inputs.weight[..., 0] if by % 2 else inputs.weight.unsqueeze(0)


@_spoil("offset has [35] dimensions, expected 4")
def offset_rank(inputs: Inputs, case: Case, by: int) -> None:
    inputs.offset = inputs.offset[..., 0] if by % 2 else inputs.offset.unsqueeze(0)


@_spoil(r"offset has \d+ channels, expected 2 \* offset_group \* kH \* kW = \d+")
def offset_channels(inputs: Inputs, case: Case, by: int) -> None:
    inputs.offset = _resized(inputs.offset, 1, by)


@_spoil(r"offset has batch \d+, expected \d+ like input")
def offset_batch(inputs: Inputs, case: Case, by: int) -> None:
    inputs.offset = _resized(inputs.offset, 0, by)


@_spoil(r"offset has height \d+, expected the output height \d+")
def offset_height(inputs: Inputs, case: Case, by: int) -> None:
    inputs.offset = _resized(inputs.offset, 2, by)


@_spoil(r"offset has width \d+, expected the output width \d+")
def offset_width(inputs: Inputs, case: Case, by: int) -> None:
    inputs.offset = _resized(inputs.offset, 3, by)


@_spoil(r"mask has \d+ channels, expected offset_group \* kH \* kW = \d+")
def mask_channels(inputs: Inputs, case: Case, by: int) -> None:
    inputs.mask = _resized(inputs.offset[:, : case.offset_group * case.taps], 1, by)


@_spoil(r"mask has batch \d+, expected \d+ like input")
def mask_batch(inputs: Inputs, case: Case, by: int) -> None:
    inputs.mask = _resized(inputs.offset[:, : case.offset_group * case.taps], 0, by)


@_spoil(r"mask has height \d+, expected \d+ like offset")
def mask_height(inputs: Inputs, case: Case, by: int) -> None:
    inputs.mask = _resized(inputs.offset[:, : case.offset_group * case.taps], 2, by)


@_spoil(r"mask has width \d+, expected \d+ like offset")
def mask_width(inputs: Inputs, case: Case, by: int) -> None:
    inputs.mask = _resized(inputs.offset[:, : case.offset_group * case.taps], 3, by)


@_spoil(r"bias has \d+ values, expected \d+ = output channels of weight")
def bias_length(inputs: Inputs, case: Case, by: int) -> None:
    inputs.bias = torch.zeros(case.out_channels + by, dtype=inputs.input.dtype)


@_spoil("bias has 2 dimensions, expected 1")
def bias_rank(inputs: Inputs, case: Case, by: int) -> None:
    inputs.bias = torch.zeros((case.out_channels, by), dtype=inputs.input.dtype)


@_spoil(r"weight has \d+ input channels, expected C / group = \d+")
def weight_channels(inputs: Inputs, case: Case, by: int) -> None:
    inputs.weight = _resized(inputs.weight, 1, by)


@_spoil("weight is float64, expected float32 like input")
def weight_dtype(inputs: Inputs, case: Case, by: int) -> None:
    inputs.weight = inputs.weight.double()


@_spoil("offset is float16, expected float32 like input")
def offset_dtype(inputs: Inputs, case: Case, by: int) -> None:
    inputs.offset = inputs.offset.half()


@_spoil("mask is float64, expected float32 like offset")
def mask_dtype(inputs: Inputs, case: Case, by: int) -> None:
    inputs.mask = inputs.offset[:, : case.offset_group * case.taps].double()


@_spoil("input has the unsupported dtype .+, expected float32, float16, bfloat16 or float64")
def input_dtype(inputs: Inputs, case: Case, by: int) -> None:
    inputs.input = inputs.input.int()


@_spoil("input has (height|width) 0, expected at least 1")
def empty_image(inputs: Inputs, case: Case, by: int) -> None:
    inputs.input = inputs.input[:, :, :0] if by % 2 else inputs.input[..., :0]


ATTRIBUTE_SPOILS: dict[str, tuple[dict[str, object], str]] = {
    "stride_zero": ({"strides": [1, 0]}, r"attribute strides is \[1, 0\]"),
    "stride_negative": ({"strides": [-2, 1]}, r"attribute strides is \[-2, 1\]"),
    "three_strides": ({"strides": [1, 1, 1]}, "attribute strides has 3 values, expected 2"),
    "pad_negative": ({"pads": [0, -1, 0, 0]}, r"attribute pads is \[0, -1, 0, 0\], expected"),
    "two_pads": ({"pads": [1, 1]}, "attribute pads has 2 values, expected 4"),
    "dilation_zero": ({"dilations": [0, 1]}, "attribute dilations"),
    "dilation_huge": ({"dilations": [1, 2**40]}, "attribute dilations"),
    "group_zero": ({"group": 0}, "attribute group is 0, expected at least 1"),
    "group_negative": ({"group": -1}, "attribute group is -1"),
    "group_not_a_divisor": ({"group": 997}, "expected a multiple of group = 997"),
    "offset_group_zero": ({"offset_group": 0}, "attribute offset_group is 0"),
    "offset_group_not_a_divisor": ({"offset_group": 997}, "a multiple of offset_group = 997"),
    "pads_huge": ({"pads": [2**20, 0, 0, 0]}, "height with padding is"),
    "kernel_outgrows_image": ({"dilations": [5000, 1]}, "smaller than the kernel's extent"),
}


@st.composite
def spoiled_calls(draw: st.DrawFn, make_inputs: Callable[[Case, torch.dtype], Inputs]) -> Spoiled:
    """A valid problem with one thing wrong."""
    case = draw(valid_cases().filter(lambda case: case.batch > 0))
    inputs = make_inputs(case, torch.float32)
    attributes = case.attributes()
    del attributes["kernel_shape"]
    names = [*_TENSOR_SPOILS, *ATTRIBUTE_SPOILS]
    name = draw(st.sampled_from(names))
    if name in _TENSOR_SPOILS:
        spoil, message = _TENSOR_SPOILS[name]
        spoil(inputs, case, draw(st.integers(1, 3)))
        return Spoiled(inputs, attributes, message)
    changes, message = ATTRIBUTE_SPOILS[name]
    if name == "kernel_outgrows_image" and case.kernel[0] == 1:
        changes, message = ATTRIBUTE_SPOILS["stride_zero"]
    return Spoiled(inputs, {**attributes, **changes}, message)
