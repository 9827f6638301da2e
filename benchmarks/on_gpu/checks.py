"""Whether the kernels are right: every check judges results against float64, in memory that began
as NaN, and says in a line what it saw."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from cases import BY_NAME, CASES, LARGE, Case, Inputs, expected, make_inputs
from cuda_core.core import Call, Core
from cuda_core.judging import (
    BACKWARD,
    FORWARD,
    OF_RANDOM_PROBLEMS,
    VARIED,
    Kind,
    error_of,
    fast,
    grad_output_of,
    gradient_errors,
    gradients,
    on,
    reference_gradients,
    relative_error,
)
from torch import Tensor

from .screen import say


class NotRunError(Exception):
    """What a check needs is not here; the message says what."""


@dataclass(frozen=True)
class Outcome:
    check: str
    result: str  # ok, FAILED, not run
    detail: str


def attempt(check: str, run: Callable[[], str]) -> Outcome:
    """Runs a check; whatever it raises is its result."""
    try:
        outcome = Outcome(check, "ok", run())
    except NotRunError as reason:
        outcome = Outcome(check, "not run", str(reason))
    except Exception as error:  # of whatever kind: the other checks still run
        outcome = Outcome(check, "FAILED", str(error).strip() or type(error).__name__)
    say(f"{outcome.check}: {outcome.detail}", outcome.result)
    return outcome


@dataclass(frozen=True)
class Extent:
    """How much is checked."""

    cases: tuple[Case, ...]
    random_problems: int
    quick: bool


def extent(*, device: str, quick: bool) -> Extent:
    """On the emulator, enough to try the checks themselves."""
    if device == "cpu":
        return Extent((BY_NAME["asymmetric"], BY_NAME["channels_17_to_31"]), 2, quick)
    return Extent((*CASES, *LARGE), 50 if quick else 500, quick)


class Worst:
    """Collects errors; wrong ones become the failure's message."""

    def __init__(self, of: str) -> None:
        self.of, self.count, self.error, self.wrong = of, 0, 0.0, list[str]()

    def add(self, name: str, error: float, tolerance: float) -> None:
        self.count += 1
        self.error = max(self.error, error)
        if not error <= tolerance:
            self.wrong.append(f"{name}: {error:.1e}")

    def line(self) -> str:
        if self.wrong:
            shown = "; ".join(self.wrong[:6])
            raise AssertionError(f"{len(self.wrong)} of {self.count} {self.of} are off: {shown}")
        return f"{self.count} {self.of}, worst relative error {self.error:.1e}"


# What takes long in float64 on the CPU.
_LARGE_OUTPUT = 100_000


def _place(core: Core, case: Case) -> str:
    """Where the reference runs."""
    height, width = case.output_size
    large = case.batch * case.out_channels * height * width > _LARGE_OUTPUT
    return core.device if large else "cpu"


def exact_output(core: Core, case: Case, inputs: Inputs) -> Tensor:
    return expected(case, on(_place(core, case), inputs)).cpu()


def exact_gradients(core: Core, case: Case, inputs: Inputs) -> dict[str, Tensor]:
    found = reference_gradients(case, on(_place(core, case), inputs))
    return {name: gradient.cpu() for name, gradient in found.items()}


# ---- against float64 -----------------------------------------------------------------------------


def forward_cases(core: Core, kind: Kind, cases: tuple[Case, ...]) -> str:
    worst = Worst("outputs")
    for case in cases:
        inputs = make_inputs(case, kind.dtype)
        wanted, given = exact_output(core, case, inputs), on(core.device, inputs)
        hows: list[dict[str, Any]] = [{}]
        if not kind.options.plain:
            hows += [{"packed": True}, {"packed": True, "channels_last": True}]
        for how in hows:
            output = core.forward(case, given, kind.options, **how).cpu()
            error = relative_error(output, wanted)
            worst.add(f"{case.name} {' '.join(how)}".strip(), error, kind.tolerance)
    return worst.line()


def backward_cases(core: Core, kind: Kind, cases: tuple[Case, ...]) -> str:
    worst = Worst("gradients")
    for case in cases:
        inputs = make_inputs(case, kind.dtype)
        exact = exact_gradients(core, case, inputs)
        found = gradients(core, case, inputs, kind.options)
        assert set(found) == set(exact)
        for name, gradient in found.items():
            error = relative_error(gradient, exact[name])
            worst.add(f"{case.name}, {name}", error, kind.tolerance)
    return worst.line()


