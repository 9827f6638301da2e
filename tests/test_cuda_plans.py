"""Every tile and every way of sampling of the fused CUDA forward, on problems that take it.

The named cases are small, and reach some of them only; here each kernel that is compiled has a
problem of its own, and it is asserted that the problem takes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from cases import BY_NAME, DTYPES, Case, expected, make_inputs, relative_error
from cuda_core.core import Core, Options

from dcn_deploy.tolerances import TOLERANCE

_BASE = replace(BY_NAME["asymmetric"], group=1, offset_group=1)
_STRADDLING = {"in_channels": 48, "group": 3, "offset_group": 4, "out_channels": 9}

# What the halves take, what float32 takes, and the problem.
PLANS: dict[str, tuple[str, str, Case]] = {
    "outputs fill the widest tile": (
        "tabulated 128x256",
        "tabulated 128x128",
        replace(_BASE, in_channels=40, out_channels=200, size=(21, 19)),
    ),
    "outputs fill two of the widest tiles": (
        "tabulated 128x256",
        "tabulated 128x128",
        replace(_BASE, in_channels=136, out_channels=270),
    ),
    "a hundred outputs": (
        "tabulated 128x128",
        "tabulated 128x128",
        replace(_BASE, in_channels=72, out_channels=100),
    ),
    "several tables": (
        "tabulated 128x64",
        "tabulated 64x64",
        replace(_BASE, in_channels=288, out_channels=10, offset_group=6, group=2),
    ),
    "several tables, not split": (
        "tabulated 128x64",
        "tabulated 64x64",
        replace(
            _BASE, in_channels=64, out_channels=10, offset_group=2, size=(41, 37), kernel=(1, 2)
        ),
    ),
    "chunks that are not full": (
        "tabulated 128x64",
        "tabulated 64x64",
        replace(_BASE, in_channels=2 * 75, group=2, out_channels=6),
    ),
    "many outputs sampled directly": (
        "direct 64x256",
        "tabulated 128x128",
        replace(_BASE, in_channels=22, out_channels=300),
    ),
    "a hundred outputs sampled directly": (
        "direct 64x128",
        "tabulated 128x128",
        replace(_BASE, in_channels=24, out_channels=100),
    ),
    "many taps": (
        "direct 128x64",
        "direct 64x64",
        replace(_BASE, in_channels=70, kernel=(4, 5), size=(13, 12)),
    ),
    "groups straddle offset groups": (
        "direct 128x64",
        "direct 64x64",
        replace(_BASE, **_STRADDLING),  # type: ignore[arg-type]
    ),
    "few channels of an offset group": (
        "narrow 128x64",
        "direct 64x64",
        replace(_BASE, in_channels=15, offset_group=5, batch=33, size=(5, 6)),
    ),
    "few channels of an offset group, many outputs": (
        "narrow 64x128",
        "direct 64x64",
        replace(_BASE, in_channels=64, offset_group=16, out_channels=170),
    ),
    "few channels of an offset group, which groups straddle": (
        "narrow 128x64",
        "direct 64x64",
        replace(_BASE, in_channels=40, group=4, offset_group=10, kernel=(5, 3), size=(12, 13)),
    ),
    "planes": (
        "planes 128x64",
        "direct 64x64",
        replace(_BASE, in_channels=24, offset_group=4, out_channels=10, size=(33, 17)),
    ),
    "planes, many outputs, split": (
        "planes 64x128",
        "direct 64x64",
        replace(_BASE, in_channels=64, offset_group=8, out_channels=100, size=(17, 12)),
    ),
    "pairs of planes": (
        "pairs 128x64",
        "planes 64x64",
        replace(_BASE, in_channels=24, offset_group=8, group=2, size=(33, 17)),
    ),
    "pairs of planes, many outputs, split": (
        "pairs 64x128",
        "planes 64x64",
        replace(_BASE, in_channels=64, offset_group=16, out_channels=100, size=(17, 12)),
    ),
}
OF_PLANES = [name for name in PLANS if "planes" in name]
KINDS = {
    "float16": (torch.float16, Options(), TOLERANCE["float16"]),
    "bfloat16": (torch.bfloat16, Options(), TOLERANCE["bfloat16"]),
    "float32": (torch.float32, Options(), 2e-6),
    "float32 as TF32": (torch.float32, Options(allow_tf32=True), 1e-3),
}


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_takes_its_tile_and_is_right(watched: Core, kind: str, name: str) -> None:
    of_halves, of_float32, case = PLANS[name]
    dtype, options, tolerance = KINDS[kind]
    tile, _ = watched.plan(case, dtype, options).split(" of ")
    assert tile == (of_float32 if dtype == torch.float32 else of_halves)
    inputs = make_inputs(case, dtype)
    wanted = expected(case, inputs)
    for how in ({}, {"packed": True, "channels_last": True}):
        output = watched.forward(case, inputs, options, **how)
        assert relative_error(output, wanted) <= tolerance, how


@pytest.mark.parametrize("name", OF_PLANES)
@pytest.mark.parametrize("kind", KINDS)
def test_planes_with_offsets_of_every_sort(watched: Core, kind: str, name: str) -> None:
    """Whole ones, which lie on the edge, far ones, those of float32; with a mask and without."""
    *_, case = PLANS[name]
    dtype, options, tolerance = KINDS[kind]
    for offsets, mask, coordinates in (
        ("integer", True, dtype),
        ("zero", False, torch.float32),
        ("tiny", False, dtype),
        ("far", True, torch.float32),
    ):
        changed = replace(case, offsets=offsets, mask=mask)
        inputs = make_inputs(changed, dtype, coordinates)
        output = watched.forward(changed, inputs, options)
        assert relative_error(output, expected(changed, inputs)) <= tolerance, offsets


@pytest.mark.parametrize("name", OF_PLANES)
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32 as TF32"])
def test_planes_with_values_that_are_no_numbers(watched: Core, kind: str, name: str) -> None:
    """Pixels stay where they are, also next to samples that lie on the edge."""
    case = replace(PLANS[name][-1], offsets="integer")
    dtype, options, tolerance = KINDS[kind]
    inputs = make_inputs(case, dtype)
    assert inputs.mask is not None
    for i, value in enumerate((torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 2.0**23, -1e9)):
        inputs.offset.view(-1)[i::31] = value
    inputs.mask[1, 1, 1, 1] = torch.nan
    inputs.input[:, 0, 0, 0] = torch.inf
    inputs.input[0, 1, -1, -1] = -torch.inf
    inputs.input[1, -1, 4, 4] = torch.nan
    output, wanted = watched.forward(case, inputs, options), expected(case, inputs)
    assert torch.equal(output.isfinite(), wanted.isfinite())
    assert torch.equal(output.isnan(), wanted.isnan())
    finite = wanted.isfinite()
    assert 0.3 < finite.float().mean() < 1
    assert relative_error(output[finite], wanted[finite]) <= tolerance


# What launch_fused.h launches.
OF_HALVES = {"tabulated 128x256", "tabulated 128x128", "tabulated 128x64", "direct 64x256"}
OF_HALVES |= {"direct 64x128", "direct 128x64", "narrow 64x128", "narrow 128x64"}
OF_HALVES |= {"planes 64x128", "planes 128x64", "pairs 64x128", "pairs 128x64"}
OF_FLOAT32 = {"tabulated 128x128", "tabulated 64x64", "direct 64x64", "planes 64x64"}


def test_every_kernel_has_a_problem(cuda: Core) -> None:
    assert {of_halves for of_halves, _, _ in PLANS.values()} == OF_HALVES
    assert {of_float32 for _, of_float32, _ in PLANS.values()} == OF_FLOAT32
    for name in ("float16", "float32"):
        plans = [cuda.plan(case, DTYPES[name]) for *_, case in PLANS.values()]
        for sampling in {plan.split()[0] for plan in plans}:
            splits = {plan.endswith(" of 1 splits") for plan in plans if plan.startswith(sampling)}
            assert splits == {True, False}, f"{sampling}: whole tiles and split ones"


# ---- other devices -------------------------------------------------------------------------------


@contextmanager
def device(cuda: Core, major: int, minor: int) -> Iterator[None]:
    cuda.set_device(major, minor)
    try:
        yield
    finally:
        cuda.set_device()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["centernet_64", "depthwise"])
def test_a_device_without_tensor_cores_takes_the_plain_kernels(
    cuda: Core, kind: str, name: str
) -> None:
    """The weight was packed there, too: it may be the only one that the host still has."""
    case, (dtype, options, _) = BY_NAME[name], KINDS[kind]
    inputs = make_inputs(case, dtype)
    plain = cuda.forward(case, inputs, Options(plain=True))
    with device(cuda, 7, 5):
        for packed in (False, True):
            assert torch.equal(cuda.forward(case, inputs, options, packed=packed), plain)
    if name == "centernet_64":  # whose sums are long enough to differ
        assert not torch.equal(cuda.forward(case, inputs, options), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_table_fits_into_the_shared_memory_of_small_gpus(cuda: Core, kind: str) -> None:
    case = replace(_BASE, in_channels=32, out_channels=200, kernel=(1, 11), size=(6, 30))
    dtype, options, tolerance = KINDS[kind]
    assert cuda.plan(case, dtype, options).startswith("tabulated 128x")
    inputs = make_inputs(case, dtype)
    with device(cuda, 8, 6):
        output = cuda.forward(case, inputs, options)
    assert relative_error(output, expected(case, inputs)) <= tolerance


# ---- layers of networks, which no emulator could run in time -------------------------------------

_LAYER = BY_NAME["centernet_64"]
LAYERS = {
    # A block for each of the 132 processors of a large GPU, or a little fewer.
    "tabulated 128x256 of 4 splits": replace(
        _LAYER, batch=1, in_channels=256, out_channels=256, size=(50, 84)
    ),
    "tabulated 128x256 of 7 splits": replace(
        _LAYER, batch=1, in_channels=512, out_channels=512, size=(25, 42)
    ),
    "tabulated 128x256 of 1 splits": replace(
        _LAYER, batch=8, in_channels=256, out_channels=256, size=(50, 84)
    ),
    "pairs 128x64 of 1 splits": replace(_LAYER, batch=8, offset_group=16, size=(180, 320)),
}


@pytest.mark.parametrize("plan", LAYERS)
def test_plans_of_layers(cuda: Core, plan: str) -> None:
    assert cuda.plan(LAYERS[plan], DTYPES["float16"]) == plan


def test_the_workspace_never_grows_when_the_image_shrinks(cuda: Core) -> None:
    """Smaller images have more splits, each of which has sums of its own."""
    for base in (*LAYERS.values(), *(case for *_, case in PLANS.values())):
        for name in ("float16", "float32"):
            sizes = [
                cuda.workspace_bytes(replace(base, batch=n, size=(h, w)), DTYPES[name], Options())
                for n, h, w in ((1, 9, 12), (1, 13, 12), (1, 13, 25), (2, 13, 25), (2, 40, 25),
                                (2, 40, 90), (9, 40, 90), (9, 123, 90), (9, 300, 500))
            ]  # fmt: skip
            assert sizes == sorted(sizes)
