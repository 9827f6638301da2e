"""Named problems that every runtime must solve, and what each must answer.

Asymmetric by default: a kernel, stride, dilation or pad that is the same in both directions hides
swapped axes, and equal group counts hide swapped groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dcn_deploy import reference

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True)
class Case:
    name: str
    batch: int = 2
    in_channels: int = 12
    out_channels: int = 8
    size: tuple[int, int] = (9, 11)
    kernel: tuple[int, int] = (3, 2)
    stride: tuple[int, int] = (2, 1)
    pads: tuple[int, int, int, int] = (1, 0, 2, 1)  # top, left, bottom, right
    dilation: tuple[int, int] = (1, 2)
    group: int = 2
    offset_group: int = 3
    bias: bool = True
    mask: bool = True
    offsets: str = "mixed"  # mixed, zero, integer, tiny, far

    @property
    def output_size(self) -> tuple[int, int]:
        top, left, bottom, right = self.pads
        sizes = []
        for axis, pad in ((0, top + bottom), (1, left + right)):
            extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            sizes.append((self.size[axis] + pad - extent) // self.stride[axis] + 1)
        return sizes[0], sizes[1]

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def attributes(self) -> dict[str, object]:
        """In ONNX words."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.stride),
            "pads": list(self.pads),
            "dilations": list(self.dilation),
            "group": self.group,
            "offset_group": self.offset_group,
        }


@dataclass
class Inputs:
    """In ONNX order; None where the case has no such input."""

    input: Tensor
    weight: Tensor
    offset: Tensor
    bias: Tensor | None
    mask: Tensor | None

    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.input, self.weight, self.offset, self.bias, self.mask


