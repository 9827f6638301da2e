"""TensorRT-RTX builds engines from every problem of the suite, on a machine without a GPU.

What a build shows: the node is parsed to our plugin, TensorRT asks the plugin what it should, the
shapes and the memory that it is told. What an engine computes needs a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnx_models
import pytest
import torch
from cases import CASES, Case
from engine_worker import build_all, write_model
from exported import FORMS
from networks import NETWORKS, Network
from node_problems import arrays_of
from resnet import DeformableResNet

import dcn_deploy
from dcn_deploy.contract import contract

DTYPES = ("float32", "float16", "bfloat16")
# TensorRT calls them in this order, some more than once.
CALLS = (
    "DeformConv2d created to build",
    "getOutputDataTypes",
    "getOutputShapes",
    "configurePlugin",
    "getWorkspaceSize",
    "getFieldsToSerialize",
)
INPUTS = ("input", "offset", "mask")


@dataclass(frozen=True)
class Problem:
    """A case in the dtypes of a test, fixed or for all sizes up to four times its image."""

    case: Case
    dtype: str
    coordinates: str
    dynamic: bool

    @property
    def largest(self) -> Case:
        """The case at the largest sizes of its profile."""
        if not self.dynamic:
            return self.case
        height, width = self.case.size
        return replace(self.case, batch=self.case.batch + 2, size=(2 * height, 2 * width + 1))

    def write(self, path: Path, case: Case, dynamic: bool) -> Path:
        arrays = arrays_of(case, self.dtype, self.coordinates)
        shapes = {
            "input": ("N", case.in_channels, "H", "W"),
            "offset": ("N", 2 * case.offset_group * case.taps, "oH", "oW"),
            "mask": ("N", case.offset_group * case.taps, "oH", "oW"),
        }
        model = onnx_models.model(
            arrays,
            case.attributes(),
            shapes=shapes if dynamic else None,
            opset=22 if self.dtype == "bfloat16" else onnx_models.OPSET,
        )
        onnx.save(model, path)
        return path

    def profile(self) -> dict[str, list[tuple[int, ...]]]:
        small, large = (arrays_of(case, self.dtype) for case in (self.case, self.largest))
        return {
            name: [small[name].shape, small[name].shape, large[name].shape]
            for name in INPUTS
            if small[name] is not None
        }

    def job(self, folder: Path) -> dict[str, Any]:
        path = self.write(folder / f"{self.case.name}.onnx", self.case, self.dynamic)
        options: dict[str, Any] = {"plugin_in_engine": False}
        if self.dynamic:
            options["profiles"] = self.profile()
        return {"onnx": str(path), "engine": str(path.with_suffix(".engine")), "options": options}

    def largest_job(self, folder: Path) -> dict[str, Any]:
        """The same for the largest sizes alone."""
        path = self.write(folder / f"{self.case.name}.largest.onnx", self.largest, False)
        return {
            "onnx": str(path),
            "engine": str(path.with_suffix(".engine")),
            "options": {"plugin_in_engine": False},
        }


def calls_of(result: dict[str, Any], name: str) -> list[str]:
    """What the plugin was asked by that name, without the node."""
    calls = [call.partition("': ")[2] for call in result["plugin_calls"]]
    return [call for call in calls if call.startswith(name)]


def workspace_of(result: dict[str, Any]) -> int:
    sizes = {int(call.rpartition(" = ")[2]) for call in calls_of(result, "getWorkspaceSize")}
    assert len(sizes) == 1
    return sizes.pop()


def shape_text(size: Sequence[object]) -> str:
    return "[" + ", ".join(map(str, size)) + "]"


def check(problem: Problem, result: dict[str, Any]) -> None:
    """Whether TensorRT built what the problem is."""
    assert "error" not in result, result
    assert result["nodes"] == ["deform"]
    first_calls = [
        next(i for i, call in enumerate(result["plugin_calls"]) if name in call) for name in CALLS
    ]
    assert first_calls == sorted(first_calls)

    case, largest = problem.case, problem.largest
    out_h, out_w = case.output_size
    known = (case.batch, case.out_channels, out_h, out_w)
    expected = (None, case.out_channels, None, None) if problem.dynamic else known
    shape = [dim if isinstance(dim, int) else None for dim in result["outputs"][0]["shape"]]
    assert shape == list(expected)
    assert result["outputs"][0]["dtype"] == problem.dtype

    # Our form has a bias wherever there is none.
    present = [name for name in contract().inputs if name != "mask" or case.mask]
    coordinates = {"offset": problem.coordinates, "mask": problem.coordinates}
    dtypes = [coordinates.get(name, problem.dtype) for name in present]
    assert set(calls_of(result, "getOutputDataTypes")) == {
        f"getOutputDataTypes({', '.join(dtypes)})"
    }
    small, large = (arrays_of(c, problem.dtype) for c in (case, largest))
    sizes = []
    for name in present:
        if name == "bias":
            sizes.append(shape_text([case.out_channels]))
            continue
        low, high = (shape_text(arrays[name].shape) for arrays in (small, large))
        sizes.append(low if low == high or name == "weight" else f"{low} .. {high}")
    assert set(calls_of(result, "configurePlugin")) == {f"configurePlugin({', '.join(sizes)})"}
    asked = {call.rpartition(" = ")[0] for call in calls_of(result, "getWorkspaceSize")}
    assert asked == {f"getWorkspaceSize({', '.join(sizes)})"}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_case(tmp_path: Path, dtype: str, dynamic: bool) -> None:
    # Half data with coordinates of its own dtype where sizes are fixed, of float32 where not.
    coordinates = "float32" if dynamic else dtype
    problems = [Problem(case, dtype, coordinates, dynamic) for case in CASES]
    jobs = [problem.job(tmp_path) for problem in problems]
    sampled = problems[::9] if dynamic else []
    results = build_all([*jobs, *(problem.largest_job(tmp_path) for problem in sampled)])
    for problem, result in zip(problems, results[: len(jobs)], strict=True):
        check(problem, result)
    for problem, at_largest in zip(sampled, results[len(jobs) :], strict=True):
        result = results[problems.index(problem)]
        assert workspace_of(result) == workspace_of(at_largest) > 0


def test_each_form_is_parsed_to_our_plugin_as_it_is(tmp_path: Path) -> None:
    """As by trtexec or a program of the user's: nothing of the file is rewritten."""
    combinations = [(form, dtype) for form in FORMS for dtype in DTYPES]
    jobs = []
    for form, dtype in combinations:
        path = write_model(tmp_path / f"{form}.{dtype}.onnx", form, dtype)
        jobs.append({"onnx": str(path), "engine": str(tmp_path / "out.engine"), "raw": True})
    for (form, dtype), result in zip(combinations, build_all(jobs), strict=True):
        assert "error" not in result, result
        creator = "DeformConv" if form == "standard" else "DeformConv2d"
        assert calls_of(result, creator) == [f"{creator} created to build"], (form, dtype)
        assert result["outputs"][0]["shape"] == [2, 8, 5, 10]
        assert result["outputs"][0]["dtype"] == dtype


