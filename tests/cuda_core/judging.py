"""How results of the CUDA kernels are judged: in which dtypes and by which kernels, against what,
and how far they may be off. The tests judge the emulator by it, and ``make gpu-check`` a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from cases import DTYPES, Case, Inputs, expected
from torch import Tensor

from dcn_deploy.tolerances import TOLERANCE

from .core import DEFAULT, GRADIENTS, Core, Options

DETERMINISTIC = Options(deterministic=True)
PLAIN = Options(plain=True)
TF32 = Options(allow_tf32=True)
# Groups of every sort, odd channels, and a layer that fills its tiles.
VARIED = ("asymmetric", "groups_straddle", "depthwise", "channels_37_to_50", "centernet_64")


@dataclass(frozen=True)
class Kind:
    """A dtype, how its sums are made, and how far the result may be off."""

    dtype: torch.dtype
    tolerance: float
    options: Options = DEFAULT


# The plain kernels add as the CPU's do; three products in TF32 come close to one in float32.
_FORWARD = {**TOLERANCE, "float32": 2e-6}
# Sums over pixels and channels of products that were rounded once more.
_BACKWARD = {name: 2 * tolerance for name, tolerance in _FORWARD.items()} | {"float64": 1e-13}

# Float64 takes the plain kernels anyway, whose sums have one order.
_FAST_DTYPES = [name for name in DTYPES if name != "float64"]
FORWARD = {
    **{name: Kind(DTYPES[name], _FORWARD[name]) for name in DTYPES},
    "float32 as TF32": Kind(torch.float32, 1e-3, TF32),
    **{f"{name} plain": Kind(DTYPES[name], TOLERANCE[name], PLAIN) for name in _FAST_DTYPES},
}
BACKWARD = {
    **{name: Kind(DTYPES[name], _BACKWARD[name]) for name in DTYPES},
    "float32 as TF32": Kind(torch.float32, 2e-3, TF32),
    **{
        f"{name} deterministic": Kind(DTYPES[name], _BACKWARD[name], DETERMINISTIC)
        for name in _FAST_DTYPES
    },
    **{f"{name} plain": Kind(DTYPES[name], _BACKWARD[name], PLAIN) for name in _FAST_DTYPES},
}


def fast(kinds: dict[str, Kind]) -> dict[str, Kind]:
    """Those that may take the fast kernels."""
    return {name: kind for name, kind in kinds.items() if not kind.options.plain}


def on(device: str, inputs: Inputs) -> Inputs:
    return Inputs(*(t if t is None else t.to(device) for t in inputs.tensors()))  # type: ignore[arg-type]


# A random problem may sample nothing but the last millionth of a pixel at the image's edge. What is
# left of such a weight has few digits in float32, so errors there are judged against a tenth of
# what random inputs give, if the result is less.
OF_RANDOM_PROBLEMS = 0.1


def relative_error(actual: Tensor, wanted: Tensor, least: float = 0.0) -> float:
    """‖actual - wanted‖ / ‖wanted‖, or to that of a tensor of ``least``, if that is more."""
    assert actual.shape == wanted.shape
    difference = (actual.double() - wanted.double()).norm()
    scale = wanted.double().norm().clamp_min(max(least * wanted.numel() ** 0.5, 1e-30))
    return float(difference / scale)


def error_of(output: Tensor, case: Case, inputs: Inputs, least: float = 0.0) -> float:
    """The relative error of an output, wherever it is."""
    return relative_error(output, expected(case, inputs).to(output.device), least)


def grad_output_of(case: Case, inputs: Inputs) -> Tensor:
    shape = (case.batch, case.out_channels, *case.output_size)
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return values.to(inputs.input.dtype)


def reference_gradients(case: Case, inputs: Inputs) -> dict[str, Tensor]:
    """In float64, for exactly these inputs and the gradient of the output above."""
    exact = Inputs(
        *(None if t is None else t.double().requires_grad_() for t in inputs.tensors())  # type: ignore[arg-type]
    )
    grad_output = grad_output_of(case, inputs).to(exact.input.device)
    expected(case, exact).backward(grad_output.double())
    named = zip(GRADIENTS, exact.tensors(), strict=True)
    return {name: tensor.grad for name, tensor in named if tensor is not None}


def gradients(
    core: Core,
    case: Case,
    inputs: Inputs,
    options: Options = DEFAULT,
    wanted: tuple[str, ...] = GRADIENTS,
    **how: Any,
) -> dict[str, Tensor]:
    """By name, on the CPU; ``inputs`` are there too."""
    grad_output = grad_output_of(case, inputs).to(core.device)
    results = core.backward(case, on(core.device, inputs), grad_output, options, wanted, **how)
    named = zip(GRADIENTS, results, strict=True)
    return {name: gradient.cpu() for name, gradient in named if gradient is not None}


def gradient_errors(
    core: Core, case: Case, inputs: Inputs, kind: Kind, least: float = 0.0
) -> Iterator[tuple[str, float]]:
    """The relative error of each gradient; ``inputs`` are on the CPU."""
    exact = reference_gradients(case, inputs)
    found = gradients(core, case, inputs, kind.options)
    assert set(found) == set(exact)
    for name, gradient in found.items():
        yield name, relative_error(gradient, exact[name], least)
