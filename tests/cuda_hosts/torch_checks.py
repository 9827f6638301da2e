"""The CUDA half of the torch library with the CPU for its GPU and its kernels on the emulator.

``tests/test_cuda_torch.py`` runs this in a process of its own, where that library is the op.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from cases import BY_NAME, DTYPES, Case, Inputs, expected, make_inputs, relative_error
from eager import run
from torch import Tensor

from dcn_deploy import torch_op
from dcn_deploy._native import library
from dcn_deploy.contract import contract

OP = torch.ops.dcn_deploy.deform_conv2d.default
NATIVE = ctypes.CDLL(str(library("torch")))
NATIVE.emulator_last_stream.restype = ctypes.c_void_p
for _name in ("emulator_launches", "emulator_stalls", "test_streams_asked"):
    getattr(NATIVE, _name).restype = ctypes.c_int64
STREAM = 0x5EA0
TOLERANCE = {"float32": 2e-6, "float16": 5e-4, "bfloat16": 5e-3, "float64": 1e-14}
GRADIENT_TOLERANCE = {name: 2 * most for name, most in TOLERANCE.items()} | {"float64": 1e-13}
FUSED = replace(BY_NAME["asymmetric"], name="fused", group=1)
# Where a frontend could go wrong; what the kernels compute is tested elsewhere.
CASES = [
    FUSED,
    replace(FUSED, name="fused_whole_vectors", in_channels=16, offset_group=2),
    replace(FUSED, name="fused_no_bias_no_mask", bias=False, mask=False),
    *(BY_NAME[name] for name in ("asymmetric", "no_bias", "no_mask", "batch_0", "groups_straddle")),
]


@pytest.fixture(autouse=True)
def stream() -> Iterator[int]:
    """The current stream, on which everything must be."""
    NATIVE.test_set_stream(ctypes.c_void_p(STREAM))
    asked, stalls = NATIVE.test_streams_asked(), NATIVE.emulator_stalls()
    yield STREAM
    if NATIVE.test_streams_asked() > asked and NATIVE.emulator_launches():
        assert NATIVE.emulator_last_stream() == STREAM
    # Nothing of CUDA's allocates or waits.
    assert NATIVE.emulator_stalls() == stalls


def test_this_is_the_cuda_half() -> None:
    assert contract().cuda_architectures == "the emulator"
    asked, launches = NATIVE.test_streams_asked(), NATIVE.emulator_launches()
    case = BY_NAME["asymmetric"]
    run(case, make_inputs(case, torch.float32))
    assert NATIVE.test_streams_asked() == asked + 1
    assert NATIVE.emulator_launches() > launches


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward(case: Case, dtype: str) -> None:
    inputs = make_inputs(case, DTYPES[dtype])
    output = run(case, inputs)
    assert output.dtype == DTYPES[dtype]
    assert relative_error(output, expected(case, inputs)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_forward_with_float32_coordinates(dtype: str) -> None:
    case = BY_NAME["far_offsets"]
    inputs = make_inputs(case, DTYPES[dtype], torch.float32)
    assert relative_error(run(case, inputs), expected(case, inputs)) <= TOLERANCE[dtype]


def leaves(inputs: Inputs, dtype: torch.dtype | None = None) -> Inputs:
    return Inputs(
        *(
            None if t is None else t.detach().to(dtype or t.dtype).requires_grad_()
            for t in inputs.tensors()
        )  # type: ignore[arg-type]
    )


def check_gradients(case: Case, inputs: Inputs, dtype: str) -> None:
    ours, exact = leaves(inputs), leaves(inputs, torch.float64)
    output = run(case, ours)
    grad_output = torch.randn_like(output)
    output.backward(grad_output)
    expected(case, exact).backward(grad_output.double())
    for actual, wanted in zip(ours.tensors(), exact.tensors(), strict=True):
        if actual is None or wanted is None:
            continue
        assert actual.grad is not None
        assert wanted.grad is not None
        assert actual.grad.dtype == actual.dtype
        assert relative_error(actual.grad, wanted.grad) <= GRADIENT_TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_backward(case: Case, dtype: str) -> None:
    check_gradients(case, make_inputs(case, DTYPES[dtype]), dtype)


def test_backward_of_what_is_wanted() -> None:
    case = BY_NAME["asymmetric"]
    inputs = leaves(make_inputs(case, torch.float32))
    inputs.input.requires_grad_(False)
    inputs.offset.requires_grad_(False)
    run(case, inputs).square().sum().backward()
    assert inputs.input.grad is None
    assert inputs.offset.grad is None
    assert inputs.weight.grad is not None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*CASES[:4], CASES[-1]], ids=lambda case: case.name)
def test_channels_last_stays_so(case: Case, dtype: str) -> None:
    inputs = make_inputs(case, DTYPES[dtype])
    wanted = expected(case, inputs)
    inputs.input = inputs.input.contiguous(memory_format=torch.channels_last)
    output = run(case, inputs)
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert not output.is_contiguous()
    assert relative_error(output, wanted) <= TOLERANCE[dtype]
    check_gradients(case, inputs, dtype)


def test_strides_of_any_kind() -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)

    def spread(tensor: Tensor | None) -> Tensor:
        assert tensor is not None
        wide = torch.full((*tensor.shape, 2), float("nan"))
        wide[..., 1] = tensor
        return wide[..., 1]

    spread_inputs = Inputs(*map(spread, inputs.tensors()))
    assert torch.equal(run(case, spread_inputs), run(case, inputs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_keeps_halves_and_float32_coordinates(dtype: torch.dtype) -> None:
    case = BY_NAME["far_offsets"]
    inputs = make_inputs(case, torch.float32)
    with torch.autocast("cpu", dtype):
        actual = run(case, inputs)
    assert actual.dtype == dtype
    half = make_inputs(case, dtype, coordinate_dtype=torch.float32)
    torch.testing.assert_close(actual, run(case, half), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_of_cuda_does_the_same(dtype: torch.dtype) -> None:
    case = BY_NAME["far_offsets"]
    inputs = make_inputs(case, torch.float32)
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCUDA)
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_dtype("cuda", dtype)
    try:
        arguments = (*inputs.tensors(), *list(case.attributes().values())[1:])
        actual = OP.redispatch(key, *arguments)
    finally:
        torch.set_autocast_dtype("cuda", before)
    assert actual.dtype == dtype
    half = make_inputs(case, dtype, coordinate_dtype=torch.float32)
    assert torch.equal(actual, run(case, half))


def test_compiles_and_counts_as_one_operator() -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    compiled = torch.compile(lambda: run(case, inputs), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(), run(case, inputs))


# ---- torch's switches ----------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """What the kernels were told, call by call: TF32, deterministic."""
    answers: list[tuple[bool, bool]] = []
    answer = torch_op._switches

    def remember() -> tuple[bool, bool]:
        answers.append(answer())
        return answers[-1]

    monkeypatch.setattr(torch_op, "_switches", remember)
    return answers


@pytest.fixture
def switches() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cuda.matmul.allow_tf32 = False


@pytest.mark.usefixtures("switches")
def test_switches_reach_the_kernel_when_it_runs(asked: list[tuple[bool, bool]]) -> None:
    case = BY_NAME["asymmetric"]
    inputs = leaves(make_inputs(case, torch.float32))
    compiled = torch.compile(lambda: run(case, inputs), fullgraph=True, backend="aot_eager")
    compiled().sum().backward()
    assert asked == [(False, False)] * 2
    torch.backends.cuda.matmul.allow_tf32 = True
    compiled().sum().backward()
    torch.use_deterministic_algorithms(True)
    run(case, inputs).sum().backward()
    torch.set_float32_matmul_precision("highest")
    run(case, inputs)
    assert asked[2:] == [(True, False)] * 2 + [(True, True)] * 2 + [(False, True)]


def test_only_what_depends_on_them_asks(asked: list[tuple[bool, bool]]) -> None:
    case = BY_NAME["asymmetric"]
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        run(case, make_inputs(case, dtype))
    assert asked == []


@pytest.mark.usefixtures("switches")
def test_tf32_is_what_the_kernel_then_does() -> None:
    case = FUSED
    inputs = make_inputs(case, torch.float32)
    exact = run(case, inputs)
    torch.backends.cuda.matmul.allow_tf32 = True
    error = relative_error(run(case, inputs), expected(case, inputs))
    assert 1e-5 < error <= 1e-3
    assert relative_error(exact, expected(case, inputs)) <= TOLERANCE["float32"]


# ---- refusals ------------------------------------------------------------------------------------


def test_wrong_sizes_are_named() -> None:
    x, weight, offset = torch.randn(1, 4, 9, 10), torch.randn(6, 4, 3, 3), torch.randn(1, 20, 7, 8)
    with pytest.raises(RuntimeError, match=r"^deform_conv2d: offset has 20 channels, expected 2"):
        OP(x, weight, offset)


def test_tensors_elsewhere_are_named() -> None:
    x, weight = torch.randn(1, 4, 9, 10), torch.randn(6, 4, 3, 3, device="meta")
    offset = torch.randn(1, 18, 7, 8)
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    with pytest.raises(RuntimeError, match="weight is not on a CUDA device, where other tensors"):
        OP.redispatch(key, x, weight, offset)


def test_a_failed_launch_names_the_device_and_the_build() -> None:
    case = BY_NAME["asymmetric"]
    NATIVE.emulator_fail(209)
    try:
        with pytest.raises(
            RuntimeError,
            match=r"^deform_conv2d: CUDA could not run the kernel: no kernel image is available "
            r"for execution on the device; the device is Emulated GPU \(sm_90\); this build has "
            r"kernels for the emulator",
        ):
            run(case, make_inputs(case, torch.float32))
    finally:
        NATIVE.emulator_fail(0)
