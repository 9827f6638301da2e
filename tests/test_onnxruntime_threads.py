"""Many threads, many sessions: each gets its own answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import BY_NAME
from node_problems import arrays_of, eager_output
from onnx_models import CONSTANTS, UNKNOWN_RANKS, feeds, model

from dcn_deploy.runtimes.onnxruntime import ort_session, run

BASE = BY_NAME["asymmetric"]
ATTRIBUTES = BASE.attributes()
# Sizes that do not fit each other's scratch memory.
SIZES = [(9, 11), (41, 37), (5, 23), (20, 8)]
THREADS = 8
ROUNDS = 25


def problems(constants: tuple[str, ...]) -> list[tuple[Any, Any]]:
    """(arrays, expected output) of different sizes; the constants are the first one's."""
    shared = {name: array for name, array in arrays_of(BASE).items() if name in constants}
    result = []
    for seed, size in enumerate(SIZES):
        arrays = arrays_of(replace(BASE, size=size), seed=seed) | shared
        result.append((arrays, eager_output(arrays, ATTRIBUTES)))
    return result


@pytest.mark.parametrize("constants", [CONSTANTS, ()], ids=["constant", "computed_weight"])
def test_concurrent_runs_of_one_session(constants: tuple[str, ...]) -> None:
    tasks = problems(constants)
    shapes = {**UNKNOWN_RANKS, "weight": None, "bias": None}
    proto = model(tasks[0][0], ATTRIBUTES, constants=constants, shapes=shapes)
    session = ort_session(proto.SerializeToString(), intra_op_num_threads=2)

    def work(i: int) -> None:
        arrays, expected = tasks[i % len(tasks)]
        np.testing.assert_array_equal(run(session, feeds(arrays, constants))["output"], expected)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS * ROUNDS)))


def test_concurrent_sessions_of_both_faces() -> None:
    """Sessions are made, run and dropped at the same time; the override stays each one's own."""
    tasks = problems(constants=())

    def work(i: int) -> None:
        arrays, expected = tasks[i % len(tasks)]
        form = ("custom", "standard", "portable")[i % 3]
        proto = model(arrays, ATTRIBUTES, form=form)
        session = ort_session(
            proto.SerializeToString(), override=form == "standard", intra_op_num_threads=1 + i % 2
        )
        for _ in range(2):
            np.testing.assert_array_equal(run(session, feeds(arrays))["output"], expected)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS * ROUNDS // 2)))


def test_failing_and_passing_runs_side_by_side() -> None:
    arrays, expected = problems(CONSTANTS)[0]
    wrong = {**arrays, "mask": arrays["mask"][..., 1:]}
    proto = model(arrays, ATTRIBUTES, shapes=UNKNOWN_RANKS)
    session = ort_session(proto.SerializeToString(), log_severity_level=4)

    def work(i: int) -> None:
        if i % 2:
            with pytest.raises(Exception, match="mask has width 9, expected 10"):
                run(session, feeds(wrong))
        else:
            np.testing.assert_array_equal(run(session, feeds(arrays))["output"], expected)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS * ROUNDS)))
