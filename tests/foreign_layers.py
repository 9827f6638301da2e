"""Every layer that ``convert`` knows, nothing about it symmetric, with inputs for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from networks.birefnet import DeformableConv2d
from stand_ins import dcnv2, detectron2, mmcv
from torch import Tensor, nn
from torch.nn.modules.utils import _pair
from torchvision_stand_in import DeformConv2d, deform_conv2d

CHANNELS = 12
_KERNEL, _STRIDE, _PADDING, _DILATION = (3, 2), (2, 1), (1, 2), (1, 2)
_GEOMETRY = (_KERNEL, _STRIDE, _PADDING, _DILATION)


class Direct(nn.Module):
    """torchvision's function, called by a model of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.dilation = _GEOMETRY
        self.weight = nn.Parameter(torch.randn(8, CHANNELS // 2, *_KERNEL) / 6)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return deform_conv2d(
            x, offset, self.weight, None, self.stride, self.padding, self.dilation, mask
        )


@dataclass(frozen=True)
class Foreign:
    name: str
    build: Callable[[], nn.Module]
    functions: str
    """The function that it calls, as the conversion names it."""
    offset_groups: int = 0
    """Of the offsets that it takes; 0 for a layer that learns them."""
    mask: bool = False

    def layer(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """In eval mode, its random parameters such that offsets reach beyond a pixel."""
        layer = self.build()
        for name, parameter in layer.named_parameters():
            scale = 2.0 if "offset" in name and name.endswith("bias") else 0.2
            nn.init.normal_(parameter, std=scale)
        return layer.to(dtype).eval()

    def inputs(self, layer: nn.Module, size: tuple[int, int] = (9, 11)) -> tuple[Tensor, ...]:
        """What the layer takes: x, and offset and mask where it does not learn them."""
        dtype = next(layer.parameters()).dtype
        x = torch.randn(2, CHANNELS, *size, dtype=dtype)
        if not self.offset_groups:
            return (x,)
        settings: list[Any] = [
            _pair(getattr(layer, name)) for name in ("kernel_size", "stride", "padding", "dilation")
        ]
        out = [
            (length + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for length, kernel, stride, pad, dilation in zip(size, *settings, strict=True)
        ]
        rows = self.offset_groups * settings[0][0] * settings[0][1]
        offset = 2 * torch.randn(2, 2 * rows, *out, dtype=dtype)
        mask = torch.rand(2, rows, *out, dtype=dtype)
        return (x, offset, mask) if self.mask else (x, offset)


_V1, _V2 = "stand_ins.mmcv.DeformConv2dFunction", "stand_ins.mmcv.ModulatedDeformConv2dFunction"
_TORCHVISION = "torchvision.ops.deform_conv.deform_conv2d"
_DETECTRON = "stand_ins.detectron2."
_DCNV2 = "stand_ins.dcnv2._DCNv2"

LAYERS = (
    Foreign("torchvision_v1", lambda: DeformConv2d(12, 8, *_GEOMETRY, groups=2), _TORCHVISION, 3),
    Foreign(
        "torchvision_v2",
        lambda: DeformConv2d(12, 9, *_GEOMETRY, groups=3, bias=False),
        _TORCHVISION,
        2,
        True,
    ),
    Foreign("torchvision_function", Direct, _TORCHVISION, 3, True),
    Foreign("birefnet", lambda: DeformableConv2d(12, 7, 3, 2), _TORCHVISION),
    Foreign("mmcv_v1", lambda: mmcv.DeformConv2d(12, 8, *_GEOMETRY, 2, 3), _V1, 3),
    Foreign("mmcv_v1_pack", lambda: mmcv.DeformConv2dPack(12, 8, *_GEOMETRY, 2, 3), _V1),
    Foreign("mmcv_v2", lambda: mmcv.ModulatedDeformConv2d(12, 9, *_GEOMETRY, 3, 2), _V2, 2, True),
    Foreign(
        "mmcv_v2_no_bias",
        lambda: mmcv.ModulatedDeformConv2d(12, 8, *_GEOMETRY, 2, 3, bias=False),
        _V2,
        3,
        True,
    ),
    Foreign("mmcv_v2_pack", lambda: mmcv.ModulatedDeformConv2dPack(12, 8, *_GEOMETRY, 2, 3), _V2),
    Foreign(
        "detectron2_v1",
        lambda: detectron2.DeformConv(
            12, 8, *_GEOMETRY, 2, 3, norm=nn.BatchNorm2d(8), activation=torch.relu
        ),
        f"{_DETECTRON}_DeformConv",
        3,
    ),
    Foreign(
        "detectron2_v2",
        lambda: detectron2.ModulatedDeformConv(12, 8, _KERNEL, 2, 1, 2, 2, 3, norm=nn.GELU()),
        f"{_DETECTRON}_ModulatedDeformConv",
        3,
        True,
    ),
    Foreign("dcnv2", lambda: dcnv2.DCNv2(12, 8, *_GEOMETRY, 3), _DCNV2, 3, True),
    Foreign("dcn", lambda: dcnv2.DCN(12, 8, _KERNEL, _STRIDE, _PADDING, 1, 3), _DCNV2),
)
BY_NAME = {layer.name: layer for layer in LAYERS}
