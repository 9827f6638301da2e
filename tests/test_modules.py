"""The layer that learns its own offsets."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import dcn_deploy
from dcn_deploy import DeformConv2d

GEOMETRY = {
    "kernel_size": (3, 2),
    "stride": (2, 1),
    "padding": (1, 0, 2, 1),
    "dilation": (2, 1),
    "groups": 2,
    "deformable_groups": 3,
}


def plain_convolution(layer: DeformConv2d, x: torch.Tensor) -> torch.Tensor:
    padded = functional.pad(x, (0, 1, 1, 2))
    return functional.conv2d(padded, layer.weight, None, (2, 1), 0, (2, 1), 2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("modulated", [True, False])
def test_a_fresh_layer_is_the_plain_convolution(modulated: bool, bias: bool) -> None:
    layer = DeformConv2d(6, 4, **GEOMETRY, bias=bias, modulated=modulated)
    x = torch.randn(2, 6, 9, 11)
    wanted = plain_convolution(layer, x) * (0.5 if modulated else 1)
    if bias:
        wanted = wanted + layer.bias.reshape(1, -1, 1, 1)
    torch.testing.assert_close(layer(x), wanted)


def test_parameters() -> None:
    layer = DeformConv2d(6, 4, **GEOMETRY, modulated=True)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {
        "weight": (4, 3, 3, 2),
        "bias": (4,),
        "offset_conv.weight": (3 * 3 * 6, 6, 3, 2),
        "offset_conv.bias": (3 * 3 * 6,),
    }
    assert DeformConv2d(6, 4, 3, deformable_groups=2).offset_conv.out_channels == 2 * 2 * 9


def test_given_offsets_replace_the_learnt_ones() -> None:
    layer = DeformConv2d(6, 4, **GEOMETRY, modulated=True)
    torch.nn.init.normal_(layer.offset_conv.weight, std=0.3)
    x = torch.randn(2, 6, 9, 11)
    offset, mask = layer.learned(x)
    assert offset.shape == (2, 36, 4, 11)
    assert mask is not None
    assert mask.shape == (2, 18, 4, 11)
    assert 0 < mask.min() < mask.max() < 1
    torch.testing.assert_close(layer(x, offset, mask), layer(x))
    without = layer(x, torch.zeros_like(offset)) - layer.bias.reshape(1, -1, 1, 1)
    torch.testing.assert_close(without, plain_convolution(layer, x))
    with pytest.raises(ValueError, match="mask was given without an offset"):
        layer(x, mask=mask)


def test_bounded_offsets() -> None:
    layer = DeformConv2d(4, 4, (3, 2), deformable_groups=2, offset_activation="bounded")
    torch.nn.init.normal_(layer.offset_conv.weight, std=0.3)
    x = torch.randn(1, 4, 12, 13)
    offset, mask = layer.learned(x)
    assert mask is None
    raw = layer.offset_conv(x).unflatten(1, (2, 12))
    halves = offset.unflatten(1, (2, 12))
    torch.testing.assert_close(halves[:, :, :6], 2 * torch.sigmoid(raw[:, :, :6]) - 1)
    torch.testing.assert_close(halves[:, :, 6:], torch.sigmoid(raw[:, :, 6:]))
    assert halves[:, :, :6].min() < 0 < halves[:, :, 6:].min()


def test_an_activation_of_one_s_own() -> None:
    layer = DeformConv2d(4, 4, 3, offset_activation=lambda offset: 10 * torch.tanh(offset))
    torch.nn.init.normal_(layer.offset_conv.weight, std=3)
    offset, _ = layer.learned(torch.randn(1, 4, 12, 13))
    assert 9 < offset.abs().max() <= 10


def test_it_learns_to_look_elsewhere() -> None:
    """A 1x1 layer that must copy the pixel three to the right can only do so by its offset."""
    layer = DeformConv2d(1, 1, 1, bias=False)
    smooth = functional.avg_pool2d(torch.randn(8, 1, 24, 40), 7, 1, 3)
    target = functional.pad(smooth, (0, 3))[..., 3:]
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.weight.requires_grad_(False)
    optimizer = torch.optim.Adam(layer.offset_conv.parameters(), lr=0.1)
    losses = []
    for _ in range(80):
        loss = (layer(smooth) - target)[..., 2:-5].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert layer.offset_conv.bias[1].item() == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 4}, "input has 6 channels, expected a multiple of group = 4"),
        ({"deformable_groups": 5}, "a multiple of offset_group = 5"),
        ({"groups": 0}, "attribute group is 0"),
        ({"stride": 0}, r"attribute strides is \[0, 0\]"),
        ({"stride": (1, 2, 3)}, r"stride is \(1, 2, 3\), expected an integer or 2 of them"),
        ({"padding": -1}, r"attribute pads is \[-1, -1, -1, -1\]"),
        ({"padding": "same"}, "padding is 'same', expected an integer or 2 or 4 of them"),
        ({"dilation": 1.5}, "dilation is 1.5, expected an integer"),
        ({"offset_activation": "bound"}, "offset_activation is 'bound'"),
        ({"offset_activation": 5}, "offset_activation is 5"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeformConv2d(6, 8, 3, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel_size", [0, (3, 0), (3, 3, 3), "3"])
def test_bad_kernels(kernel_size: object) -> None:
    with pytest.raises(ValueError, match="kernel"):
        DeformConv2d(6, 8, kernel_size)  # type: ignore[arg-type]


def test_state_dict_round_trip() -> None:
    first, second = (DeformConv2d(6, 4, **GEOMETRY, modulated=True) for _ in range(2))
    torch.nn.init.normal_(first.offset_conv.weight)
    second.load_state_dict(first.state_dict())
    x = torch.randn(1, 6, 9, 11)
    assert torch.equal(first(x), second(x))
    assert isinstance(second, torch.nn.Module)
    assert dcn_deploy.DeformConv2d is DeformConv2d
