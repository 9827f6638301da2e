"""A case through the public function, in eager torch."""

from __future__ import annotations

from cases import Case, Inputs
from torch import Tensor

import dcn_deploy


def run(case: Case, inputs: Inputs) -> Tensor:
    return dcn_deploy.deform_conv2d(
        inputs.input,
        inputs.offset,
        inputs.weight,
        inputs.bias,
        case.stride,
        case.pads,
        case.dilation,
        inputs.mask,
    )
