"""Runs prepared cases in one onnxruntime: the private half of ``onnxruntime_versions.py``.

usage: onnxruntime_worker.py LIBRARY CASE_FOLDER...

It needs numpy and onnxruntime only, so that any release of onnxruntime can be tested beside the
numpy that it wants. A case folder holds ``case.json``, ``model.onnx`` and, for each run,
``inputs_<i>.npz`` and ``expected_<i>.npz``. Prints the version, then for each case its name before
and its result ("ok" or what is wrong) after: a crash shows where it was.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    scale = np.linalg.norm(expected.astype(np.float64)) or 1.0
    return float(np.linalg.norm(actual.astype(np.float64) - expected) / scale)


def session_of(case: dict, folder: Path, library: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(tempfile.gettempdir()) / "profile")
    if case["override"]:
        options.add_session_config_entry("dcn_deploy.override", "1")
    if case["library"]:
        options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


def executed_ops(session: onnxruntime.InferenceSession) -> set[str]:
    events = json.loads(Path(session.end_profiling()).read_text())
    return {event["args"]["op_name"] for event in events if event.get("cat") == "Node"}


def check(case: dict, folder: Path, library: str) -> str:
    try:
        session = session_of(case, folder, library)
        worst = 0.0
        for inputs in sorted(folder.glob("inputs_*.npz")):
            expected = np.load(folder / inputs.name.replace("inputs", "expected"))["output"]
            output = session.run(None, dict(np.load(inputs)))[0]
            worst = max(worst, relative_error(output, expected))
    except Exception as error:
        if case["error"] and case["error"] in str(error):
            return "ok"
        return f"{type(error).__name__}: {error}"
    if case["error"]:
        return f"no error, expected: {case['error']}"
    if not worst <= case["tolerance"]:
        return f"relative error {worst:.2e}, expected at most {case['tolerance']:.0e}"
    if case["op"] not in (ops := executed_ops(session)):
        return f"ran {sorted(ops)}, expected {case['op']}"
    return "ok"


def main(library: str, folders: list[str]) -> None:
    print(onnxruntime.__version__, flush=True)
    for folder in map(Path, folders):
        print(folder.name, flush=True)
        print(json.dumps(check(json.loads((folder / "case.json").read_text()), folder, library)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
