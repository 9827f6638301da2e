"""Video restoration as in BasicVSR++: features of earlier frames are warped by flow and aligned by
a subclass of mmcv's layer, with 16 groups of offsets: 10*tanh of what it learnt, plus the flow."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from stand_ins.mmcv import ModulatedDeformConv2d, modulated_deform_conv2d
from torch import Tensor, nn


def flow_warp(x: Tensor, flow: Tensor) -> Tensor:
    """Features moved along a flow [N, 2, H, W] of (x, y) in pixels."""
    height, width = x.shape[-2:]
    y, x_position = torch.meshgrid(
        torch.arange(height, dtype=x.dtype, device=x.device),
        torch.arange(width, dtype=x.dtype, device=x.device),
        indexing="ij",
    )
    grid_x = 2 * (x_position + flow[:, 0]) / max(width - 1, 1) - 1
    grid_y = 2 * (y + flow[:, 1]) / max(height - 1, 1) - 1
    return F.grid_sample(x, torch.stack((grid_x, grid_y), dim=3), align_corners=True)


class SecondOrderDeformableAlignment(ModulatedDeformConv2d):
    def __init__(self, *args: Any, max_residue_magnitude: int = 10, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_residue_magnitude = max_residue_magnitude
        channels = self.out_channels
        self.conv_offset = nn.Sequential(
            nn.Conv2d(3 * channels + 4, channels, 3, 1, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, 27 * self.deform_groups, 3, 1, 1),
        )

    def forward(self, x: Tensor, extra_feat: Tensor, flow_1: Tensor, flow_2: Tensor) -> Tensor:
        out = self.conv_offset(torch.cat((extra_feat, flow_1, flow_2), dim=1))
        o1, o2, mask = torch.chunk(out, 3, dim=1)
        residue = self.max_residue_magnitude * torch.tanh(torch.cat((o1, o2), dim=1))
        first, second = torch.chunk(residue, 2, dim=1)
        # Flow is (x, y), offsets are (y, x).
        first = first + flow_1.flip(1).repeat(1, first.size(1) // 2, 1, 1)
        second = second + flow_2.flip(1).repeat(1, second.size(1) // 2, 1, 1)
        return modulated_deform_conv2d(
            x,
            torch.cat((first, second), dim=1),
            torch.sigmoid(mask),
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.deform_groups,
        )


class Restorer(nn.Module):
    """Three frames, each restored with the help of the two before it; the flow of a small network.

    [N, 3, 3, H, W] -> [N, 3, 3, H, W]
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1), nn.LeakyReLU(0.1))
        self.flow = nn.Sequential(nn.Conv2d(6, 2, 7, 1, 3), nn.Tanh())
        self.align = SecondOrderDeformableAlignment(
            2 * channels, channels, 3, padding=1, deform_groups=16
        )
        self.fuse = nn.Sequential(nn.Conv2d(2 * channels, channels, 3, 1, 1), nn.LeakyReLU(0.1))
        self.out = nn.Conv2d(channels, 3, 3, 1, 1)

    def forward(self, video: Tensor) -> Tensor:
        frames = list(video.unbind(1))
        feats = [self.features(frame) for frame in frames]
        nothing = torch.zeros_like(feats[0])
        done = [self.fuse(torch.cat((feats[0], nothing), dim=1))]
        flows: list[Tensor] = []
        for index in (1, 2):
            flow = 4 * self.flow(torch.cat((frames[index], frames[index - 1]), dim=1))
            before = done[index - 2] if index > 1 else nothing
            # From the frame before the last one: the flow there, moved along the flow to here.
            flow_2 = flow + flow_warp(flows[-1], flow) if flows else torch.zeros_like(flow)
            extra = (flow_warp(done[-1], flow), feats[index], flow_warp(before, flow_2))
            both = torch.cat((done[-1], before), dim=1)
            aligned = self.align(both, torch.cat(extra, dim=1), flow, flow_2)
            done.append(self.fuse(torch.cat((feats[index], aligned), dim=1)))
            flows.append(flow)
        restored = [frame + self.out(feat) for frame, feat in zip(frames, done, strict=True)]
        return torch.stack(restored, dim=1)