def test_the_plugin_is_told_whether_the_weight_is_constant(tmp_path: Path) -> None:
    jobs = []
    for constants in (("weight", "bias"), ("bias",)):
        path = write_model(tmp_path / f"{len(constants)}.onnx", "portable", constants=constants)
        jobs.append({"onnx": str(path), "engine": str(tmp_path / "out.engine")})
    constant, given = (calls_of(result, "DeformConv2d created") for result in build_all(jobs))
    assert constant == ["DeformConv2d created to build, its weight constant"]
    assert given == ["DeformConv2d created to build"]


def test_engine_carries_the_library_only_if_asked_to(tmp_path: Path) -> None:
    library = dcn_deploy.tensorrt_plugin_library().read_bytes()
    path = str(write_model(tmp_path / "model.onnx", "portable"))
    jobs = [
        {"onnx": path, "engine": str(tmp_path / f"{carried}.engine"), "options": {
            "plugin_in_engine": carried, "tf32": carried, "workspace": 1 << 20}}
        for carried in (True, False)
    ]  # fmt: skip
    carrying, bare = build_all(jobs)
    assert library in (tmp_path / "True.engine").read_bytes()
    assert library[:4096] not in (tmp_path / "False.engine").read_bytes()
    assert carrying["bytes"] > len(library) > bare["bytes"] > 0
    assert (carrying["plugin_in_engine"], bare["plugin_in_engine"]) == (True, False)
    assert (carrying["tf32"], bare["tf32"]) == (True, False)
    leftovers = {path.name for path in tmp_path.iterdir()}
    assert leftovers == {"model.onnx", "True.engine", "False.engine"}


