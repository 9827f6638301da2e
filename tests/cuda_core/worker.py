"""Runs the calls that arrive on the standard input, until it ends: see ``emulated.py``."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import torch

from cuda_core.core import Core, CudaError


def main() -> None:
    # What anybody prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    core = Core(Path(sys.argv[1]))
    while True:
        try:
            method, args, named = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = getattr(core, method)(*args, **named)
        except (CudaError, AssertionError) as error:
            answer = error
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
