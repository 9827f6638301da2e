"""The CUDA half of the onnxruntime library with the CPU provider for CUDA's and its kernels on the
emulator.

``tests/test_cuda_onnxruntime.py`` runs this in a process of its own, where that library is the one.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from cases import BY_NAME
from node_problems import arrays_of, float64_output
from onnx_models import CONSTANTS, feeds, model

from dcn_deploy.contract import contract
from dcn_deploy.runtimes.onnxruntime import onnxruntime_library, ort_session

NATIVE = ctypes.CDLL(str(onnxruntime_library()))
for _name in ("emulator_launches", "emulator_stalls"):
    getattr(NATIVE, _name).restype = ctypes.c_int64
# On tensor cores, whose weights are packed.
CASE = replace(BY_NAME["asymmetric"], group=1)


def session_of(constants: tuple[str, ...] = CONSTANTS, dtype: str = "float32", **options: bool):  # type: ignore[no-untyped-def]
    arrays = arrays_of(CASE, dtype)
    form = "standard" if options.get("override") else "custom"
    proto = model(arrays, CASE.attributes(), form=form, constants=constants)
    session = ort_session(proto.SerializeToString(), **options)
    return session, feeds(arrays, constants), float64_output(arrays, CASE.attributes())


def launches_of(session, inputs) -> tuple[int, np.ndarray]:  # type: ignore[no-untyped-def]
    before = NATIVE.emulator_launches()
    (output,) = session.run(None, inputs)
    return NATIVE.emulator_launches() - before, output


def error_of(output: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(output - wanted) / np.linalg.norm(wanted))


def test_this_is_the_cuda_half() -> None:
    assert contract().cuda_architectures == "the emulator"
    session, inputs, _ = session_of()
    assert launches_of(session, inputs)[0] > 0


@pytest.mark.parametrize("override", [False, True])
def test_a_constant_weight_is_packed_when_the_session_is_made(override: bool) -> None:
    before = NATIVE.emulator_launches()
    session, inputs, wanted = session_of(override=override)
    packing = NATIVE.emulator_launches() - before
    assert packing >= 1
    stalls = NATIVE.emulator_stalls()
    runs = [launches_of(session, inputs) for _ in range(2)]

    given, all_inputs, _ = session_of(constants=(), override=override)
    each, output = launches_of(given, all_inputs)
    assert [count for count, _ in runs] == [each - packing] * 2
    for result in (*(output for _, output in runs), output):
        assert error_of(result, wanted) <= 2e-6
    # A run neither waits nor asks CUDA for memory.
    assert NATIVE.emulator_stalls() == stalls


def test_a_weight_that_is_given_may_change() -> None:
    session, inputs, wanted = session_of(constants=())
    _, first = launches_of(session, inputs)
    weight = inputs["weight"]
    _, doubled = launches_of(session, inputs | {"weight": 2 * weight, "bias": 2 * inputs["bias"]})
    np.testing.assert_array_equal(doubled, 2 * first)
    assert error_of(first, wanted) <= 2e-6


def test_what_fails_is_named() -> None:
    session, inputs, _ = session_of(constants=())
    NATIVE.emulator_fail(209)
    try:
        with pytest.raises(Exception, match="this build has kernels for the emulator"):
            session.run(None, inputs)
        with pytest.raises(Exception, match=r"deformable convolution 'deform': CUDA could not run"):
            session_of()
    finally:
        NATIVE.emulator_fail(0)