def random_case(draw: random.Random) -> Case:
    """Any problem that the contract allows, small."""
    group, offset_group = draw.randint(1, 3), draw.randint(1, 4)
    per_group = draw.choice([1, 2, 3, 5, 8, 16, 24, 33])
    kernel = draw.randint(1, 5), draw.randint(1, 5)
    dilation = draw.randint(1, 3), draw.randint(1, 3)
    pads = tuple(draw.randint(0, 3) for _ in range(4))
    size = []
    for axis in (0, 1):
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        least = max(1, extent - pads[axis] - pads[axis + 2])
        size.append(least + draw.randint(0, 24))
    return Case(
        "random",
        batch=draw.randint(0, 3),
        in_channels=group * offset_group * per_group,
        out_channels=group * draw.randint(1, 80),
        size=(size[0], size[1]),
        kernel=kernel,
        stride=(draw.randint(1, 3), draw.randint(1, 3)),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        dilation=dilation,
        group=group,
        offset_group=offset_group,
        bias=draw.random() < 0.5,
        mask=draw.random() < 0.5,
        offsets=draw.choice(["mixed", "mixed", "zero", "integer", "tiny", "far"]),
    )


def random_problems(core: Core, count: int) -> str:
    """Each in every dtype, forward and backward."""
    draw, worst = random.Random(5), Worst("outputs and gradients")
    for seed in range(count):
        case = random_case(draw)
        for name, kind in fast(FORWARD).items():
            inputs = make_inputs(case, kind.dtype, seed=seed)
            how = {"packed": draw.random() < 0.5, "channels_last": draw.random() < 0.5}
            output = core.forward(case, on(core.device, inputs), kind.options, **how)
            error = error_of(output.cpu(), case, inputs, OF_RANDOM_PROBLEMS)
            worst.add(f"{name}, {how}, seed {seed}, {case}", error, kind.tolerance)
            back = BACKWARD[name]
            for gradient, off in gradient_errors(core, case, inputs, back, OF_RANDOM_PROBLEMS):
                worst.add(f"{name}, {gradient}, seed {seed}, {case}", off, back.tolerance)
    return f"{count} problems: {worst.line()}"


def wild_values(core: Core) -> str:
    """Offsets that are no positions, infinite pixels, NaN in the mask; in every dtype."""
    worst = Worst("outputs")
    for kind_name, kind in FORWARD.items():
        for name in VARIED:
            case = replace(BY_NAME[name], size=(17, 19))
            inputs = make_inputs(case, kind.dtype)
            for i, value in enumerate((torch.nan, torch.inf, -torch.inf, 1e30, -1e30)):
                inputs.offset.view(-1)[i::31] = value
            inputs.input[0, 0, 0, 0] = torch.inf
            inputs.input[1, -1, 4, 4] = torch.nan
            if inputs.mask is not None:
                inputs.mask[0, 0, 2, 3] = torch.nan
            output = core.forward(case, on(core.device, inputs), kind.options).cpu()
            wanted = expected(case, inputs)
            assert torch.equal(output.isfinite(), wanted.isfinite()), f"{kind_name}, {name}"
            at = wanted.isfinite()
            error = relative_error(output[at], wanted[at])
            worst.add(f"{kind_name}, {name}", error, kind.tolerance)
            assert 0 < int((~at).sum()) < at.numel()
    return worst.line()


def wild_gradients(core: Core) -> str:
    worst = Worst("gradients")
    for kind_name, kind in BACKWARD.items():
        case = BY_NAME["centernet_64"]
        inputs = make_inputs(case, kind.dtype)
        for row, value in enumerate((torch.nan, 1e30, -torch.inf)):
            inputs.offset[:, :, row] = value
        exact = reference_gradients(case, inputs)
        found = gradients(core, case, inputs, kind.options)
        assert (found["offset"][:, :, :3] == 0).all(), kind_name
        for name, gradient in found.items():
            error = relative_error(gradient, exact[name])
            worst.add(f"{kind_name}, {name}", error, kind.tolerance)
    return worst.line()


def deterministic(core: Core) -> str:
    """Twice the same, to the last bit: outputs always, gradients where that was asked for."""
    count = 0
    for kind_name, kind in fast(BACKWARD).items():
        for name in (*VARIED, "several_tiles"):
            case = BY_NAME[name]
            inputs = make_inputs(case, kind.dtype)
            here = on(core.device, inputs)
            outputs = [core.forward(case, here, kind.options) for _ in range(2)]
            assert torch.equal(*outputs), f"output of {name}, {kind_name}"
            count += 1
            if not kind.options.deterministic:
                continue
            first, second = (gradients(core, case, inputs, kind.options) for _ in range(2))
            for gradient in first:
                assert torch.equal(first[gradient], second[gradient]), f"{gradient} of {name}"
                count += 1
    return f"{count} results, each twice the same"


# ---- what only a GPU has -------------------------------------------------------------------------


def need_gpu(core: Core) -> None:
    if core.emulated:
        raise NotRunError("the kernels are emulated here, and this is about a GPU")


def _large_calls(core: Core) -> Iterator[tuple[Kind, Case, Inputs, Call]]:
    for name in ("float16", "float32"):
        for case in LARGE[1:]:
            kind = FORWARD[name]
            inputs = on("cuda", make_inputs(case, kind.dtype))
            yield kind, case, inputs, core.prepare_forward(case, inputs, kind.options)


