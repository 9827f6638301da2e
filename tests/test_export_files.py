"""What stands at the path: a whole model, or what stood there before; and what the errors say."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from cases import relative_error
from exported import EXPORTERS, Network, run_ours
from torch import Tensor, nn

import dcn_deploy
from dcn_deploy.exporting import ExportError, export, files
from dcn_deploy.verification import VerificationError

# By its name in the package, dcn_deploy.exporting.export is the function.
EXPORT_MODULE = sys.modules[export.__module__]
IMAGE = torch.zeros(2, 6, 9, 8)


class Failing(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        raise RuntimeError("this model does not run")


class Wide(nn.Module):
    """A deformable layer beside weights that are worth a file of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = dcn_deploy.DeformConv2d(6, 40, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image)


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_weights_in_a_second_file(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "wide.onnx"
    model = Wide().eval()
    report = export(model, IMAGE, path, exporter=exporter, external_data=True)
    assert report.verification is not None
    assert listing(tmp_path) == ["wide.onnx", "wide.onnx.data"]
    stored = onnx.load(path, load_external_data=False).graph.initializer
    locations = {entry.value for tensor in stored for entry in tensor.external_data
                 if entry.key == "location"}  # fmt: skip
    assert locations == {"wide.onnx.data"}
    onnx.checker.check_model(path, full_check=True)
    image = torch.randn_like(IMAGE)
    assert relative_error(run_ours(path, image), model(image).detach()) <= 1e-6


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_weights_go_to_a_second_file_where_they_do_not_fit(
    exporter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_INLINE_LIMIT", 4096)
    path = tmp_path / "wide.onnx"
    export(Wide(), IMAGE, path, exporter=exporter, verify=False)
    assert listing(tmp_path) == ["wide.onnx", "wide.onnx.data"]
    with pytest.raises(ExportError, match="external_data=None or set it to True"):
        export(Wide(), IMAGE, path, exporter=exporter, external_data=False, verify=False)


def test_a_failure_leaves_no_new_folders(tmp_path: Path) -> None:
    with pytest.raises(ExportError):
        export(Failing(), IMAGE, tmp_path / "new" / "deeper" / "model.onnx")
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("before", "failing_at"), [(True, 1), (True, 2), (True, 3), (True, 4), (False, 1), (False, 2)]
)
def test_a_failure_between_two_files_leaves_both_as_they_were(
    before: bool, failing_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "wide.onnx", tmp_path / "wide.onnx.data"
    was = {path: b"older model", data: b"older weights"} if before else {}
    for file, content in was.items():
        file.write_bytes(content)
    staging = tmp_path / "staging"
    staging.mkdir()
    for file in (path, data):
        (staging / file.name).write_bytes(b"newer")
    moves: list[Path] = []
    replace = os.replace

    def stumble(source: Path, target: Path) -> None:
        moves.append(target)
        if len(moves) == failing_at:
            raise OSError("the disk is gone")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", stumble)
    with pytest.raises(OSError, match="the disk is gone"):
        files.publish(staging / path.name, path)
    assert {file: file.read_bytes() for file in (path, data) if file.exists()} == was


def test_weights_that_move_inside_leave_no_second_file(tmp_path: Path) -> None:
    path = tmp_path / "wide.onnx"
    export(Wide(), IMAGE, path, external_data=True, verify=False)
    export(Wide(), IMAGE, path, verify=False)
    assert listing(tmp_path) == ["wide.onnx"]


def test_weights_inside_by_default(tmp_path: Path) -> None:
    export(Wide(), IMAGE, tmp_path / "new" / "wide.onnx", verify=False)
    assert listing(tmp_path / "new") == ["wide.onnx"]


def _fail(*arguments: object, **named: object) -> None:
    raise OSError("no space left on device")


@pytest.mark.parametrize("before", [None, b"an older model"], ids=["nothing", "a file"])
@pytest.mark.parametrize("step", ["capture", "write", "check", "verify"])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_failure_leaves_the_path_as_it_was(
    exporter: Any, step: str, before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    if before is not None:
        path.write_bytes(before)
    model: nn.Module = Failing() if step == "capture" else Network()
    if step == "write":
        monkeypatch.setattr(files.ir, "save", _fail)
    if step == "check":
        monkeypatch.setattr(onnx.checker, "check_model", _fail)
    if step == "verify":
        monkeypatch.setattr(EXPORT_MODULE, "verify_file", _fail)
    with pytest.raises(ExportError if step == "capture" else OSError):
        export(model, IMAGE, path, exporter=exporter)
    assert listing(tmp_path) == ([] if before is None else ["model.onnx"])
    if before is not None:
        assert path.read_bytes() == before


def test_a_file_that_computes_something_else_is_not_written(tmp_path: Path) -> None:
    class Random(Wide):
        """Eager adds something that is a constant in the file."""

        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image) + (0.0 if torch.compiler.is_exporting() else 0.5)

    path = tmp_path / "model.onnx"
    with pytest.raises(VerificationError, match=str(path)):
        export(Random(), IMAGE, path)
    assert listing(tmp_path) == []
    export(Random(), IMAGE, path, verify=False)
    assert listing(tmp_path) == ["model.onnx"]


def test_a_file_that_no_runtime_here_can_run_is_written_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.warns(UserWarning, match="not verified.*bfloat16"):
        report = export(Network().bfloat16(), IMAGE.bfloat16(), path)
    assert report.verification is not None
    assert not report.verification.passed
    assert listing(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_model_that_does_not_run(exporter: Any, tmp_path: Path) -> None:
    other = next(name for name in EXPORTERS if name != exporter)
    with pytest.raises(ExportError, match="this model does not run") as caught:
        export(Failing(), IMAGE, tmp_path / "model.onnx", exporter=exporter)
    assert f'exporter="{other}"' in str(caught.value)
    assert "Failing" in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "tensorrt"}, "form is 'tensorrt', expected one of portable, custom, standard"),
        ({"exporter": "jit"}, "exporter is 'jit', expected one of dynamo, torchscript"),
    ],
)
def test_wrong_words(arguments: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        export(Network(), IMAGE, tmp_path / "model.onnx", **arguments)


def _spoiled(*arguments: object, **named: object) -> None:
    raise KeyError("a library stumbles")


@pytest.mark.parametrize("step", ["to_form", "sign", "inspect_model", "verify_file"])
def test_what_libraries_raise_is_an_export_error(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EXPORT_MODULE, step, _spoiled)
    with pytest.raises(ExportError, match="KeyError: 'a library stumbles'"):
        export(Network(), IMAGE, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"opset_version": "20"}, TypeError, "opset_version is '20', expected an integer"),
        ({"opset_version": 99}, ValueError, "opset_version is 99, expected 1 to "),
        ({"input_names": "image"}, TypeError, "input_names is 'image', expected a list"),
        ({"output_names": [3]}, TypeError, r"output_names is \[3\], expected a list"),
        ({"input_names": list("abcd")}, ValueError, "holds 4 names, expected at most 1"),
        ({"output_names": ["y", "y"]}, ValueError, "hold y twice"),
        ({"input_names": ["x"], "output_names": ["x"]}, ValueError, "hold x twice"),
        ({"model": None}, TypeError, "model is a NoneType, expected a torch.nn.Module"),
        ({"model": torch.relu}, TypeError, "expected a torch.nn.Module; call a function from"),
        ({"path": "."}, ValueError, "is a folder, expected a file"),
    ],
)
def test_arguments_are_judged_before_any_work(
    arguments: Any, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    given = {"model": Failing(), "args": IMAGE, "path": tmp_path / "model.onnx"} | arguments
    with pytest.raises(kind, match=message):
        export(**given)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_more_output_names_than_outputs(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match="output"):
        export(Network(), IMAGE, path, exporter=exporter, output_names=["y", "z"])


@pytest.mark.parametrize("form", ["portable", "standard"])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_an_opset_before_the_standard_operator(exporter: Any, form: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"opset_version is 18, expected at least 19.*custom"):
        export(
            Network(), IMAGE, tmp_path / "m.onnx", exporter=exporter, form=form, opset_version=18
        )


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_the_custom_form_on_an_older_opset(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    report = export(Network(), IMAGE, path, exporter=exporter, form="custom", opset_version=18)
    assert report.opset == 18


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_bfloat16_before_opset_22(exporter: Any, tmp_path: Path) -> None:
    network, image = Network().bfloat16(), IMAGE.bfloat16()
    with pytest.raises(ExportError, match=r"opset_version is 20, expected at least 22.*bfloat16"):
        export(network, image, tmp_path / "model.onnx", exporter=exporter, opset_version=20)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_geometry_that_follows_from_the_input(exporter: Any, tmp_path: Path) -> None:
    """A kernel size that is known at run time only cannot be an attribute."""

    class FromInput(nn.Module):
        def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
            offset = image.new_zeros(2, 2 * kernel.shape[2] * kernel.shape[3], 5, 5)
            return dcn_deploy.deform_conv2d(image, offset, kernel, stride=2)

    inputs = (torch.randn(2, 3, 12, 12), torch.randn(4, 3, 3, 3))
    shapes = (None, {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC})
    with pytest.raises(
        ExportError, match=r"^(the weight of )?a DeformConv2d has .* expected .*constant"
    ):
        export(FromInput(), inputs, tmp_path / "m.onnx", exporter=exporter, dynamic_shapes=shapes)
    assert listing(tmp_path) == []
