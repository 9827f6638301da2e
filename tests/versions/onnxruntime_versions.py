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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from node_problems import ASYMMETRIC, float64_output, random_arrays
from onnx_models import feeds, model

from dcn_deploy.runtimes.onnxruntime import onnxruntime_library
from dcn_deploy.tolerances import TOLERANCE

# The oldest that the library promises, those with a defect that it works around (1.20 and 1.23: an
# absent middle input; 1.25: the first kernel of onnxruntime's own), and the newest.
VERSIONS = ("1.17.3", "1.20.1", "1.23.2", "1.25.1", "1.27.0", "newest")
FIRST_WITH_STANDARD_OP = (1, 25)
WORKER = Path(__file__).with_name("onnxruntime_worker.py")

CONSTANTS = ("weight", "bias")


@dataclass
class Case:
    """One model, what it is run on, and what must come of it."""

    model: onnx.ModelProto
    runs: Sequence[Mapping[str, np.ndarray | None]] = ()
    """Values of the node's inputs, for each run."""
    constants: Sequence[str] = CONSTANTS
    dtype: str = "float32"
    library: bool = True
    override: bool = False
    op: str = "DeformConv2d"
    """The kernel that must have run."""
    error: str = ""
    """What the error must say, where there must be one."""
    fallback: bool = False
    """Runs without the library: only where onnxruntime has a kernel of its own."""


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


def dynamic_shapes() -> dict[str, Sequence[str | int]]:
    """Declared shapes with batch, height and width unknown until a run."""
    return {
        "input": ("N", 12, "H", "W"),
        "offset": ("N", 36, "oH", "oW"),
        "mask": ("N", 18, "oH", "oW"),
    }


def cases() -> dict[str, Case]:
    """Every promise of the library to an onnxruntime."""
    plain = random_arrays()
    result = {
        name: Case(model(random_arrays(dtype), ASYMMETRIC), [random_arrays(dtype)], dtype=name)
        for name, dtype in (
            ("float32", np.float32),
            ("float16", np.float16),
            ("float64", np.float64),
        )
    }
    bfloat16 = random_arrays(ml_dtypes.bfloat16)
    result["bfloat16"] = Case(
        with_float_boundary(model(bfloat16, ASYMMETRIC)), [bfloat16], dtype="bfloat16"
    )
    mixed = random_arrays(np.float16, np.float32)
    result["float16 with float32 offset"] = Case(model(mixed, ASYMMETRIC), [mixed], dtype="float16")
    for name, present in {
        "mask without bias": {"bias": False},
        "bias without mask": {"mask": False},
        "neither bias nor mask": {"bias": False, "mask": False},
    }.items():
        some = random_arrays(**present)
        result[name] = Case(model(some, ASYMMETRIC), [some])
        result[f"{name}, override"] = Case(
            model(some, ASYMMETRIC, form="standard"), [some], override=True, op="DeformConv"
        )
    # onnxruntime has no kernel of its own for these dtypes: what runs is ours.
    result["bfloat16, override"] = Case(
        with_float_boundary(model(bfloat16, ASYMMETRIC, form="standard")),
        [bfloat16],
        dtype="bfloat16",
        override=True,
        op="DeformConv",
    )
    result["computed weight"] = Case(
        model(plain, ASYMMETRIC, constants=()),
        [plain, {**plain, "weight": -plain["weight"]}],
        constants=(),
    )
    sizes = [random_arrays(), random_arrays(batch=1, height=12, width=10), random_arrays(batch=0)]
    result["dynamic shapes"] = Case(model(plain, ASYMMETRIC, shapes=dynamic_shapes()), sizes)
    result["unknown ranks"] = Case(
        model(plain, ASYMMETRIC, shapes=dict.fromkeys(("input", "offset", "mask"))), sizes
    )
    wild = random_arrays()
    for i, value in enumerate((np.nan, np.inf, -np.inf, 1e30, -1e30)):
        wild["offset"].reshape(-1)[i::11] = value
    result["offsets that are no numbers"] = Case(model(plain, ASYMMETRIC), [wild])
    result["portable form"] = Case(model(plain, ASYMMETRIC, form="portable"), [plain])
    result["portable form without the library"] = Case(
        model(plain, ASYMMETRIC, form="portable"),
        [plain],
        library=False,
        op="DeformConv",
        fallback=True,
    )
    result["error when the session is made"] = Case(
        model({**plain, "offset": plain["offset"][:, :-2]}, ASYMMETRIC),
        error="'deform': offset has 34 channels, expected 2 * offset_group * kH * kW = 36",
    )
    result["error in an attribute"] = Case(
        model(plain, {**ASYMMETRIC, "group": 2.0}),
        error="'deform': attribute group is a float, expected an integer",
    )
    result["error when the session runs"] = Case(
        model(plain, ASYMMETRIC, shapes=dynamic_shapes()),
        [{**plain, "mask": plain["mask"][:, :, :-1]}],
        error="mask has height 3, expected 4 like offset",
    )
    return result


def write(case: Case, folder: Path, has_standard_op: bool) -> None:
    """The case as the worker reads it."""
    folder.mkdir(parents=True)
    onnx.save(case.model, folder / "model.onnx")
    fails = case.fallback and not has_standard_op
    settings = {
        "library": case.library,
        "override": case.override,
        "op": case.op,
        "error": "DeformConv" if fails else case.error,
        "tolerance": TOLERANCE[case.dtype],
    }
    (folder / "case.json").write_text(json.dumps(settings))
    for i, arrays in enumerate(case.runs):
        fed = feeds(arrays, case.constants)
        fed = {
            name: array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array
            for name, array in fed.items()
        }
        np.savez(folder / f"inputs_{i}.npz", **fed)
        np.savez(
            folder / f"expected_{i}.npz",
            output=0.0 if case.error else float64_output(arrays, ASYMMETRIC),
        )


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
        stdout=subprocess.PIPE,
        text=True,
    )
    version, *lines = done.stdout.splitlines() or ["?"]
    results = {name: json.loads(line) for name, line in zip(lines[::2], lines[1::2], strict=False)}
    if done.returncode:
        name = lines[-1] if len(lines) % 2 else "import onnxruntime"
        results[name] = f"the process ended with status {done.returncode}"
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
