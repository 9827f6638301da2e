"""The TensorRT plugin in a host that plays TensorRT, on a machine without a GPU.

``tensorrt_plugin/life_test.cpp`` takes nodes through their lives; here they compute, the kernels
on an emulator of CUDA (``cuda_emulator``), and the results are judged against float64.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import BY_NAME, CASES, DTYPES, Case, Inputs, expected, make_inputs
from cuda_core.judging import OF_RANDOM_PROBLEMS, relative_error
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from native_build import sanitized
from problems import valid_cases
from torch import Tensor

from dcn_deploy.tolerances import TOLERANCE

FOLDER = Path(__file__).parent / "tensorrt_plugin"
# TensorRT has no float64.
PLUGIN_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Libraries:
    host: Path
    plugin: Path
    emulated: Path
    life_test: Path


@pytest.fixture(scope="session")
def libraries() -> Libraries:
    built = sanitized("tensorrt_test")
    tests = built / "tests" / "tensorrt_plugin"
    return Libraries(
        tests / "libfake_tensorrt.so",
        built / "plugins" / "tensorrt" / "libdcn_deploy_tensorrt.so",
        tests / "libdcn_deploy_tensorrt_emulated.so",
        tests / "life_test",
    )


# ---- a node's life -------------------------------------------------------------------------------


@pytest.mark.parametrize("emulated", [False, True], ids=["real", "emulated"])
def test_a_node_lives_and_is_refused_as_tensorrt_expects(
    libraries: Libraries, emulated: bool
) -> None:
    plugin = libraries.emulated if emulated else libraries.plugin
    command = [str(libraries.life_test), str(plugin), *(["--emulated"] if emulated else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d{4} checks, 0 failures$", done.stdout, re.MULTILINE)
    # Where the host's logger is of an unknown kind.
    assert done.stderr == (
        "[dcn_deploy] deformable convolution 'on stderr': attribute strides is [0, 1], "
        "expected every value in 1 .. 2147483647\n"
    )


# ---- what it computes ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    case: Case
    inputs: Inputs
    creator: int = 0
    channels_last: bool = False
    """Whether input and output are so, in TensorRT's format kHWC8."""

    @property
    def tensors(self) -> list[Tensor]:
        """Those that TensorRT gets: a mask is never without a bias."""
        given = self.inputs
        bias = given.bias
        if bias is None and given.mask is not None:
            bias = torch.zeros(self.case.out_channels, dtype=given.input.dtype)
        tensors = (given.input, given.weight, given.offset, bias, given.mask)
        return [tensor for tensor in tensors if tensor is not None]

    @property
    def output(self) -> Tensor:
        """Of the right shape and dtype, not computed."""
        shape = (self.case.batch, self.case.out_channels, *self.case.output_size)
        return torch.empty(shape, dtype=self.inputs.input.dtype)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def write(problem: Problem, folder: Path, name: str) -> None:
    tensors, output = problem.tensors, problem.output
    description = {
        "attributes": problem.case.attributes(),
        "creator": problem.creator,
        "inputs": [(name_of(tensor.dtype), tuple(tensor.shape)) for tensor in tensors],
        "output": (name_of(output.dtype), tuple(output.shape)),
        "output_bytes": output.nbytes,
        "channels_last": problem.channels_last,
    }
    (folder / f"{name}.json").write_text(json.dumps(description))
    if problem.channels_last:
        tensors[0] = tensors[0].permute(0, 2, 3, 1)
    raw = [tensor.contiguous().view(torch.uint8).flatten().numpy() for tensor in tensors]
    np.savez(folder / f"{name}.npz", *raw)


