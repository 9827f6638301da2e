"""Does the library work in every onnxruntime that it promises to? Installs each privately and asks.

usage: python tests/versions/onnxruntime_versions.py [--versions 1.20.1 newest] [--folder FOLDER]

The models and the float64 reference are made here, once; ``onnxruntime_worker.py`` runs them beside
each onnxruntime. Exit status 1 if anything fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from cases import BY_NAME
from node_problems import Arrays, arrays_of, float64_output
from onnx_models import CONSTANTS, DYNAMIC_SHAPES, UNKNOWN_RANKS, feeds, model

from dcn_deploy.runtimes.onnxruntime import onnxruntime_library
from dcn_deploy.tolerances import STOCK_TOLERANCE, TOLERANCE

# The oldest that the library promises, those with a defect that it works around (1.20 and 1.23: an
# absent middle input; 1.25: the first kernel of onnxruntime's own), and the newest.
VERSIONS = ("1.17.3", "1.20.1", "1.23.2", "1.25.1", "1.27.0", "newest")
FIRST_WITH_STANDARD_OP = (1, 25)
BASE = BY_NAME["asymmetric"]
WORKER = Path(__file__).with_name("onnxruntime_worker.py")


@dataclass
class Case:
    """One model, what it is run on, and what must come of it."""

    model: onnx.ModelProto
    runs: Sequence[Arrays] = ()
    """Values of the node's inputs, for each run."""
    constants: Sequence[str] = CONSTANTS
    dtype: str = "float32"
    library: bool = True
    override: bool = False
    op: str = "DeformConv2d"
    """The kernel that must have run."""
    error: str = ""
    """What the error must say, where there must be one."""


def with_float_boundary(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Casts around a model of bfloat16, which no numpy array can feed."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    for value in graph.input:
        if value.type.tensor_type.elem_type != TensorProto.BFLOAT16:
            continue
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        inner = f"{value.name}_bfloat16"
        for node in graph.node:
            node.input[:] = [inner if name == value.name else name for name in node.input]
        graph.node.insert(
            0, helper.make_node("Cast", [value.name], [inner], to=TensorProto.BFLOAT16)
        )
    graph.node.append(helper.make_node("Cast", ["output"], ["output_float"], to=TensorProto.FLOAT))
    graph.output[0].name = "output_float"
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return result


def cases() -> dict[str, Case]:
    """Every promise of the library to an onnxruntime."""
    attributes = BASE.attributes()
    plain = arrays_of(BASE)
    result = {
        dtype: Case(model(arrays, attributes), [arrays], dtype=dtype)
        for dtype in ("float32", "float16", "float64")
        if (arrays := arrays_of(BASE, dtype))
    }
    bfloat16 = arrays_of(BASE, "bfloat16")
    result["bfloat16"] = Case(
        with_float_boundary(model(bfloat16, attributes)), [bfloat16], dtype="bfloat16"
    )
    mixed = arrays_of(BASE, "float16", "float32")
    result["float16 with float32 offset"] = Case(model(mixed, attributes), [mixed], dtype="float16")
    for name in ("no_bias", "no_mask", "no_bias_no_mask"):
        some = arrays_of(BY_NAME[name])
        result[name] = Case(model(some, attributes), [some])
        result[f"{name}, override"] = Case(
            model(some, attributes, form="standard"), [some], override=True, op="DeformConv"
        )
    # onnxruntime has no kernel of its own for this dtype: what runs is ours.
    result["bfloat16, override"] = Case(
        with_float_boundary(model(bfloat16, attributes, form="standard")),
        [bfloat16],
        dtype="bfloat16",
        override=True,
        op="DeformConv",
    )
    result["computed weight"] = Case(
        model(plain, attributes, constants=()),
        [plain, {**plain, "weight": -plain["weight"]}],
        constants=(),
    )
    constants = {name: plain[name] for name in CONSTANTS}
    sizes = [
        arrays_of(replace(BASE, batch=batch, size=size)) | constants
        for batch, size in ((2, (9, 11)), (1, (12, 10)), (0, (9, 11)))
    ]
    for name, shapes in (("dynamic shapes", DYNAMIC_SHAPES), ("unknown ranks", UNKNOWN_RANKS)):
        result[name] = Case(model(plain, attributes, shapes=shapes), sizes)
    wild = arrays_of(BASE)
    for i, value in enumerate((np.nan, np.inf, -np.inf, 1e30, -1e30)):
        wild["offset"].reshape(-1)[i::11] = value
    result["offsets that are no positions"] = Case(model(plain, attributes), [wild])
    result["portable form"] = Case(model(plain, attributes, form="portable"), [plain])
    result["portable form without the library"] = Case(
        model(plain, attributes, form="portable"), [plain], library=False, op="DeformConv"
    )
    result["error when the session is made"] = Case(
        model({**plain, "offset": plain["offset"][:, :-2]}, attributes),
        error="'deform': offset has 34 channels, expected 2 * offset_group * kH * kW = 36",
    )
    result["error in an attribute"] = Case(
        model(plain, {**attributes, "group": 2.0}),
        error="'deform': attribute group is a float, expected an integer",
    )
    result["error when the session runs"] = Case(
        model(plain, attributes, shapes=DYNAMIC_SHAPES),
        [{**plain, "mask": plain["mask"][:, :, :-1]}],
        error="mask has height 4, expected 5 like offset",
    )
    return result


def write(case: Case, folder: Path, has_standard_op: bool) -> None:
    """The case as the worker reads it."""
    folder.mkdir(parents=True)
    onnx.save(case.model, folder / "model.onnx")
    fails = not case.library and not has_standard_op
    settings = {
        "library": case.library,
        "override": case.override,
        "op": case.op,
        "error": "DeformConv" if fails else case.error,
        "tolerance": (TOLERANCE if case.library else STOCK_TOLERANCE)[case.dtype],
    }
    (folder / "case.json").write_text(json.dumps(settings))
    for i, arrays in enumerate(case.runs):
        fed = feeds(arrays, case.constants)
        fed = {
            name: array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array
            for name, array in fed.items()
        }
        np.savez(folder / f"inputs_{i}.npz", **fed)
        expected = 0.0 if case.error else float64_output(arrays, BASE.attributes())
        np.savez(folder / f"expected_{i}.npz", output=expected)


def install(version: str, folder: Path) -> None:
    """Put one onnxruntime, and the numpy that it was built for, into a folder of its own."""
    if version != "newest" and (folder / "onnxruntime").is_dir():
        return
    newest = version == "newest"
    old_numpy = not newest and as_tuple(version) < (1, 19)
    packages = [
        "onnxruntime" if newest else f"onnxruntime=={version}",
        "numpy<2" if old_numpy else "numpy",
    ]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), *packages], check=True)


