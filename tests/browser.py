"""A headless Chromium, as ``make test`` gets it: tools/browser.sh says from where."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

_PROGRAM = Path(__file__).parent.parent / ".venv" / "browser" / "chromium"
# What the browser asks its makers, on its own account.
_OWN_HOSTS = re.compile(r"(^|\.)(google|googleapis|gvt1)\.com$")


def browser() -> Path:
    """The program; skips the test where there is none."""
    if not _PROGRAM.is_file():
        pytest.skip(f"no {_PROGRAM.name} in {_PROGRAM.parent}: make test puts one there")
    return _PROGRAM


def _run(page: Path, *options: str) -> str:
    done = subprocess.run(
        [str(browser()), *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dom(page: Path) -> str:
    """The document as the browser has read it."""
    return _run(page, "--dump-dom")


def screenshot(page: Path, file: Path, *, dark: bool = False, height: int = 3000) -> np.ndarray:
    """What a reader sees, [height, 1280, 3], also left in ``file``."""
    theme = [] if not dark else ["--blink-settings=preferredColorScheme=0"]
    _run(page, f"--screenshot={file}", f"--window-size=1280,{height}", *theme)
    return np.asarray(Image.open(file).convert("RGB"))


def hosts_asked(page: Path, log: Path) -> set[str]:
    """The machines that the page wants something from."""
    _run(page, f"--log-net-log={log}", f"--screenshot={log.with_suffix('.png')}")
    urls = re.findall(r'"url":"(https?:[^"]+)"', log.read_text())
    return {host for url in urls if not _OWN_HOSTS.search(host := urlsplit(url).hostname or "")}
