"""How much memory a PyTorch model takes. Run as a program of its own: see ``memory_probe``.

Reads one JSON object from stdin: file (a module and its arguments, by torch.save), path (of Python,
to find the module's classes in) and threads. Prints a number of bytes.
"""

from __future__ import annotations

import json
import sys

import torch

import dcn_deploy  # noqa: F401  its op, before the baseline is taken

from .peak import forget, peak


def main() -> None:
    """Measure, and print."""
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    torch.set_num_threads(request["threads"])
    torch.ones(64, 64) @ torch.ones(64, 64)  # the threads and their stacks
    forget()
    before = peak()
    # Written a moment ago by the process that asks.
    module, tensors = torch.load(request["file"], weights_only=False)
    with torch.inference_mode():
        for _ in range(2):
            module(*tensors)
    print(peak() - before)


if __name__ == "__main__":
    main()