def _offsets(case: Case, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    match case.offsets:
        case "mixed":
            return values * 2
        case "zero":
            return values * 0
        case "integer":
            return (values * 2).round()
        case "tiny":
            return values * 1e-6
        case "far":
            return values * 40
    raise AssertionError(case.offsets)


def make_inputs(
    case: Case, dtype: torch.dtype, coordinate_dtype: torch.dtype | None = None, seed: int = 0
) -> Inputs:
    """Random inputs, the same values for each dtype up to its rounding."""
    generator = torch.Generator().manual_seed(seed)
    out_h, out_w = case.output_size
    coordinates = coordinate_dtype or dtype

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    fan_in = case.in_channels // case.group * case.taps
    rows = case.offset_group * case.taps
    image = normal(case.batch, case.in_channels, *case.size)
    weight = normal(case.out_channels, case.in_channels // case.group, *case.kernel) / fan_in**0.5
    offset = _offsets(case, (case.batch, 2 * rows, out_h, out_w), generator)
    bias = normal(case.out_channels)
    mask = torch.sigmoid(normal(case.batch, rows, out_h, out_w))
    return Inputs(
        image.to(dtype),
        weight.to(dtype),
        offset.to(coordinates),
        bias.to(dtype) if case.bias else None,
        mask.to(coordinates) if case.mask else None,
    )


def expected(case: Case, inputs: Inputs) -> Tensor:
    """The float64 answer for exactly these inputs."""
    image, weight, offset, bias, mask = (
        None if tensor is None else tensor.double() for tensor in inputs.tensors()
    )
    assert image is not None
    assert weight is not None
    assert offset is not None
    return reference.deform_conv2d(
        image,
        offset,
        weight,
        bias,
        case.stride,
        case.pads,
        case.dilation,
        mask,
        groups=case.group,
        offset_groups=case.offset_group,
    )


def relative_error(actual: Tensor, wanted: Tensor) -> float:
    """‖actual - wanted‖ / ‖wanted‖, in float64."""
    assert actual.shape == wanted.shape
    difference = (actual.double() - wanted.double()).norm()
    return float(difference / wanted.double().norm().clamp_min(1e-30))


_BASE = Case("asymmetric")
_PLAIN = replace(_BASE, group=1, offset_group=1)


def _named(base: Case, **variants: dict[str, object]) -> list[Case]:
    return [replace(base, name=name, **changes) for name, changes in variants.items()]  # type: ignore[arg-type]


CASES: list[Case] = [
    _BASE,
    *_named(
        _BASE,
        no_bias={"bias": False},
        no_mask={"mask": False},
        no_bias_no_mask={"bias": False, "mask": False},
        batch_0={"batch": 0},
        batch_1={"batch": 1},
        batch_33={"batch": 33, "size": (5, 6)},
        zero_offsets={"offsets": "zero"},
        integer_offsets={"offsets": "integer"},
        tiny_offsets={"offsets": "tiny"},
        far_offsets={"offsets": "far"},
        kernel_1x1={"kernel": (1, 1), "dilation": (1, 1)},
        kernel_1x3={"kernel": (1, 3)},
        kernel_3x1={"kernel": (3, 1)},
        kernel_2x2={"kernel": (2, 2)},
        kernel_3x3={"kernel": (3, 3)},
        kernel_4x5={"kernel": (4, 5), "size": (13, 12)},
        kernel_3x5_pad_1_2={"kernel": (3, 5), "pads": (1, 2, 1, 2), "dilation": (1, 1)},
        kernel_7x6={"kernel": (7, 6), "size": (16, 13), "dilation": (1, 2)},
        kernel_9x8_beyond_64_taps={"kernel": (9, 8), "size": (18, 15), "dilation": (1, 1)},
        stride_1x2={"stride": (1, 2), "dilation": (2, 1)},
        stride_3x1={"stride": (3, 1)},
        stride_larger_than_kernel={"stride": (4, 3), "size": (17, 19)},
        pad_top={"pads": (2, 0, 0, 0)},
        pad_left={"pads": (0, 2, 0, 0)},
        pad_bottom={"pads": (0, 0, 2, 0)},
        pad_right={"pads": (0, 0, 0, 2)},
        pads_larger_than_image={"pads": (6, 7, 5, 4), "size": (3, 4)},
        no_pads={"pads": (0, 0, 0, 0)},
        dilation_1x3={"dilation": (1, 3)},
        dilation_3x1={"dilation": (3, 1), "size": (11, 9)},
        image_1x1={"size": (1, 1), "pads": (2, 1, 2, 1)},
        image_one_row={"size": (1, 23), "pads": (2, 1, 2, 0)},
        image_one_column={"size": (23, 1), "pads": (0, 1, 1, 1)},
        output_1x1={"size": (3, 3), "pads": (0, 0, 1, 0)},
        several_tiles={"size": (41, 37), "batch": 1, "stride": (1, 1)},
    ),
    *_named(
        _BASE,
        group_1_offset_group_2={"group": 1, "offset_group": 2},
        group_2_offset_group_1={"group": 2, "offset_group": 1},
        group_3_offset_group_2={"group": 3, "offset_group": 2, "out_channels": 9},
        group_4_offset_group_4={"group": 4, "offset_group": 4},
        group_4_offset_group_6={"group": 4, "offset_group": 6},
        groups_straddle={"in_channels": 20, "group": 4, "offset_group": 10},
        depthwise={"group": 12, "offset_group": 1, "out_channels": 12},
        depthwise_own_offsets={"group": 12, "offset_group": 12, "out_channels": 12},
        depthwise_multiplier={"group": 12, "offset_group": 2, "out_channels": 36},
        every_channel_its_offsets={"group": 1, "offset_group": 12},
    ),
    *_named(
        _PLAIN,
        channels_1_to_1={"in_channels": 1, "out_channels": 1},
        channels_3_to_7={"in_channels": 3, "out_channels": 7},
        channels_5_to_17={"in_channels": 5, "out_channels": 17},
        channels_8_to_16={"in_channels": 8, "out_channels": 16},
        channels_17_to_31={"in_channels": 17, "out_channels": 31},
        channels_33_to_33={"in_channels": 33, "out_channels": 33},
        channels_37_to_50={"in_channels": 37, "out_channels": 50},
        channels_64_to_65={"in_channels": 64, "out_channels": 65},
        channels_96_to_48={"in_channels": 96, "out_channels": 48},
        channels_130_to_2={"in_channels": 130, "out_channels": 2},
        deep_k_several_chunks={"in_channels": 600, "out_channels": 9, "size": (6, 7)},
        wide_output_two_blocks={"in_channels": 7, "out_channels": 530, "size": (6, 5)},
    ),
    # The layers of published models, on small images; asymmetric where the model leaves it open.
    *_named(
        _PLAIN,
        centernet_64={"in_channels": 64, "out_channels": 64, "kernel": (3, 3), "stride": (1, 1),
                      "pads": (1, 1, 1, 1), "dilation": (1, 1), "size": (12, 15)},
        yolact_stride_2={"in_channels": 32, "out_channels": 32, "kernel": (3, 3),
                         "stride": (2, 2), "pads": (1, 1, 1, 1), "dilation": (1, 1)},
        birefnet_7x7={"in_channels": 16, "out_channels": 24, "kernel": (7, 7), "stride": (1, 1),
                      "pads": (3, 3, 3, 3), "dilation": (1, 1), "bias": False},
        basicvsr_16_offset_groups={"in_channels": 64, "out_channels": 32, "kernel": (3, 3),
                                   "stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1),
                                   "offset_group": 16, "offsets": "far"},
        edvr_8_offset_groups={"in_channels": 64, "out_channels": 64, "kernel": (3, 3),
                              "stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1),
                              "offset_group": 8},
        six_channels_per_offset_group={"in_channels": 96, "out_channels": 48, "kernel": (3, 3),
                                       "stride": (1, 1), "pads": (1, 1, 1, 1),
                                       "dilation": (1, 1), "offset_group": 16},
        tood_1x1={"in_channels": 4, "out_channels": 4, "kernel": (1, 1), "stride": (1, 1),
                  "pads": (0, 0, 0, 0), "dilation": (1, 1), "group": 4, "offset_group": 4,
                  "bias": False, "mask": False},
        stmask_3x5={"in_channels": 24, "out_channels": 24, "kernel": (3, 5), "stride": (1, 1),
                    "pads": (1, 2, 1, 2), "dilation": (1, 1), "mask": False},
    ),
]  # fmt: skip

assert len({case.name for case in CASES}) == len(CASES) >= 60
BY_NAME = {case.name: case for case in CASES}

# Layers of published models, which fill a GPU.
LARGE = [
    replace(BY_NAME["centernet_64"], name="64 to 64, 90x160", size=(90, 160)),
    replace(
        BY_NAME["centernet_64"],
        name="256 to 256, 50x84",
        in_channels=256,
        out_channels=256,
        size=(50, 84),
    ),
    replace(BY_NAME["basicvsr_16_offset_groups"], name="16 offset groups, 90x160", size=(90, 160)),
]
