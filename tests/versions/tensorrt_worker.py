"""Checks the plugin library in one runtime: the private half of ``tensorrt_versions.py``.

usage: tensorrt_worker.py MODULE LIBRARY ATTRIBUTES

MODULE is the runtime's Python module, ATTRIBUTES the JSON list of the attributes' names. Needs that
and numpy only. Prints the runtime's version, then for each check its name before and its result
("ok" or what is wrong) after: a crash shows where it was.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

FACES = [("DeformConv2d", "1", "dcn_deploy"), ("DeformConv", "1", "")]
# Nothing the same in both directions.
VALUES = {
    "kernel_shape": [3, 2],
    "strides": [2, 1],
    "pads": [1, 0, 2, 1],
    "dilations": [1, 2],
    "group": [2],
    "offset_group": [3],
}
BAD = {
    "strides": ([0, 1], "attribute strides is [0, 1], expected every value in 1 .. 2147483647"),
    "pads": ([1, 1], "attribute pads has 2 values, expected 4: [1, 1]"),
    "group": ([0], "attribute group is 0, expected at least 1"),
}


@contextlib.contextmanager
def stderr_text() -> Iterator[list[str]]:
    """What anything in this process writes to stderr meanwhile, in lines, afterwards."""
    lines: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += file.read().splitlines()


def main(module: str, library: str, attributes: list[str]) -> None:
    trt = importlib.import_module(module)
    print(trt.__version__, flush=True)
    logged: list[tuple[str, str]] = []

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity != trt.ILogger.VERBOSE:
                logged.append((str(severity).rpartition(".")[2], message))

    logger = Logger()
    # Whatever is made with a logger gives it to the registry. Without a GPU a lean runtime makes
    # nothing, has no logger then, and errors go to stderr.
    builder = trt.Builder(logger) if hasattr(trt, "Builder") else None
    registry = trt.get_plugin_registry()

    def report(name: str, run: Callable[[], None]) -> None:
        print(name, flush=True)
        try:
            run()
        except Exception as error:
            print(json.dumps(f"{type(error).__name__}: {error}"), flush=True)
        else:
            print(json.dumps("ok"), flush=True)

    def load() -> None:
        assert registry.load_library(library) is not None, "load_library returned None"
        found = [(c.name, c.plugin_version, c.plugin_namespace) for c in registry.all_creators]
        assert [face for face in found if face in FACES] == FACES, found

    def plugin(face: tuple[str, str, str], values: dict[str, list[int]], phase: Any) -> Any:
        fields = trt.PluginFieldCollection(
            [
                trt.PluginField(name, np.array(value, np.int32), trt.PluginFieldType.INT32)
                for name, value in values.items()
            ]
        )
        return registry.get_creator(*face).create_plugin("node 7", fields, phase)

    def names(face: tuple[str, str, str]) -> None:
        found = [field.name for field in registry.get_creator(*face).field_names]
        assert attributes == list(VALUES), attributes
        # And what the builder of an engine says of the weight.
        assert found == [*attributes, "constant_weight"], found

    def create(face: tuple[str, str, str]) -> None:
        for phase in (trt.TensorRTPhase.BUILD, trt.TensorRTPhase.RUNTIME):
            for values in (VALUES, {}):
                assert plugin(face, values, phase) is not None, f"no plugin in {phase}"
        assert not logged, logged

    def refuse(face: tuple[str, str, str]) -> None:
        for name, (value, message) in BAD.items():
            logged.clear()
            with stderr_text() as text:
                created = plugin(face, {**VALUES, name: value}, trt.TensorRTPhase.BUILD)
            assert created is None, f"a plugin in spite of {name}={value}"
            expected = f"deformable convolution 'node 7': {message}"
            if builder is not None:
                assert (logged, text) == ([("ERROR", expected)], []), (logged, text)
            else:
                assert (logged, text) == ([], [f"[dcn_deploy] {expected}"]), (logged, text)
        logged.clear()

    report("the library loads and has its creators", load)
    for face in FACES:
        report(f"{face[0]} has the attributes of the contract", lambda face=face: names(face))
        report(f"{face[0]} is created", lambda face=face: create(face))
        report(f"{face[0]} is refused in words", lambda face=face: refuse(face))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
