"""The TensorRT plugin in lean runtimes of TensorRT 10 and 11 and in releases of TensorRT-RTX.

``make test-versions-tensorrt`` installs each into a folder of its own and loads the plugin there in
a process of its own: the library is found, its creators listed, plugins created, bad attributes
refused, and the reason arrives at the runtime's logger, or on stderr if it has none. No GPU needed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from dcn_deploy._native import library
from dcn_deploy.contract import contract

WORKER = Path(__file__).with_name("tensorrt_worker.py")
# Module, and the packages that make it up, by the name of the runtime.
PACKAGES = {
    "lean": ("tensorrt_lean_bindings", ("tensorrt-lean-cu13-libs", "tensorrt-lean-cu13-bindings")),
    "rtx": ("tensorrt_rtx_bindings", ("tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu13-bindings")),
}
# Both sides of each change of the logger's layout, and the newest of all.
VERSIONS = [
    "lean-10.16.1.11",
    "lean-11.0.0.114",
    "lean-newest",
    "rtx-1.4.0.76",
    "rtx-1.5.0.114",
    "rtx-newest",
]


def install(wanted: str, folder: Path) -> str:
    """Install one runtime into a folder; the name of its module."""
    kind, _, version = wanted.partition("-")
    module, packages = PACKAGES[kind]
    if version == "newest" or not (folder / module).is_dir():
        pinned = [name if version == "newest" else f"{name}=={version}" for name in packages]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--no-deps"]
        subprocess.run([*pip, "--target", str(folder), *pinned, "numpy"], check=True)
    return module


def run_worker(module: str, folder: Path) -> tuple[str, dict[str, str]]:
    """The version that ran, and what came of each check."""
    attributes = json.dumps(list(contract().attributes))
    done = subprocess.run(
        # -S: nothing of the environment of this process.
        [sys.executable, "-S", str(WORKER), module, str(library("tensorrt")), attributes],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    version, *lines = done.stdout.splitlines() or ["?"]
    results = {name: json.loads(line) for name, line in zip(lines[::2], lines[1::2], strict=False)}
    if done.returncode:
        name = lines[-1] if len(lines) % 2 else f"import {module}"
        results[name] = f"the process ended with status {done.returncode}: {done.stderr[-500:]}"
    return version, results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="VERSION")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build/tensorrt-versions"),
        help="where they are installed, and kept",
    )
    arguments = parser.parse_args()
    console = Console()
    failures = 0
    for wanted in arguments.versions:
        folder = (arguments.folder / wanted).resolve()
        version, results = run_worker(install(wanted, folder), folder)
        wrong = {name: result for name, result in results.items() if result != "ok"}
        console.print(
            f"{wanted} ({version}): {len(results) - len(wrong)} of {len(results)} checks ok",
            style="red" if wrong or not results else "green",
        )
        for name, result in wrong.items():
            console.print(f"  {name}: {result}", markup=False)
        failures += len(wrong) + (not results)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
