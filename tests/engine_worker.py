"""Builds TensorRT engines in a process of its own, which TensorRT may end.

A job is a dict: "onnx" and "engine" (paths), "options" for ``build_engine``, and "raw" to hand the
file to TensorRT's parser as it is, unchecked, as a program without dcn_deploy's Python would. A
result is what was built, or the error, or nothing where the process ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import onnx
import onnx_models
from cases import BY_NAME
from node_problems import arrays_of

from dcn_deploy.contract import contract

Job = Mapping[str, Any]


def write_model(path: Path, form: str, dtype: str = "float32", **options: Any) -> Path:
    """The asymmetric case as a parser finds it, with the attributes that our exporter writes."""
    case = options.pop("case", BY_NAME["asymmetric"])
    opset = 22 if dtype == "bfloat16" else onnx_models.OPSET
    model = onnx_models.model(
        arrays_of(case, dtype), case.attributes(), form=form, opset=opset, **options
    )
    if form != "standard":
        for name, value in (("plugin_namespace", contract().domain), ("plugin_version", "1")):
            model.graph.node[0].attribute.append(onnx.helper.make_attribute(name, value))
    onnx.save(model, path)
    return path


def build_all(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The result of each job, in order, from one subprocess."""
    with tempfile.TemporaryDirectory() as folder:
        todo, done = Path(folder) / "jobs.json", Path(folder) / "results.jsonl"
        todo.write_text(json.dumps(list(jobs)))
        process = subprocess.run(
            [sys.executable, __file__, todo, done],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        results = [json.loads(line) for line in done.read_text().splitlines()]
    assert len(results) == len(jobs), (
        f"TensorRT ended the process (code {process.returncode}) at {jobs[len(results)]}: "
        f"{process.stderr[-2000:]}"
    )
    return results


def _work(todo: Path, done: Path) -> None:
    with done.open("w") as results:
        for job in json.loads(todo.read_text()):
            results.write(json.dumps(_result(job)) + "\n")
            results.flush()


def _result(job: Job) -> dict[str, Any]:
    import dcn_deploy.runtimes.tensorrt.build as build
    from dcn_deploy.runtimes.tensorrt import build_engine

    def as_it_is(file: Any) -> tuple[bytes, list[str]]:
        return Path(file.path).read_bytes(), []

    patch = mock.patch.object(build, "_own_form", as_it_is) if job.get("raw") else mock.MagicMock()
    try:
        with patch:
            report = build_engine(job["onnx"], job["engine"], **job.get("options", {}))
    except Exception as error:
        return {"error": str(error), "kind": type(error).__name__}
    return report.to_dict()


if __name__ == "__main__":
    _work(Path(sys.argv[1]), Path(sys.argv[2]))
