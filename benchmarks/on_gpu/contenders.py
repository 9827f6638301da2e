"""Who computes a layer: ours, and those that a user could take instead. Each is given the inputs of
every set on the device, and returns for each set a call that enqueues one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from cases import Case, Inputs
from cuda_core.core import Core
from cuda_core.judging import FORWARD, PLAIN, Kind
from torch import Tensor
from torch.nn import functional

from .checks import NotRunError

Calls = list[Callable[[], Any]]


@dataclass(frozen=True)
class Job:
    """One layer in one dtype."""

    core: Core
    case: Case
    kind: Kind
    sets: Sequence[Inputs]
    grad_output: Tensor

    @property
    def stream(self) -> int:
        return torch.cuda.current_stream().cuda_stream


def ours(job: Job, *, channels_last: bool) -> Calls:
    calls = [
        job.core.prepare_forward(
            job.case, inputs, job.kind.options, packed=True, channels_last=channels_last
        )
        for inputs in job.sets
    ]

    def one(call: Any) -> Callable[[], Any]:
        def run() -> Any:
            call.enqueue(job.stream)
            return call.results[0]

        return run

    return [one(call) for call in calls]


def plain(job: Job) -> Calls:
    """Our two-stage kernels, which the fast ones are judged against."""
    calls = [job.core.prepare_forward(job.case, inputs, PLAIN) for inputs in job.sets]

    def one(call: Any) -> Callable[[], Any]:
        def run() -> Any:
            call.enqueue(job.stream)
            return call.results[0]

        return run

    return [one(call) for call in calls]


def ours_both(job: Job) -> Calls:
    """Forward and backward; the weight changes between steps, and is packed each time."""
    pairs = [
        (
            job.core.prepare_forward(job.case, inputs, job.kind.options),
            job.core.prepare_backward(job.case, inputs, job.grad_output, job.kind.options),
        )
        for inputs in job.sets
    ]

    def one(pair: Any) -> Callable[[], Any]:
        return lambda: [call.enqueue(job.stream) for call in pair]

    return [one(pair) for pair in pairs]


def _torchvision(job: Job) -> Callable[[Inputs], Tensor]:
    try:
        from torchvision.ops import deform_conv2d
    except Exception as error:  # a torchvision that does not fit torch raises anything
        raise NotRunError(f"torchvision cannot be imported: {error}") from None
    case = job.case

    def forward(inputs: Inputs) -> Tensor:
        result: Tensor = deform_conv2d(
            inputs.input,
            inputs.offset,
            inputs.weight,
            inputs.bias,
            case.stride,
            case.pads[:2],
            case.dilation,
            inputs.mask,
        )
        return result

    return forward


def _conv(job: Job) -> Callable[[Inputs], Tensor]:
    case = job.case

    def forward(inputs: Inputs) -> Tensor:
        return functional.conv2d(
            inputs.input, inputs.weight, inputs.bias, case.stride, case.pads[:2], case.dilation
        )

    return forward


def _channels_last(inputs: Inputs) -> Inputs:
    last = torch.channels_last
    image, weight = inputs.input, inputs.weight
    return Inputs(
        image.to(memory_format=last),
        weight.to(memory_format=last),
        inputs.offset,
        inputs.bias,
        inputs.mask,
    )


def _forward_calls(forward: Callable[[Inputs], Tensor], sets: Sequence[Inputs]) -> Calls:
    def one(inputs: Inputs) -> Callable[[], Any]:
        def run() -> Tensor:
            with torch.no_grad():
                return forward(inputs)

        return run

    return [one(inputs) for inputs in sets]


def _both_calls(
    forward: Callable[[Inputs], Tensor], sets: Sequence[Inputs], job: Job, unused: Sequence[str]
) -> Calls:
    def one(inputs: Inputs) -> Callable[[], Any]:
        held = [
            tensor.detach().requires_grad_()
            for name, tensor in vars(inputs).items()
            if tensor is not None and name not in unused
        ]
        present = iter(held)
        given = Inputs(
            *(
                None if tensor is None or name in unused else next(present)
                for name, tensor in vars(inputs).items()
            )  # type: ignore[arg-type]
        )
        return lambda: torch.autograd.grad(forward(given), held, job.grad_output)

    return [one(inputs) for inputs in sets]


def torchvision(job: Job) -> Calls:
    return _forward_calls(_torchvision(job), job.sets)


def torchvision_both(job: Job) -> Calls:
    return _both_calls(_torchvision(job), job.sets, job, ())


def conv(job: Job) -> Calls:
    """cuDNN's plain convolution of the same shape: the same products, nothing sampled."""
    return _forward_calls(_conv(job), [_channels_last(inputs) for inputs in job.sets])


def conv_both(job: Job) -> Calls:
    sets = [_channels_last(inputs) for inputs in job.sets]
    return _both_calls(_conv(job), sets, job, ("offset", "mask"))


OURS, CONV, TORCHVISION = "ours, channels-last", "cuDNN's plain convolution", "torchvision"
FORWARD_PASSES: dict[str, Callable[[Job], Calls]] = {
    OURS: lambda job: ours(job, channels_last=True),
    "ours, NCHW": lambda job: ours(job, channels_last=False),
    "ours, plain kernels": plain,
    TORCHVISION: torchvision,
    CONV: conv,
}
OURS_BOTH = "ours, NCHW"
BOTH: dict[str, Callable[[Job], Calls]] = {
    OURS_BOTH: ours_both,
    TORCHVISION: torchvision_both,
    CONV: conv_both,
}


def computes_the_layer(contender: str) -> bool:
    """A plain convolution computes something else."""
    return contender != CONV


def settings_for(kind_name: str) -> None:
    """What torch's own libraries may do in float32."""
    allowed = FORWARD[kind_name].options.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.benchmark = True
