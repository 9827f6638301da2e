"""The CUDA kernels of the backward pass on the emulator: every gradient of every case, in every
dtype, against those of the reference in float64.

``make gpu-check`` runs the same on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations

import pytest
import torch
from cases import BY_NAME, CASES, DTYPES, Case, Inputs, make_inputs
from cuda_core.core import DEFAULT, GRADIENTS, Core, CudaError, Options
from cuda_core.judging import BACKWARD as KINDS
from cuda_core.judging import (
    DETERMINISTIC,
    OF_RANDOM_PROBLEMS,
    PLAIN,
    VARIED,
    Kind,
    fast,
    grad_output_of,
    gradient_errors,
    gradients,
    reference_gradients,
    relative_error,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from problems import valid_cases
from torch import Tensor

FAST = fast(KINDS)
PARTS = 4  # for as many test processes


def wrong(
    core: Core, case: Case, inputs: Inputs, kind: Kind, least: float = 0.0
) -> Iterator[tuple[str, float]]:
    """Which gradients are off by more than they may be, and by how much."""
    for name, error in gradient_errors(core, case, inputs, kind, least):
        if not error <= kind.tolerance:
            yield f"{case.name}: {name}", error


# ---- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_named_case_is_as_exact_as_promised(cuda: Core, kind: str, part: int) -> None:
    errors: dict[str, float] = {}
    for case in CASES[part::PARTS]:
        inputs = make_inputs(case, KINDS[kind].dtype)
        errors |= wrong(cuda, case, inputs, KINDS[kind])
    assert errors == {}


@pytest.mark.parametrize("kind", FAST)
def test_nothing_beside_the_tensors_is_touched(watched: Core, kind: str) -> None:
    """Under AddressSanitizer, with tensors that begin at any element, as slices of tensors do."""

    def moved(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        room = torch.full((tensor.numel() + 1,), torch.nan, dtype=tensor.dtype)
        room[1:] = tensor.reshape(-1)
        return room[1:].view(tensor.shape)

    errors: dict[str, float] = {}
    for name in (*VARIED, "basicvsr_16_offset_groups", "deep_k_several_chunks", "image_1x1"):
        inputs = make_inputs(BY_NAME[name], KINDS[kind].dtype)
        inputs = Inputs(*map(moved, inputs.tensors()))  # type: ignore[arg-type]
        errors |= wrong(watched, BY_NAME[name], inputs, KINDS[kind])
    assert errors == {}


@pytest.mark.parametrize("options", [DEFAULT, DETERMINISTIC, PLAIN], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_offset_and_mask_may_be_float32_beside_halves(
    cuda: Core, dtype: str, options: Options
) -> None:
    kind = replace(KINDS[dtype], options=options)
    errors: dict[str, float] = {}
    for name in (*VARIED, "no_mask", "far_offsets", "basicvsr_16_offset_groups"):
        inputs = make_inputs(BY_NAME[name], DTYPES[dtype], torch.float32)
        errors |= wrong(cuda, BY_NAME[name], inputs, kind)
    assert errors == {}


@pytest.mark.parametrize("kind", FAST)
@settings(
    max_examples=1,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(cases=st.lists(valid_cases(), min_size=25, max_size=25))
def test_random_problems(cuda: Core, kind: str, cases: list[Case]) -> None:
    errors: dict[str, float] = {}
    for i, case in enumerate(cases):
        case = replace(case, name=repr(case))
        inputs = make_inputs(case, KINDS[kind].dtype, seed=i)
        errors |= wrong(cuda, case, inputs, KINDS[kind], OF_RANDOM_PROBLEMS)
    assert errors == {}


# The gradient of the weight is cut into tiles of outputs by columns, which are channels at a tap,
# and into runs of pixels, and those into steps.
_PLAIN = Case("", batch=1, stride=(1, 1), dilation=(1, 1), group=1, offset_group=1, size=(13, 17))
WEIGHTS = [
    replace(_PLAIN, name="runs end within images", batch=3, in_channels=24, out_channels=40),
    replace(_PLAIN, name="more outputs than a tile", in_channels=16, out_channels=300),
    replace(_PLAIN, name="one output more than a tile", in_channels=16, out_channels=65),
    replace(_PLAIN, name="fewer outputs than lanes", in_channels=40, out_channels=5),
    replace(
        _PLAIN, name="groups", batch=3, in_channels=96, out_channels=280, group=2, offset_group=2
    ),
    replace(
        _PLAIN,
        name="groups of several segments",
        batch=2,
        in_channels=72,
        out_channels=72,
        group=3,
        offset_group=6,
    ),
    replace(_PLAIN, name="chunks of eight vectors and one", in_channels=72, out_channels=72),
    replace(_PLAIN, name="one channel a segment", in_channels=20, out_channels=20, offset_group=20),
    replace(_PLAIN, name="many taps", in_channels=10, out_channels=20, kernel=(7, 5)),
    replace(_PLAIN, name="one tap", in_channels=136, out_channels=130, kernel=(1, 1)),
    replace(_PLAIN, name="images smaller than a step", batch=50, size=(3, 2)),
    replace(_PLAIN, name="a single pixel", size=(1, 1), in_channels=16, kernel=(2, 2)),
]


@pytest.mark.parametrize("kind", [kind for kind in FAST if "deterministic" not in kind])
def test_gradients_of_the_weight_however_it_is_cut(cuda: Core, kind: str) -> None:
    errors: dict[str, float] = {}
    for case in WEIGHTS:
        inputs = make_inputs(case, KINDS[kind].dtype)
        exact = reference_gradients(case, inputs)["weight"]
        found = gradients(cuda, case, inputs, KINDS[kind].options, ("weight",))["weight"]
        error = relative_error(found, exact)
        if not error <= KINDS[kind].tolerance:
            errors[case.name] = error
    assert errors == {}


@pytest.mark.parametrize(
    ("wanted", "kernels"),
    [
        # Two copies of images, preparations, two gradients, results.
        (GRADIENTS, 6),
        (("weight",), 4),
        (("input", "offset"), 5),
        (("bias",), 2),
    ],
)
def test_a_backward_pass_is_few_launches(cuda: Core, wanted: tuple[str, ...], kernels: int) -> None:
    case = BY_NAME["centernet_64"]
    inputs = make_inputs(case, torch.float16)
    before = cuda.launches()
    gradients(cuda, case, inputs, DEFAULT, wanted)
    assert cuda.launches() - before == kernels


@cache
def _subsets() -> list[tuple[str, ...]]:
    return [some for count in range(1, 5) for some in combinations(GRADIENTS, count)]


@pytest.mark.parametrize("name", ["asymmetric", "channels_17_to_31"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_are_not_wanted_change_nothing_of_the_others(
    cuda: Core, kind: str, name: str
) -> None:
    case, options = BY_NAME[name], KINDS[kind].options
    inputs = make_inputs(case, KINDS[kind].dtype)
    exact = reference_gradients(case, inputs)
    different = []
    every = gradients(cuda, case, inputs, options)
    for wanted in _subsets():
        some = gradients(cuda, case, inputs, options, wanted)
        assert set(some) == set(wanted)
        for which, gradient in some.items():
            if options.deterministic and not torch.equal(gradient, every[which]):
                different.append((wanted, which))
            if not relative_error(gradient, exact[which]) <= KINDS[kind].tolerance:
                different.append((wanted, which))
    assert different == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].options.deterministic])
@pytest.mark.parametrize("name", [*VARIED, "several_tiles", "basicvsr_16_offset_groups"])
def test_deterministic_gradients_are_the_same_to_the_last_bit(
    cuda: Core, kind: str, name: str
) -> None:
    """Whatever the order of blocks, warps and lanes."""
    case, options = BY_NAME[name], KINDS[kind].options
    inputs = make_inputs(case, KINDS[kind].dtype)
    runs = []
    for seed in (1, 2, 3):
        cuda.set_seed(seed)
        runs.append(gradients(cuda, case, inputs, options))
    for other in runs[1:]:
        for gradient in runs[0]:
            assert torch.equal(other[gradient], runs[0][gradient]), gradient


# ---- the window of the input that a block adds up itself -----------------------------------------

_SMALL = replace(
    BY_NAME["centernet_64"], in_channels=24, out_channels=16, offset_group=2, size=(11, 13)
)
# Several tiles, which hang over the image's edges, in images of their own; and samples that lie
# further apart than the window is wide.
WINDOWS = [
    replace(_SMALL, name="three images", batch=3, size=(19, 13)),
    replace(_SMALL, name="stride 2", stride=(2, 2), size=(25, 37), offset_group=1),
    replace(_SMALL, name="dilation 3x2", dilation=(3, 2), pads=(3, 2, 3, 2)),
    replace(_SMALL, name="7x7", kernel=(7, 7), pads=(3, 3, 3, 3), size=(9, 11), in_channels=8,
            batch=1),
    replace(_SMALL, name="a stride of 5", kernel=(1, 1), stride=(5, 5), pads=(0, 0, 0, 0),
            size=(40, 51)),
    replace(_SMALL, name="one long row", size=(3, 70), batch=1),
]  # fmt: skip
# Of all samples alike, y and x: none, by about what the window leaves room for, and far.
SHIFTS = [(0.0, 0.0), (-3.0, 2.5), (4.5, -4.0), (-20.0, 0.0), (2.5, 17.0)]
TILED = ("float16", "bfloat16", "float32", "float32 as TF32")


@pytest.mark.parametrize("case", WINDOWS, ids=lambda case: case.name)
@pytest.mark.parametrize("kind", TILED)
def test_samples_may_lie_in_the_window_on_its_border_or_beyond(
    cuda: Core, kind: str, case: Case
) -> None:
    errors: dict[str, float] = {}
    for shift in SHIFTS:
        inputs = make_inputs(case, KINDS[kind].dtype)
        noise = inputs.offset.clamp(-1.5, 1.5)
        by = torch.tensor(shift, dtype=noise.dtype).repeat(noise.shape[1] // 2)
        inputs.offset = noise + by[:, None, None]
        named = replace(case, name=f"{case.name}, {shift}")
        errors |= wrong(cuda, named, inputs, KINDS[kind], OF_RANDOM_PROBLEMS)
    assert errors == {}


@pytest.mark.parametrize("mask", [None, torch.inf])
@pytest.mark.parametrize("kind", TILED)
def test_what_is_no_number_stays_in_the_window_where_it_belongs(
    cuda: Core, kind: str, mask: float | None
) -> None:
    """The gradient of one output pixel, or the mask of one sample."""
    case = replace(WINDOWS[0], offset_group=1, batch=2)
    inputs = make_inputs(case, KINDS[kind].dtype, torch.float32)
    assert inputs.mask is not None
    every, only = grad_output_of(case, inputs), torch.zeros_like(grad_output_of(case, inputs))
    only[1, :, 7, 8] = every[1, :, 7, 8]
    large = torch.where(only != 0, torch.inf, every) if mask is None else every

    def grad_input(grad_output: Tensor) -> Tensor:
        found = cuda.backward(case, inputs, grad_output, KINDS[kind].options)[0]
        assert found is not None
        return found.double()

    without, alone = grad_input(every - only), grad_input(only)
    if mask is not None:
        inputs.mask[1, 4, 7, 8] = mask
    found = grad_input(large)
    elsewhere = (alone == 0).all(1, keepdim=True).expand_as(alone)
    assert 0 < (~elsewhere).sum() < elsewhere.sum()
    assert relative_error(found[elsewhere], without[elsewhere]) <= KINDS[kind].tolerance
    assert not (found - without)[~elsewhere].abs().max() < 1e3


@pytest.mark.parametrize("kind", TILED)
def test_a_mask_that_no_half_can_hold_is_no_loss_to_the_window(cuda: Core, kind: str) -> None:
    case = WINDOWS[0]
    inputs = make_inputs(case, KINDS[kind].dtype, torch.float32)
    inputs.weight *= 1e-3
    assert inputs.mask is not None
    inputs.mask[1, 4] *= 1e6
    errors = dict(gradient_errors(cuda, case, inputs, KINDS[kind]))
    assert errors["input"] <= KINDS[kind].tolerance


# ---- values that are no numbers ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["asymmetric", "centernet_64", "basicvsr_16_offset_groups"])
def test_impossible_offsets_get_zero_gradient(cuda: Core, kind: str, name: str) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, KINDS[kind].dtype)
    inputs.offset[:, :, 0] = torch.nan
    inputs.offset[:, :, 1] = 1e30
    inputs.offset[:, :, 2] = -torch.inf
    found, exact = (
        gradients(cuda, case, inputs, KINDS[kind].options),
        reference_gradients(case, inputs),
    )
    assert (found["offset"][:, :, :3] == 0).all()
    for gradient, values in found.items():
        assert torch.isfinite(values).all(), gradient
        assert relative_error(values, exact[gradient]) <= KINDS[kind].tolerance, gradient


@pytest.mark.parametrize("kind", KINDS)
def test_at_integer_positions_the_derivative_is_that_of_the_floor(cuda: Core, kind: str) -> None:
    for name in ("zero_offsets", "integer_offsets"):
        case = replace(BY_NAME["centernet_64"], offsets=BY_NAME[name].offsets)
        inputs = make_inputs(case, KINDS[kind].dtype)
        assert dict(wrong(cuda, case, inputs, KINDS[kind])) == {}


# ---- memory, and what goes wrong -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    case=valid_cases(),
    larger=st.lists(st.sampled_from([0, 1, 3, 70]), min_size=5, max_size=5),
    times=st.sampled_from([1, 8, 40]),
)
def test_a_larger_problem_never_needs_less_memory(
    cuda: Core, kind: str, case: Case, larger: list[int], times: int
) -> None:
    dtype, options = KINDS[kind].dtype, KINDS[kind].options
    case = replace(case, in_channels=times * case.in_channels)
    more = replace(
        case,
        batch=case.batch + larger[0],
        size=(case.size[0] + larger[1], case.size[1] + larger[2]),
        in_channels=case.in_channels + larger[3] * case.group * case.offset_group,
        out_channels=case.out_channels + larger[4] * case.group,
    )
    least, most = (
        cuda.workspace_bytes(problem, dtype, options, backward=True) for problem in (case, more)
    )
    assert least <= most


@pytest.mark.parametrize("kind", KINDS)
def test_an_unsupported_device_becomes_an_error_that_names_it(cuda: Core, kind: str) -> None:
    case = BY_NAME["centernet_64"]
    inputs = make_inputs(case, KINDS[kind].dtype)
    cuda.fail_launches(209)  # cudaErrorNoKernelImageForDevice
    try:
        with pytest.raises(CudaError, match=r"no kernel image .* the device is Emulated GPU"):
            gradients(cuda, case, inputs, KINDS[kind].options)
    finally:
        cuda.fail_launches(0)
    assert dict(wrong(cuda, case, inputs, KINDS[kind])) == {}


@pytest.mark.parametrize("kind", FAST)
def test_a_device_without_what_the_fast_kernels_need_runs_the_plain_ones(
    cuda: Core, kind: str
) -> None:
    cuda.set_device(7, 5)
    try:
        for name in VARIED:
            inputs = make_inputs(BY_NAME[name], KINDS[kind].dtype)
            assert dict(wrong(cuda, BY_NAME[name], inputs, KINDS[kind])) == {}
    finally:
        cuda.set_device()


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_enqueued_on_the_given_stream_and_nothing_waits(
    cuda: Core, kind: str
) -> None:
    """As a CUDA graph wants it."""
    case, stream = BY_NAME["centernet_64"], 0x7000
    inputs = make_inputs(case, KINDS[kind].dtype)
    enqueued, on_it, stalls = cuda.launches(), cuda.launches_on(stream), cuda.stalls()
    grad_output = grad_output_of(case, inputs)
    cuda.backward(case, inputs, grad_output, KINDS[kind].options, stream=stream)
    assert cuda.launches() - enqueued == cuda.launches_on(stream) - on_it > 0
    assert cuda.stalls() == stalls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nothing", [{"batch": 0}, {"out_channels": 0}])
def test_gradients_of_nothing_are_zero(cuda: Core, kind: str, nothing: dict[str, int]) -> None:
    case = replace(BY_NAME["asymmetric"], **nothing)
    inputs = make_inputs(case, KINDS[kind].dtype)
    for gradient in gradients(cuda, case, inputs, KINDS[kind].options).values():
        assert (gradient == 0).all()
