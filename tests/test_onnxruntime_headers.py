"""tools/onnxruntime_headers.sh, as far as it goes without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "onnxruntime_headers.sh"
# All that it calls but for what fetches: apt-get, dpkg-deb, curl and wget.
TOOLS = ("sh", "find", "head", "sed", "dirname", "mkdir", "mktemp", "rm", "mv", "tar", "uname")


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing can be fetched."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return {**os.environ, "PATH": str(folder)}


def headers(folder: Path, api_version: int) -> Path:
    """A package with the header of some onnxruntime, unpacked."""
    include = folder / "usr" / "include" / "onnxruntime"
    include.mkdir(parents=True)
    (include / "onnxruntime_c_api.h").write_text(f"#define ORT_API_VERSION {api_version}\n")
    return include


def find(destination: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), str(destination)], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("api_version", [17, 21])
def test_prints_what_an_earlier_call_unpacked(
    tmp_path: Path, offline: dict[str, str], api_version: int
) -> None:
    include = headers(tmp_path / "kept here", api_version)
    done = find(tmp_path / "kept here", offline)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{include}\n", "")


@pytest.mark.skipif(
    any(Path(folder, "onnxruntime").is_dir() for folder in ("/usr/include", "/usr/local/include")),
    reason="onnxruntime's headers are installed here",
)
@pytest.mark.parametrize("too_old", [False, True])
def test_fails_with_one_line_that_says_what_to_do(
    tmp_path: Path, offline: dict[str, str], too_old: bool
) -> None:
    if too_old:
        headers(tmp_path / "cache", 16)
    done = find(tmp_path / "cache", offline)
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "-DORT_INCLUDE_DIR=<folder of onnxruntime_c_api.h>" in done.stderr
    assert not list(tmp_path.glob("onnxruntime-headers.*"))
