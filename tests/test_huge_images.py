"""Images whose pixel numbers, or whose bytes, do not fit 31 bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import dcn_deploy


def deform(image: Tensor, offset: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    with torch.inference_mode():
        return dcn_deploy.deform_conv2d(image, offset, weight, stride=stride)


@pytest.mark.parametrize("size", [(46341, 46341), (2**16, 2**15), (2**18, 2**13 + 1)])
def test_beyond_31_bits_is_refused(size: tuple[int, int]) -> None:
    """Refused for what the shapes say: nothing of that size is ever allocated."""
    height, width = size
    image = torch.zeros(1).expand(1, 1, *size)
    offset = torch.zeros(1).expand(1, 2, *size)
    with pytest.raises(
        RuntimeError,
        match=rf"input has {height}x{width} pixels, expected at most \d+ with a border of 2",
    ):
        deform(image, offset, torch.ones(1, 1, 1, 1))


def test_a_side_that_no_float_can_address_is_refused() -> None:
    image = torch.zeros(1).expand(1, 1, 1, 2**20)
    offset = torch.zeros(1).expand(1, 2, 1, 2**20)
    with pytest.raises(RuntimeError, match="input has width 1048576, expected at most 524288"):
        deform(image, offset, torch.ones(1, 1, 1, 1))


def test_8192x8192_by_8192x8192() -> None:
    """By whole pixels, so that every pixel of the answer is known exactly."""
    size, down, left = 8192, 3, 2
    rows, columns = torch.arange(size).view(-1, 1), torch.arange(size)
    # Differs from its neighbours near and far, and is exact in float32.
    image = (rows * 31 + columns * 17).remainder(251).float().view(1, 1, size, size)
    offset = torch.tensor([float(down), float(-left)]).view(1, 2, 1, 1).expand(1, 2, size, size)
    output = deform(image, offset, torch.full((1, 1, 1, 1), 2.0))
    assert torch.equal(output[0, 0, :-down, left:], 2 * image[0, 0, down:, :-left])
    assert not output[0, 0, -down:].any()
    assert not output[0, 0, :, :left].any()
