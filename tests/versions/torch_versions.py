"""Does the torch library, compiled once, work in every torch that it promises to work in?

usage: python tests/versions/torch_versions.py [--versions 2.10.0] [--folder FOLDER]

Installs each torch in an environment of its own (several GB each), and runs there the tests of the
torch side on the library that is installed here. Exit status 1 if anything fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from dcn_deploy._native import library

ROOT = Path(__file__).parents[2]
TESTS = ("test_eager.py", "test_gradients.py", "test_torch_integration.py", "test_modules.py")
# The oldest that the stable ABI promises, and the one that the library is compiled with.
VERSIONS = ("2.10.0", torch.__version__.split("+")[0])
NEEDED = ("numpy", "onnx", "onnx-ir", "onnxscript", "ml_dtypes", "rich", "typer", "pytest")


def python_with(torch_version: str, folder: Path) -> Path:
    """The interpreter of an environment with that torch and our own pins of the rest."""
    if torch.__version__.split("+")[0] == torch_version:
        return Path(sys.executable)
    environment = folder / torch_version
    python = environment / "bin" / "python"
    stamp = environment / "complete"
    if not stamp.is_file():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pins = [f"{name}=={version(name)}" for name in (*NEEDED, "hypothesis")]
        command = [python, "-m", "pip", "install", f"torch=={torch_version}", *pins]
        subprocess.run(command, check=True)
        stamp.touch()
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", nargs="+", default=VERSIONS)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "torch-versions")
    options = parser.parse_args()
    # The checkout's Python with the installed libraries: the same bytes for each torch.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DCN_DEPLOY_LIBRARY_DIR": str(library("torch").parent),
    }
    failed = []
    for torch_version in options.versions:
        print(f"torch {torch_version}", flush=True)
        python = python_with(torch_version, options.folder)
        command = [python, "-m", "pytest", "-q", *(f"tests/{name}" for name in TESTS)]
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
            failed.append(torch_version)
    print(f"failed in torch {', '.join(failed)}" if failed else "passed in all of them")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
