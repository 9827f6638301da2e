"""Runs Python in an environment with a real torchvision, for which the tests have a stand-in, and
with the libraries that are installed here.

    python tools/in_torchvision.py -m pytest tests/test_convert.py

The environment is made where it is not there yet: torchvision brings a torch that is no CPU build,
which takes several GB. Exit status: that of the command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from dcn_deploy._native import library

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / "build" / "torchvision"
PINS = ("torch==2.14.1", "torchvision==0.29.1")
NEEDED = (
    *("numpy", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "openvino", "ml_dtypes"),
    *("rich", "typer", "matplotlib", "pytest", "hypothesis"),
)


def interpreter() -> Path:
    """That of the environment, which is made where it is not there or needs other packages."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "complete"
    pins = [*PINS, *(f"{name}=={version(name)}" for name in NEEDED)]
    if not stamp.is_file() or stamp.read_text().split() != pins:
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", *pins], check=True)
        stamp.write_text("\n".join(pins))
    return python


def main() -> int:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "DCN_DEPLOY_LIBRARY_DIR": str(library("torch").parent),
    }
    command = [interpreter(), *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
