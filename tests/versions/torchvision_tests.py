"""Is the stand-in for torchvision in the tests as torchvision is?

usage: python tests/versions/torchvision_tests.py [--folder FOLDER]

Installs a torchvision with its torch, which is no CPU build, in an environment of its own (several
GB), and runs there the tests that otherwise run with the stand-in, on the library that is
installed here. Exit status 1 if anything fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from dcn_deploy._native import library

ROOT = Path(__file__).parents[2]
TESTS = ("test_convert.py", "test_convert_graphs.py", "test_export_torchvision.py")
PINS = ("torch==2.14.1", "torchvision==0.29.1")
NEEDED = (
    *("numpy", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "ml_dtypes", "rich", "typer"),
    *("matplotlib", "pytest", "hypothesis"),
)
IS_REAL = "import torchvision_stand_in as it; assert it.IS_REAL; print('the real torchvision')"


def python_of(environment: Path) -> Path:
    """The interpreter of the environment, which is made where it is not there."""
    python = environment / "bin" / "python"
    stamp = environment / "complete"
    if not stamp.is_file():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pins = [*PINS, *(f"{name}=={version(name)}" for name in NEEDED)]
        subprocess.run([python, "-m", "pip", "install", *pins], check=True)
        stamp.touch()
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "torchvision")
    python = python_of(parser.parse_args().folder)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "DCN_DEPLOY_LIBRARY_DIR": str(library("torch").parent),
    }
    subprocess.run([python, "-c", IS_REAL], env=environment, check=True)
    command = [python, "-m", "pytest", "-q", *(f"tests/{name}" for name in TESTS)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