def test_float64_is_built_in_float32_with_a_warning(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", "custom", "float64")
    (result,) = build_all([{"onnx": str(path), "engine": str(tmp_path / "model.engine")}])
    assert {tensor["dtype"] for tensor in result["inputs"] + result["outputs"]} == {"float32"}
    assert "no float64" in result["warnings"][0]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet with deformable stages, of dynamic sizes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("resnet") / "resnet.onnx"
    dcn_deploy.export(
        DeformableResNet().eval(),
        torch.randn(2, 3, 64, 96),
        path,
        dynamic_shapes={"image": {0: "batch", 2: "height", 3: "width"}},
        verify=False,
    )
    return path


def test_resnet_with_deformable_stages(resnet: Path, tmp_path: Path) -> None:
    profiles = {"image": [(1, 3, 64, 64), (2, 3, 64, 96), (4, 3, 128, 160)]}
    jobs = []
    for dtype in DTYPES:
        path = resnet if dtype == "float32" else tmp_path / f"{dtype}.onnx"
        if dtype != "float32":
            onnx.save(dcn_deploy.to_precision(onnx.load(resnet), dtype), path)
        jobs.append({
            "onnx": str(path), "engine": str(tmp_path / f"{dtype}.engine"),
            "options": {"profiles": profiles},
        })  # fmt: skip
    for dtype, result in zip(DTYPES, build_all(jobs), strict=True):
        assert "error" not in result, result
        assert len(result["nodes"]) == 4
        scores, merged = result["outputs"]
        assert (scores["shape"], scores["dtype"]) == (["batch", 5], "float32")
        assert merged["shape"][1] == 96
        asked = set(calls_of(result, "getOutputDataTypes"))
        assert asked == {f"getOutputDataTypes({dtype}, {dtype}, float32, {dtype}, float32)"}
        largest = [call for call in calls_of(result, "getWorkspaceSize") if "16, 20" in call]
        assert largest, "the first deformable layer sees the largest image at an eighth"


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_networks_of_other_libraries_layers(network: Network, tmp_path: Path) -> None:
    """Exported with dynamic sizes, and built for a range of them."""
    path = tmp_path / "network.onnx"
    report = dcn_deploy.export(
        network.seeded(),
        network.inputs(),
        path,
        exporter="torchscript",
        input_names=["x"],
        dynamic_shapes={"x": network.dynamic},
        verify=False,
    )
    larger = tuple(
        2 * size if dim in network.dynamic else size for dim, size in enumerate(network.size)
    )
    profiles = {"x": [network.size, network.size, larger]}
    (result,) = build_all([{
        "onnx": str(path), "engine": str(tmp_path / "network.engine"),
        "options": {"profiles": profiles},
    }])  # fmt: skip
    assert "error" not in result, result
    assert len(result["nodes"]) == len(report.nodes) == network.nodes
