"""A process of its own, for what is decided when a library loads, and for measuring memory."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def process(**environment: str) -> Iterator[Callable[..., Any]]:
    """Yields ``call(function, *arguments)``, which runs a module's function in a fresh process.

    The process is one and the same for every call, and has ``environment`` beside this one's.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with patch.dict(os.environ, environment):
            pool.submit(os.getpid).result()  # it has started
        yield lambda function, *arguments: pool.submit(function, *arguments).result()