def as_tuple(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def run_worker(folder: Path, case_folders: Sequence[Path]) -> tuple[str, dict[str, str]]:
    """The version that ran, and what came of each case."""
    done = subprocess.run(
        # -S: nothing of the environment of this process.
        [sys.executable, "-S", str(WORKER), str(onnxruntime_library()), *map(str, case_folders)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    sys.stderr.write(done.stderr)
    version, *lines = done.stdout.splitlines() or ["?"]
    results = {name: json.loads(line) for name, line in zip(lines[::2], lines[1::2], strict=False)}
    if done.returncode:
        name = lines[-1] if len(lines) % 2 else "import onnxruntime"
        results[name] = f"the process ended with status {done.returncode}"
    if "API version" in done.stderr:
        results = dict.fromkeys(results, "it complains of an API that was asked for")
    return version, results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="VERSION")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build/onnxruntime-versions"),
        help="where they are installed, and kept",
    )
    arguments = parser.parse_args()
    console = Console()
    failures = 0
    for wanted in arguments.versions:
        folder = (arguments.folder / wanted).resolve()
        install(wanted, folder)
        has_standard_op = wanted == "newest" or as_tuple(wanted) >= FIRST_WITH_STANDARD_OP
        with tempfile.TemporaryDirectory() as scratch:
            case_folders = []
            for name, case in cases().items():
                case_folders.append(Path(scratch) / name)
                write(case, case_folders[-1], has_standard_op)
            version, results = run_worker(folder, case_folders)
        wrong = {name: result for name, result in results.items() if result != "ok"}
        missing = len(case_folders) - len(results)
        console.print(
            f"onnxruntime {version}: {len(results) - len(wrong)} of {len(case_folders)} cases ok",
            style="red" if wrong or missing else "green",
        )
        for name, result in wrong.items():
            console.print(f"  {name}: {result}", markup=False)
        failures += len(wrong) + missing
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