def own_stream(core: Core) -> str:
    """The true input arrives on a busy stream: a kernel on another one would read NaN."""
    need_gpu(core)
    worst = Worst("outputs")
    for kind, case, inputs, call in _large_calls(core):
        image = inputs.input.clone()
        inputs.input.fill_(torch.nan)
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(20_000_000)
            inputs.input.copy_(image)
            call.enqueue(stream.cuda_stream)
        torch.cuda.synchronize()
        call.expect_guards()
        worst.add(case.name, error_of(_output(call), case, inputs), kind.tolerance)
    return worst.line()


def two_streams(core: Core, rounds: int = 20) -> str:
    """At once, each with its own workspace: the same bits as alone."""
    need_gpu(core)
    calls = [call for *_, call in _large_calls(core)]
    alone = []
    for call in calls:
        call.enqueue()
        torch.cuda.synchronize()
        alone.append(_output(call).clone())
    streams = [torch.cuda.Stream() for _ in calls]
    for _ in range(rounds):
        for call in calls:
            call.forget()
        torch.cuda.synchronize()
        for call, stream in zip(calls, streams, strict=True):
            call.enqueue(stream.cuda_stream)
        torch.cuda.synchronize()
        for call, wanted in zip(calls, alone, strict=True):
            assert torch.equal(_output(call), wanted), "another result than alone"
            call.expect_guards()
    return f"{len(calls)} layers on as many streams, {rounds} times the same as alone"


def graph(core: Core) -> str:
    """Captured once, replayed on other inputs; forward, and backward behind it."""
    need_gpu(core)
    worst = Worst("outputs and gradients")
    for kind, case, inputs, call in _large_calls(core):
        grad_output = grad_output_of(case, inputs).cuda()
        back_kind = BACKWARD["float32" if kind.dtype == torch.float32 else "float16"]
        back = core.prepare_backward(case, inputs, grad_output, back_kind.options)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            stream = torch.cuda.current_stream().cuda_stream
            call.enqueue(stream)
            back.enqueue(stream)
        for seed in (1, 2):
            for held, new in zip(
                inputs.tensors(), make_inputs(case, kind.dtype, seed=seed).tensors(), strict=True
            ):
                if held is not None and new is not None:
                    held.copy_(new)
            call.forget()
            back.forget()
            captured.replay()
            torch.cuda.synchronize()
            worst.add(case.name, error_of(_output(call), case, inputs), kind.tolerance)
            exact = exact_gradients(core, case, on("cpu", inputs))
            for (name, wanted), found in zip(exact.items(), _present(back.results), strict=True):
                error = relative_error(found.cpu(), wanted)
                worst.add(f"{case.name}, {name}", error, back_kind.tolerance)
    return worst.line()


def _output(call: Call) -> Tensor:
    (output,) = call.results
    assert output is not None
    return output


def _present(results: Any) -> list[Tensor]:
    return [tensor for tensor in results if tensor is not None]


def torch_op(core: Core) -> str:
    """The op of the installed library, with its gradients, as a user calls it."""
    need_gpu(core)
    try:
        from dcn_deploy.ops import deform_conv2d

        torch.ops.dcn_deploy.deform_conv2d  # noqa: B018 (raises if there is none)
    except Exception as error:  # of whatever it lacks
        raise NotRunError(f"dcn_deploy's op for torch is not here: {error}") from None
    if not torch._C._dispatch_has_kernel_for_dispatch_key("dcn_deploy::deform_conv2d", "CUDA"):
        raise NotRunError("the installed op was built without CUDA")
    worst = Worst("outputs and gradients")
    for kind_name in ("float16", "bfloat16", "float32", "float64"):
        kind, back = FORWARD[kind_name], BACKWARD[kind_name]
        for name in VARIED:
            case = BY_NAME[name]
            inputs = make_inputs(case, kind.dtype)
            given = on("cuda", inputs)
            for tensor in given.tensors():
                if tensor is not None:
                    tensor.requires_grad_()
            output = deform_conv2d(
                given.input,
                given.offset,
                given.weight,
                given.bias,
                case.stride,
                case.pads,
                case.dilation,
                given.mask,
            )
            error = error_of(output.detach(), case, inputs)
            worst.add(f"{kind_name}, {name}", error, kind.tolerance)
            output.backward(grad_output_of(case, inputs).cuda())
            grads = [t.grad.cpu() for t in given.tensors() if t is not None and t.grad is not None]
            exact = reference_gradients(case, inputs)
            for (gradient, wanted), found in zip(exact.items(), grads, strict=True):
                error = relative_error(found, wanted)
                worst.add(f"{kind_name}, {name}, {gradient}", error, back.tolerance)
    return worst.line()