def run_in_worker(
    libraries: Libraries, problems: Iterable[tuple[str, Problem]], folder: Path
) -> Iterator[tuple[str, Problem, Tensor]]:
    """Name, problem and result of each."""
    written = list(problems)
    for name, problem in written:
        write(problem, folder, name)
    preload = [_library("libasan.so"), _library("libubsan.so")]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "worker.py"), libraries.host, libraries.emulated, folder],
        # Python itself leaves its memory to the system.
        env={**os.environ, "LD_PRELOAD": ":".join(preload), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name, problem in written:
        raw = torch.frombuffer(
            bytearray((folder / f"{name}.out").read_bytes() or b"\0"), dtype=torch.uint8
        )
        output = problem.output
        if output.numel() and problem.channels_last:
            batch, channels, height, width = output.shape
            last = raw.view(output.dtype).reshape(batch, height, width, channels)
            output = last.permute(0, 3, 1, 2)
        elif output.numel():
            output = raw.view(output.dtype).reshape(output.shape)
        yield name, problem, output


def _library(name: str) -> str:
    found = subprocess.run(
        ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def wrong(results: Iterator[tuple[str, Problem, Tensor]], least: float = 0.0) -> dict[str, float]:
    """Name -> relative error of those that are off by more than the contract allows."""
    errors = {}
    for name, problem, output in results:
        error = relative_error(output, expected(problem.case, problem.inputs), least)
        if not error <= TOLERANCE[name_of(output.dtype)]:
            errors[name] = error
    return errors


@pytest.mark.parametrize("dtype", PLUGIN_DTYPES)
def test_every_named_case_is_as_exact_as_promised(
    libraries: Libraries, dtype: str, tmp_path: Path
) -> None:
    problems = [
        (case.name, Problem(case, make_inputs(case, DTYPES[dtype]), creator=i % 2))
        for i, case in enumerate(CASES)
    ]
    assert wrong(run_in_worker(libraries, problems, tmp_path)) == {}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_offset_and_mask_may_be_float32_beside_halves(
    libraries: Libraries, dtype: str, tmp_path: Path
) -> None:
    names = ("asymmetric", "no_mask", "far_offsets", "groups_straddle", "depthwise")
    problems = [
        (name, Problem(BY_NAME[name], make_inputs(BY_NAME[name], DTYPES[dtype], torch.float32)))
        for name in names
    ]
    assert wrong(run_in_worker(libraries, problems, tmp_path)) == {}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_input_and_output_may_have_their_channels_last(
    libraries: Libraries, dtype: str, tmp_path: Path
) -> None:
    asymmetric = replace(BY_NAME["asymmetric"], in_channels=48)
    cases = [
        asymmetric,
        replace(asymmetric, group=1),
        replace(asymmetric, group=1, offset_group=1, out_channels=16, bias=False, mask=False),
        replace(asymmetric, group=12, out_channels=24),  # four channels each: the plain kernels
    ]
    problems = [
        (f"{i}", Problem(case, make_inputs(case, DTYPES[dtype]), channels_last=True))
        for i, case in enumerate(cases)
    ]
    assert wrong(run_in_worker(libraries, problems, tmp_path)) == {}


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(cases=st.lists(valid_cases(), min_size=25, max_size=25))
def test_random_problems(
    libraries: Libraries, tmp_path_factory: pytest.TempPathFactory, cases: list[Case]
) -> None:
    problems = []
    for i, case in enumerate(cases):
        dtype = DTYPES[PLUGIN_DTYPES[i % len(PLUGIN_DTYPES)]]
        coordinates = torch.float32 if i % 2 else dtype
        problems.append((f"{i}", Problem(case, make_inputs(case, dtype, coordinates, seed=i))))
    results = run_in_worker(libraries, problems, tmp_path_factory.mktemp("random"))
    assert wrong(results, OF_RANDOM_PROBLEMS) == {}


def test_the_case_that_other_plugins_get_wrong(libraries: Libraries, tmp_path: Path) -> None:
    case = Case("stride 2x1, four pads, dilation 1x2, kernel 3x2", group=1, offset_group=1)
    assert (case.stride, case.pads, case.dilation) == ((2, 1), (1, 0, 2, 1), (1, 2))
    assert (case.kernel, case.output_size) == ((3, 2), (5, 10))
    problem = Problem(case, make_inputs(case, torch.float32))
    [(_, _, output)] = run_in_worker(libraries, [("asymmetric", problem)], tmp_path)
    assert relative_error(output, expected(case, problem.inputs)) <= TOLERANCE["float32"]
    # With the axes swapped it would be something else entirely.
    swapped = replace(case, stride=(1, 2), dilation=(2, 1), pads=(0, 1, 1, 2))
    assert (
        relative_error(output[:, :, :5, :4], expected(swapped, problem.inputs)[:, :, :5, :4]) > 0.5
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
def test_an_offset_that_is_no_position_samples_nothing(
    libraries: Libraries, value: float, tmp_path: Path
) -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    inputs.offset.view(-1)[::7] = value
    inputs.input[0, 0, 0, 0] = float("inf")  # must not reach samples that do not touch it
    inputs.input[1, 5, 4, 4] = float("nan")
    [(_, _, output)] = run_in_worker(libraries, [("wild", Problem(case, inputs))], tmp_path)
    wanted = expected(case, inputs)
    assert torch.equal(output.isnan(), wanted.isnan())
    assert torch.equal(output.isinf(), wanted.isinf())
    finite = wanted.isfinite()
    assert finite.float().mean() > 0.5
    assert relative_error(output[finite], wanted[finite]) <= TOLERANCE["float32"]


def test_a_mask_of_nan_is_seen(libraries: Libraries, tmp_path: Path) -> None:
    case = BY_NAME["asymmetric"]
    inputs = make_inputs(case, torch.float32)
    assert inputs.mask is not None
    inputs.mask[0, 0, 2, 3] = float("nan")
    [(_, _, output)] = run_in_worker(libraries, [("mask", Problem(case, inputs))], tmp_path)
    assert torch.equal(output.isnan(), expected(case, inputs).isnan())
    assert output.isnan().any()


def test_the_gpu_check_says_that_there_is_no_gpu() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "gpu_check.py")],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == "There is no GPU here that torch can use: nothing was checked.\n"
