"""The layers that are timed, what they cost at least, and what the kernels are meant to reach."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from cases import Case, Inputs
from cuda_core.judging import FORWARD, Kind

FORWARD_PASS, BOTH_PASSES = "forward", "forward and backward"
PASSES = (FORWARD_PASS, BOTH_PASSES)
KINDS = ("float16", "bfloat16", "float32", "float32 as TF32")


def _layer(name: str, channels: tuple[int, int], size: tuple[int, int], **changes: object) -> Case:
    like_published_models = Case(
        name,
        batch=1,
        in_channels=channels[0],
        out_channels=channels[1],
        size=size,
        kernel=(3, 3),
        stride=(1, 1),
        pads=(1, 1, 1, 1),
        dilation=(1, 1),
        group=1,
        offset_group=1,
    )
    return replace(like_published_models, **changes)  # type: ignore[arg-type]


LAYERS = (
    _layer("256→256 50x84", (256, 256), (50, 84)),
    _layer("512→512 25x42", (512, 512), (25, 42)),
    _layer("8x 256→256 50x84", (256, 256), (50, 84), batch=8),
    _layer("8x 64→64 180x320 og 16", (64, 64), (180, 320), batch=8, offset_group=16),
)
MORE_LAYERS = (
    _layer("64→256 64x64 k7", (64, 256), (64, 64), kernel=(7, 7), pads=(3, 3, 3, 3)),
    _layer("8x 128→128 100x168 no mask", (128, 128), (100, 168), batch=8, mask=False),
)

# Microseconds on an H200: channels-last in, the weight packed, a replayed graph.
TARGET_US = {
    ("256→256 50x84", "float16"): 15,
    ("512→512 25x42", "float16"): 17,
    ("8x 256→256 50x84", "float16"): 130,
    ("8x 64→64 180x320 og 16", "float16"): 260,
    ("256→256 50x84", "float32"): 65,
}
TORCHVISION_LEAD = 3.0  # times as fast as its kernel in the same dtype, in both passes too
TO_CONV = 2.5  # times cuDNN's plain convolution, in float16, at most
TO_FORWARD = 4.5  # forward and backward, to forward alone


Work = tuple[Case, str, str]  # layer, kind, pass


def all_work(*, quick: bool) -> list[Work]:
    """The most telling first."""
    halves = [(case, "float16", which) for case in LAYERS for which in PASSES]
    exact = [(case, "float32", FORWARD_PASS) for case in LAYERS]
    if quick:
        return halves + exact
    others = [(case, kind, which) for kind in KINDS for case in LAYERS for which in PASSES]
    others += [(case, "float16", which) for case in MORE_LAYERS for which in PASSES]
    begun = halves + exact
    return begun + [work for work in others if work not in begun]


def make_layer_inputs(case: Case, dtype: torch.dtype, seed: int) -> Inputs:
    """Random, on the GPU; offsets are normal with a deviation of one pixel."""
    generator = torch.Generator("cuda").manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device="cuda", dtype=dtype)

    rows, fan_in = case.offset_group * case.taps, case.in_channels // case.group * case.taps
    return Inputs(
        normal(case.batch, case.in_channels, *case.size),
        normal(case.out_channels, case.in_channels // case.group, *case.kernel) / fan_in**0.5,
        normal(case.batch, 2 * rows, *case.output_size),
        normal(case.out_channels),
        torch.sigmoid(normal(case.batch, rows, *case.output_size)) if case.mask else None,
    )


@dataclass(frozen=True)
class Ceilings:
    """What the device reached in the same run."""

    bytes_per_us: float  # of a large copy: read and written
    flops_per_us: dict[str, float]  # of a large matrix product, by dtype; float32: in TF32


@dataclass(frozen=True)
class Cost:
    """The fewest operations and bytes of device memory that a pass takes."""

    flops: float
    bytes: float
    products: int  # that the tensor cores make for each: float32 is three in TF32

    def floor_us(self, ceilings: Ceilings, dtype: torch.dtype) -> float:
        rate = ceilings.flops_per_us[str(dtype).removeprefix("torch.")]
        return max(self.flops * self.products / rate, self.bytes / ceilings.bytes_per_us)


def cost_of(case: Case, kind_name: str, which: str) -> Cost:
    kind: Kind = FORWARD[kind_name]
    pixels = case.batch * math.prod(case.output_size)
    rows = case.offset_group * case.taps
    inputs = case.batch * case.in_channels * math.prod(case.size)
    inputs += case.out_channels * (case.in_channels // case.group * case.taps)
    inputs += pixels * rows * (3 if case.mask else 2)
    outputs = pixels * case.out_channels
    flops = 2.0 * outputs * (case.in_channels // case.group) * case.taps
    element = kind.dtype.itemsize
    exact = kind.dtype == torch.float32 and not kind.options.allow_tf32
    if which == FORWARD_PASS:
        return Cost(flops, element * (inputs + outputs), 3 if exact else 1)
    # The gradients of samples and of the weight are a product each; every input is read twice and
    # its gradient written, the output is written and its gradient read.
    return Cost(3 * flops, element * (3 * inputs + 2 * outputs), 3 if exact else 1)
