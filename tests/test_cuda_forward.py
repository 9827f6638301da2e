"""The CUDA kernels of the forward pass on the emulator: every case in every dtype, against float64.

``make gpu-check`` runs the same on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from cases import BY_NAME, CASES, DTYPES, Case, Inputs, expected, make_inputs
from cuda_core.core import Core, CudaError, Options
from cuda_core.judging import FORWARD as KINDS
from cuda_core.judging import OF_RANDOM_PROBLEMS, VARIED, error_of, fast, relative_error
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from problems import valid_cases
from torch import Tensor

from dcn_deploy.tolerances import TOLERANCE

FAST = fast(KINDS)
PARTS = 4  # for as many test processes


def wrong(errors: Iterable[tuple[str, float]], tolerance: float) -> dict[str, float]:
    return {name: error for name, error in errors if not error <= tolerance}


# ---- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_named_case_is_as_exact_as_promised(watched: Core, kind: str, part: int) -> None:
    dtype, options = KINDS[kind].dtype, KINDS[kind].options

    def errors() -> Iterator[tuple[str, float]]:
        for case in CASES[part::PARTS]:
            inputs = make_inputs(case, dtype)
            yield case.name, error_of(watched.forward(case, inputs, options), case, inputs)

    assert wrong(errors(), KINDS[kind].tolerance) == {}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", FAST)
def test_a_packed_weight_gives_the_very_same_result(cuda: Core, kind: str, part: int) -> None:
    """Blocks and warps run in another order the second time, too."""
    dtype, options = KINDS[kind].dtype, KINDS[kind].options
    different = []
    for case in CASES[part::PARTS]:
        inputs = make_inputs(case, dtype)
        if not cuda.packed_weight_bytes(case, dtype, options):
            assert cuda.path(case, dtype, options) != "tensor cores"
            continue
        packed = cuda.forward(case, inputs, options, packed=True)
        if not torch.equal(packed, cuda.forward(case, inputs, options)):
            different.append(case.name)
    assert different == []


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_channels_last(cuda: Core, kind: str, part: int) -> None:
    dtype, options = KINDS[kind].dtype, KINDS[kind].options

    def errors() -> Iterator[tuple[str, float]]:
        for case in CASES[part::PARTS]:
            inputs = make_inputs(case, dtype)
            output = cuda.forward(case, inputs, options, channels_last=True)
            yield case.name, error_of(output, case, inputs)

    assert wrong(errors(), KINDS[kind].tolerance) == {}


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_offset_and_mask_may_be_float32_beside_halves(cuda: Core, dtype: str, plain: bool) -> None:
    def errors() -> Iterator[tuple[str, float]]:
        for name in (*VARIED, "no_mask", "far_offsets", "basicvsr_16_offset_groups"):
            case = BY_NAME[name]
            inputs = make_inputs(case, DTYPES[dtype], torch.float32)
            output = cuda.forward(case, inputs, Options(plain=plain))
            yield name, error_of(output, case, inputs)

    assert wrong(errors(), TOLERANCE[dtype]) == {}


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    cases=st.lists(valid_cases(), min_size=20, max_size=20),
    packed=st.booleans(),
    channels_last=st.booleans(),
)
def test_random_problems(
    watched: Core, kind: str, cases: list[Case], packed: bool, channels_last: bool
) -> None:
    dtype, options = KINDS[kind].dtype, KINDS[kind].options

    def errors() -> Iterator[tuple[str, float]]:
        for i, case in enumerate(cases):
            inputs = make_inputs(case, dtype, seed=i)
            output = watched.forward(
                case, inputs, options, packed=packed, channels_last=channels_last
            )
            yield repr(case), error_of(output, case, inputs, OF_RANDOM_PROBLEMS)

    assert wrong(errors(), KINDS[kind].tolerance) == {}


# ---- values that are no numbers ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VARIED)
def test_wild_offsets_sample_nothing_and_wild_pixels_stay_where_they_are(
    cuda: Core, kind: str, name: str
) -> None:
    case, options = BY_NAME[name], KINDS[kind].options
    inputs = make_inputs(case, KINDS[kind].dtype)
    wild = (torch.nan, torch.inf, -torch.inf, 1e30, -1e30)  # in float16, 1e30 is infinite too
    for i, value in enumerate(wild):
        inputs.offset.view(-1)[i::31] = value
    inputs.input[0, 0, 0, 0] = torch.inf
    inputs.input[1, -1, 4, 4] = torch.nan
    output, wanted = cuda.forward(case, inputs, options), expected(case, inputs)
    assert torch.equal(output.isfinite(), wanted.isfinite())
    if kind != "float32":  # whose infinity is of two parts, which differ by NaN
        assert torch.equal(output.isnan(), wanted.isnan())
    finite = wanted.isfinite()
    assert 0.3 < finite.float().mean() < 1
    assert relative_error(output[finite], wanted[finite]) <= KINDS[kind].tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_that_are_all_wild_leave_the_bias(cuda: Core, kind: str) -> None:
    case = BY_NAME["centernet_64"]
    inputs = make_inputs(case, KINDS[kind].dtype)
    inputs.offset.fill_(torch.nan)
    output = cuda.forward(case, inputs, KINDS[kind].options)
    assert inputs.bias is not None
    assert torch.equal(output, inputs.bias.view(1, -1, 1, 1).expand_as(output))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["asymmetric", "basicvsr_16_offset_groups"])
def test_a_mask_of_nan_is_seen(cuda: Core, kind: str, name: str) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, KINDS[kind].dtype)
    assert inputs.mask is not None
    inputs.mask[0, 0, 2, 3] = torch.nan
    # Also where there is nothing to sample.
    inputs.mask[1, 1, 1, 1] = torch.nan
    inputs.offset[1, 2:4, 1, 1] = torch.nan
    output = cuda.forward(case, inputs, KINDS[kind].options)
    assert torch.equal(output.isnan(), expected(case, inputs).isnan())
    assert output.isnan().any()


# ---- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [False, True], ids=["NCHW", "channels last"])
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_may_begin_at_any_element(watched: Core, kind: str, channels_last: bool) -> None:
    """As slices of tensors do: the address is a multiple of an element's size and no more."""

    def moved(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        room = torch.full((tensor.numel() + 1,), torch.nan, dtype=tensor.dtype)
        room[1:] = tensor.reshape(-1)
        return room[1:].view(tensor.shape)

    def errors() -> Iterator[tuple[str, float]]:
        for name in VARIED:
            case = BY_NAME[name]
            inputs = make_inputs(case, KINDS[kind].dtype)
            inputs = Inputs(*map(moved, inputs.tensors()))  # type: ignore[arg-type]
            options = KINDS[kind].options
            output = watched.forward(case, inputs, options, channels_last=channels_last)
            yield name, error_of(output, case, inputs)

    assert wrong(errors(), KINDS[kind].tolerance) == {}


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
    assert cuda.workspace_bytes(more, dtype, options) >= cuda.workspace_bytes(case, dtype, options)


# ---- which kernels, and what goes wrong ----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_which_kernels_a_problem_takes(cuda: Core, kind: str) -> None:
    layers = ("centernet_64", "yolact_stride_2", "birefnet_7x7", "channels_64_to_65")
    many_groups = ("basicvsr_16_offset_groups", "edvr_8_offset_groups")
    fast = kind in FAST and KINDS[kind].dtype != torch.float64
    for name in (*layers, *many_groups):
        path = cuda.path(BY_NAME[name], KINDS[kind].dtype, KINDS[kind].options)
        assert path == ("tensor cores" if fast else "plain"), name


@contextmanager
def failing(cuda: Core, error: int) -> Iterator[None]:
    cuda.fail_launches(error)
    try:
        yield
    finally:
        cuda.fail_launches(0)


NO_KERNEL_IMAGE = 209  # cudaErrorNoKernelImageForDevice
MESSAGE = (
    "CUDA could not run the kernel: no kernel image is available for execution on the device; "
    r"the device is Emulated GPU \(sm_\d+\); this build has kernels for the emulator"
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unsupported_device_becomes_an_error_that_names_it(cuda: Core, kind: str) -> None:
    case, options = BY_NAME["centernet_64"], KINDS[kind].options
    inputs = make_inputs(case, KINDS[kind].dtype)
    with failing(cuda, NO_KERNEL_IMAGE), pytest.raises(CudaError, match=f"^{MESSAGE}$"):
        cuda.forward(case, inputs, options)
    if cuda.packed_weight_bytes(case, KINDS[kind].dtype, options):
        with failing(cuda, NO_KERNEL_IMAGE), pytest.raises(CudaError, match=f"^{MESSAGE}$"):
            cuda.forward(case, inputs, options, packed=True)
    assert error_of(cuda.forward(case, inputs, options), case, inputs) <= KINDS[kind].tolerance


@pytest.mark.parametrize("packed", [False, True], ids=["", "packed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_without_what_the_fast_kernels_need_runs_the_plain_ones(
    cuda: Core, kind: str, packed: bool
) -> None:
    dtype, options = KINDS[kind].dtype, KINDS[kind].options

    def errors() -> Iterator[tuple[str, float]]:
        for name in VARIED:
            case = BY_NAME[name]
            inputs = make_inputs(case, dtype)
            plain = cuda.forward(case, inputs, replace(options, plain=True))
            output = cuda.forward(case, inputs, options, packed=packed)
            assert torch.equal(output, plain)
            yield name, error_of(output, case, inputs)

    cuda.set_device(7, 5)
    try:
        assert wrong(errors(), KINDS[kind].tolerance) == {}
    finally:
        cuda.set_device()


def test_without_a_device_the_error_says_so(cuda: Core) -> None:
    case = BY_NAME["centernet_64"]
    with failing(cuda, 100), pytest.raises(CudaError, match="there is no CUDA device to run on"):
        cuda.forward(case, make_inputs(case, torch.float16))


@pytest.mark.parametrize("packed", [False, True], ids=["", "packed"])
@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_enqueued_on_the_given_stream_and_nothing_waits(
    cuda: Core, kind: str, packed: bool
) -> None:
    """As a CUDA graph wants it."""
    case, stream = BY_NAME["centernet_64"], 0x7000
    inputs = make_inputs(case, KINDS[kind].dtype)
    enqueued, on_it, stalls = cuda.launches(), cuda.launches_on(stream), cuda.stalls()
    cuda.forward(case, inputs, KINDS[kind].options, packed=packed, stream=stream)
    assert cuda.launches() - enqueued == cuda.launches_on(stream) - on_it > 0
    assert cuda.stalls() == stalls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nothing", [{"batch": 0}, {"out_channels": 0}])
def test_an_empty_output_launches_nothing(cuda: Core, kind: str, nothing: dict[str, int]) -> None:
    case = replace(BY_NAME["asymmetric"], **nothing)
    before = cuda.launches()
    output = cuda.forward(case, make_inputs(case, KINDS[kind].dtype), KINDS[kind].options)
    assert output.numel() == 0
    assert cuda.launches() == before
