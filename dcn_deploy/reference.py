"""Deformable convolution in plain torch operations: slow, readable, the oracle of every test.

It follows the ONNX operator DeformConv (opset 22) and torchvision's ``deform_conv2d``; the papers
are DCNv1 (arXiv 1703.06211) and DCNv2 (arXiv 1811.11168). Run it in float64 to judge a kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sample(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear samples of an image that is zero outside.

    Args:
        image: [N, G, C, H, W]
        y, x: [N, G, S], in pixels; a sample counts iff -1 < y < H and -1 < x < W (NaN never does)

    Returns:
        [N, G, C, S]
    """
    height, width = image.shape[-2:]
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x = torch.where(inside, y, -2.0), torch.where(inside, x, -2.0)
    top, left = torch.floor(y), torch.floor(x)
    dy, dx = y - top, x - left
    total = torch.zeros_like(image[..., 0, :1] * y.unsqueeze(2))
    for corner_y, weight_y in ((top, 1 - dy), (top + 1, dy)):
        for corner_x, weight_x in ((left, 1 - dx), (left + 1, dx)):
            exists = (corner_y >= 0) & (corner_y < height) & (corner_x >= 0) & (corner_x < width)
            index = torch.where(exists, corner_y * width + corner_x, 0.0).long()
            index = index.unsqueeze(2).expand(-1, -1, image.shape[2], -1)
            value = image.flatten(3).gather(3, index)
            # A pixel that is not there contributes nothing, not 0 times whatever stands elsewhere.
            value = torch.where(exists.unsqueeze(2), value, 0.0)
            total = total + value * (weight_y * weight_x).unsqueeze(2)
    return total


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    mask: Tensor | None = None,
    *,
    groups: int = 1,
    offset_groups: int = 1,
) -> Tensor:
    """Deformable convolution, differentiable by autograd.

    Args:
        input: [N, C, H, W]
        offset: [N, 2*offset_groups*kH*kW, oH, oW], channels ordered (group, tap, (y, x)), in pixels
        weight: [O, C/groups, kH, kW]
        bias: [O]
        stride: (h, w)
        padding: (top, left, bottom, right); only top and left matter, oH and oW are the offset's
        dilation: (h, w)
        mask: [N, offset_groups*kH*kW, oH, oW]
        groups: groups of the convolution
        offset_groups: groups of input channels that share an offset

    Returns:
        [N, O, oH, oW]
    """
    batch, channels, height, width = input.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    out_h, out_w = offset.shape[-2:]
    taps = kernel_h * kernel_w

    def positions(size: int) -> Tensor:
        return torch.arange(size, dtype=offset.dtype, device=offset.device)

    row = positions(out_h) * stride[0] - padding[0]
    column = positions(out_w) * stride[1] - padding[1]
    base_y = positions(kernel_h)[:, None, None, None] * dilation[0] + row[:, None]
    base_x = positions(kernel_w)[:, None, None] * dilation[1] + column
    shift = offset.reshape(batch, offset_groups, kernel_h, kernel_w, 2, out_h, out_w)
    y = (base_y + shift[:, :, :, :, 0]).flatten(2)
    x = (base_x + shift[:, :, :, :, 1]).flatten(2)

    image = input.reshape(batch, offset_groups, channels // offset_groups, height, width)
    sampled = sample(image, y, x).unflatten(3, (taps, out_h * out_w))
    if mask is not None:
        sampled = sampled * mask.reshape(batch, offset_groups, 1, taps, out_h * out_w)

    columns = sampled.reshape(batch, groups, channels // groups * taps, out_h * out_w)
    kernel = weight.reshape(groups, out_channels // groups, channels // groups * taps)
    output: Tensor = (kernel @ columns).reshape(batch, out_channels, out_h, out_w)
    if bias is not None:
        output = output + bias.reshape(1, -1, 1, 1)
    return output
