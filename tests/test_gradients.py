"""Gradients: exact against finite differences and the reference, deterministic, clear refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cases import BY_NAME, CASES, DTYPES, Case, Inputs, expected, make_inputs, relative_error
from eager import run
from torch.autograd import gradcheck

# Sums over pixels and channels of products that were rounded once more than the forward's.
GRADIENT_TOLERANCE = {"float32": 2e-6, "float64": 1e-13, "float16": 1e-3, "bfloat16": 1e-2}


def with_gradients(inputs: Inputs, dtype: torch.dtype | None = None) -> Inputs:
    return Inputs(
        *(
            None if t is None else t.detach().to(dtype or t.dtype).requires_grad_()
            for t in inputs.tensors()
        )  # type: ignore[arg-type]
    )


def gradients(inputs: Inputs) -> dict[str, torch.Tensor]:
    names = ("input", "weight", "offset", "bias", "mask")
    return {
        name: tensor.grad
        for name, tensor in zip(names, inputs.tensors(), strict=True)
        if tensor is not None and tensor.grad is not None
    }


# On the CPU the pixels of few channels are shared out in two parts, unless the image is large.
PARTS = [
    replace(BY_NAME["several_tiles"], name="parts_of_two_images", batch=2),
    replace(BY_NAME["channels_37_to_50"], name="parts_of_37_channels", size=(41, 37)),
    replace(BY_NAME["depthwise"], name="parts_of_depthwise", size=(41, 37)),
    replace(BY_NAME["depthwise_own_offsets"], name="parts_of_own_offsets", size=(41, 37)),
    # So many taps that the sums for offset and mask are not held for all pixels at a time.
    replace(
        BY_NAME["kernel_9x8_beyond_64_taps"],
        name="parts_of_two_bands",
        batch=1,
        in_channels=32,
        out_channels=2,
        size=(90, 80),
        pads=(4, 3, 4, 4),
        stride=(1, 1),
        group=1,
        offset_group=1,
    ),
    replace(
        BY_NAME["channels_17_to_31"],
        name="no_parts_of_a_large_image",
        size=(700, 720),
        stride=(41, 37),
        batch=1,
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES + PARTS, ids=lambda case: case.name)
def test_equal_the_reference(case: Case, dtype: str) -> None:
    inputs = make_inputs(case, DTYPES[dtype])
    ours, exact = with_gradients(inputs), with_gradients(inputs, torch.float64)
    output = run(case, ours)
    grad_output = torch.randn_like(output)
    output.backward(grad_output)
    expected(case, exact).backward(grad_output.double())
    actual, wanted = gradients(ours), gradients(exact)
    assert set(actual) == set(wanted)
    for name, gradient in actual.items():
        assert gradient.dtype == DTYPES[dtype]
        error = relative_error(gradient, wanted[name])
        assert error <= GRADIENT_TOLERANCE[dtype], f"gradient of {name}: {error:.1e}"


@pytest.mark.parametrize(
    "name", ["asymmetric", "no_bias_no_mask", "groups_straddle", "depthwise", "kernel_1x3"]
)
def test_gradcheck(name: str) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, torch.float64)
    # Away from integers, where the one-sided derivative and a finite difference must differ.
    inputs.offset = torch.round(inputs.offset) + torch.rand_like(inputs.offset) * 0.6 + 0.2
    ours = with_gradients(inputs)
    present = [tensor for tensor in ours.tensors() if tensor is not None]

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        given = iter(tensors)
        return run(case, Inputs(*(next(given) if t is not None else None for t in ours.tensors())))  # type: ignore[arg-type]

    assert gradcheck(function, present, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("wanted", range(5))
@pytest.mark.parametrize("case", [BY_NAME["asymmetric"], *PARTS], ids=lambda case: case.name)
def test_one_gradient_alone_is_the_same(case: Case, wanted: int, dtype: torch.dtype) -> None:
    every = with_gradients(make_inputs(case, dtype))
    run(case, every).square().sum().backward()
    alone = make_inputs(case, dtype)
    tensor = alone.tensors()[wanted]
    assert tensor is not None
    tensor.requires_grad_()
    run(case, alone).square().sum().backward()
    for i, (one, other) in enumerate(zip(alone.tensors(), every.tensors(), strict=True)):
        assert one is not None
        assert other is not None
        if i == wanted:
            assert torch.equal(one.grad, other.grad)
        else:
            assert one.grad is None


def test_impossible_offsets_get_zero_gradient() -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    inputs.offset[:, :, 0] = torch.nan
    inputs.offset[:, :, 1] = 1e30
    ours = with_gradients(inputs)
    run(case, ours).square().sum().backward()
    assert (ours.offset.grad[:, :, :2] == 0).all()
    assert (ours.offset.grad[:, :, 2:] != 0).any()
    for gradient in gradients(ours).values():
        assert torch.isfinite(gradient).all()


# Taps lie side by side in the columns, where vectors overrun the channels of one. All widths of
# pixels.
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("channels", [3, 4, 6, 8, 13, 16, 21, 29, 32, 45])
def test_what_is_infinite_stays_with_its_tap(
    channels: int, depthwise: bool, dtype: torch.dtype
) -> None:
    case = Case(
        "one_offset_group",
        in_channels=channels,
        out_channels=channels if depthwise else 5,
        group=channels if depthwise else 1,
        offset_group=1,
    )
    tap = 3
    others = [row for row in range(case.taps) if row != tap]
    results = []
    for weight in (0.0, torch.inf):
        inputs = make_inputs(case, dtype)
        inputs.weight.flatten(2)[..., tap] = weight
        ours = with_gradients(inputs)
        run(case, ours).backward(
            torch.ones(case.batch, case.out_channels, *case.output_size, dtype=dtype)
        )
        results.append(gradients(ours))
    zero, infinite = results
    assert not infinite["mask"][:, tap].isfinite().all()
    assert torch.equal(infinite["weight"], zero["weight"])
    for name in ("mask", "offset"):
        rows = [
            result[name].unflatten(1, (case.taps, -1))[:, others] for result in (zero, infinite)
        ]
        assert rows[0].isfinite().all()
        assert torch.equal(rows[1], rows[0]), f"gradient of {name}"


@pytest.mark.parametrize(
    "case",
    [BY_NAME["several_tiles"], BY_NAME["deep_k_several_chunks"], *PARTS],
    ids=lambda case: case.name,
)
def test_bitwise_the_same_for_any_number_of_threads(case: Case) -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            inputs = with_gradients(make_inputs(case, torch.float32))
            run(case, inputs).square().sum().backward()
            results.append(gradients(inputs))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        for key, gradient in result.items():
            assert torch.equal(gradient, results[0][key]), key


def backward_arguments() -> dict[str, object]:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    names = ("stride", "padding", "dilation", "groups", "offset_groups")
    return {
        "grad_output": torch.randn_like(run(case, inputs)),
        "input": inputs.input,
        "weight": inputs.weight,
        "offset": inputs.offset,
        "mask": inputs.mask,
        **dict(zip(names, list(case.attributes().values())[1:], strict=True)),
        "wanted": [True] * 5,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grad_output": torch.randn(1)}, r"grad_output is \[1\], expected \[2, 8, 5, 10\]"),
        (
            {"grad_output": torch.zeros(2, 8, 5, 10).half()},
            "grad_output is float16, expected",
        ),
        ({"wanted": []}, "wanted has 0 values"),
        ({"wanted": [True]}, "wanted has 1 values"),
        ({"mask": torch.zeros(2, 18, 5, 9)}, "mask has width 9, expected 10"),
    ],
)
def test_the_backward_op_refuses_what_does_not_fit(
    changes: dict[str, object], message: str
) -> None:
    op = torch.ops.dcn_deploy.deform_conv2d_backward
    assert len(op(**backward_arguments())) == 5
    with pytest.raises(RuntimeError, match=message):
        op(**{**backward_arguments(), **changes})


@pytest.mark.parametrize("changes", [{"batch": 0}, {"out_channels": 0}])
def test_gradients_of_nothing_are_zero(changes: dict[str, int]) -> None:
    case = replace(BY_NAME["asymmetric"], **changes)
    inputs = with_gradients(make_inputs(case, torch.float32))
    run(case, inputs).sum().backward()
    for tensor in inputs.tensors():
        assert tensor is not None
        assert tensor.grad.shape == tensor.shape
        assert (tensor.grad == 0).all()


def test_a_bias_may_change_before_the_backward_pass() -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    inputs.weight.requires_grad_()
    output = run(case, inputs)
    inputs.bias.add_(1)
    output.sum().backward()
    assert inputs.weight.grad is not None


def test_double_backward_is_refused_clearly() -> None:
    case = BY_NAME["asymmetric"]
    inputs = with_gradients(make_inputs(case, torch.float64))
    (gradient,) = torch.autograd.grad(run(case, inputs).sum(), inputs.weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="gradients of gradients"):
        gradient.sum().backward()
