"""The torch op in eager mode against float64: values, layouts, non-finite offsets, determinism."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from cases import BY_NAME, CASES, DTYPES, Case, Inputs, expected, make_inputs, relative_error
from eager import run

from dcn_deploy.tolerances import TOLERANCE


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_float64(case: Case, dtype: str) -> None:
    inputs = make_inputs(case, DTYPES[dtype])
    actual = run(case, inputs)
    assert actual.dtype == DTYPES[dtype]
    assert relative_error(actual, expected(case, inputs)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["asymmetric", "far_offsets", "six_channels_per_offset_group"])
def test_half_data_with_float32_coordinates(name: str, dtype: str) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, DTYPES[dtype], coordinate_dtype=torch.float32)
    actual = run(case, inputs)
    assert actual.dtype == DTYPES[dtype]
    assert relative_error(actual, expected(case, inputs)) <= TOLERANCE[dtype]


def test_the_fraction_of_an_offset_survives_far_from_the_origin() -> None:
    """At x = 4000, adding position and offset in float32 would lose 1e-4 of a pixel."""
    point = replace(BY_NAME["kernel_1x1"], stride=(1, 1), pads=(0, 0, 0, 0))
    case = replace(point, size=(2, 4096), batch=1)
    inputs = make_inputs(case, torch.float32)
    inputs.offset = torch.rand_like(inputs.offset) - 0.5
    assert relative_error(run(case, inputs), expected(case, inputs)) <= 1.5e-7


@pytest.mark.parametrize("name", ["asymmetric", "channels_37_to_50", "basicvsr_16_offset_groups"])
def test_layouts(name: str) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, torch.float32)
    plain = run(case, inputs)
    channels_last = Inputs(
        *(
            t.contiguous(memory_format=torch.channels_last) if t is not None and t.dim() == 4 else t
            for t in inputs.tensors()
        )  # type: ignore[arg-type]
    )
    strided = Inputs(
        *(None if t is None else torch.stack((t, t + 1), -1)[..., 0] for t in inputs.tensors())  # type: ignore[arg-type]
    )
    assert not strided.input.is_contiguous()
    # As torch's own convolutions do.
    assert run(case, channels_last).is_contiguous(memory_format=torch.channels_last)
    assert run(case, strided).is_contiguous()
    torch.testing.assert_close(run(case, channels_last), plain, rtol=0, atol=0)
    torch.testing.assert_close(run(case, strided), plain, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30, 6e4, -6e4])
@pytest.mark.parametrize("axis", [0, 1])
def test_impossible_offsets_contribute_zero(axis: int, value: float, dtype: str) -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, DTYPES[dtype])
    # Every second tap of one coordinate; the other coordinate stays ordinary.
    inputs.offset[:, axis::4] = value
    actual = run(case, inputs)
    assert torch.isfinite(actual).all()
    assert relative_error(actual, expected(case, inputs)) <= TOLERANCE[dtype]


def test_every_offset_impossible_leaves_the_bias() -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    inputs.offset.fill_(math.nan)
    assert inputs.bias is not None
    wanted = inputs.bias.reshape(1, -1, 1, 1).expand(2, 8, *case.output_size)
    torch.testing.assert_close(run(case, inputs), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("pixel", [math.nan, math.inf])
@pytest.mark.parametrize("place", [(0, 0), (0, 10), (8, 0), (8, 10), (4, 5)])
def test_a_bad_pixel_reaches_only_the_samples_that_touch_it(
    place: tuple[int, int], pixel: float
) -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    inputs.offset[:, :, 0] = 1e30  # nothing inside
    inputs.offset[:, :, 1, :5] = math.nan
    inputs.input[:, :, place[0], place[1]] = pixel
    actual, wanted = run(case, inputs), expected(case, inputs)
    assert torch.isfinite(actual[:, :, 0]).all()
    torch.testing.assert_close(torch.isfinite(actual), torch.isfinite(wanted))


def test_a_sample_at_minus_one_exactly_is_outside() -> None:
    point = replace(BY_NAME["kernel_1x1"], stride=(1, 1), group=1, offset_group=1, in_channels=1)
    case = replace(point, size=(2, 2), pads=(1, 1, 0, 0), bias=False, mask=False, offsets="zero")
    inputs = make_inputs(case, torch.float32)
    inputs.input[0, 0, 0, 0] = math.inf
    inputs.weight.fill_(1)
    actual = run(case, inputs)
    assert (actual[0, 0, 0] == 0).all()
    assert (actual[0, 0, :, 0] == 0).all()


def test_a_nan_mask_value_propagates() -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    assert inputs.mask is not None
    inputs.mask[1, 0, 1, 2] = math.nan
    actual = run(case, inputs)
    # Offset group 0 serves channels 0..3, all of conv group 0 (channels 0..5, outputs 0..3).
    assert torch.isnan(actual[1, :4, 1, 2]).all()
    assert torch.isnan(actual).sum() == 4


@pytest.mark.parametrize("name", ["several_tiles", "batch_33", "wide_output_two_blocks"])
def test_bitwise_the_same_for_any_number_of_threads(name: str) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            results.append(run(case, inputs))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert torch.equal(result, results[0])
