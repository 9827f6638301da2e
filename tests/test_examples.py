"""Every example runs as a user runs it, and leaves files that are valid and that it speaks of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

EXAMPLES = Path(__file__).parent.parent / "export_examples"
FILES = {
    "own_model": ["own_model.onnx"],
    "torchvision_model": ["torchvision_portable.onnx", "torchvision_standard.onnx"],
    "dynamic_shapes": ["dynamic_shapes.onnx"],
}


def test_every_example_is_listed_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_example(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES[name]
    for file in FILES[name]:
        onnx.checker.check_model(tmp_path / file, full_check=True)
        assert str(tmp_path / file) in finished.stdout
    words = " ".join(finished.stdout.split())
    assert words.count(" agrees with eager ") == len(FILES[name])
