"""Runs prepared problems through the plugin on the emulator, where AddressSanitizer watches.

usage: worker.py HOST PLUGIN FOLDER

The private half of ``test_tensorrt_plugin.py``: needs numpy only. FOLDER holds, for each problem, a
``<name>.json`` (attributes, dtypes and shapes) and a ``<name>.npz`` with the bytes of each input.
Writes the bytes of each output to ``<name>.out``; every array is memory of exactly its size.
"""

from __future__ import annotations

import ctypes
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_host import Context, Host, Node, Tensor

STREAM = 0x5EA
NAN = 0xFF


def run(host: Host, folder: Path, name: str, *, repeat: bool) -> None:
    problem = json.loads((folder / f"{name}.json").read_text())
    arrays = np.load(folder / f"{name}.npz")
    inputs = [Tensor(dtype, shape) for dtype, shape in problem["inputs"]]
    output = Tensor(*problem["output"])
    if problem["channels_last"]:
        inputs[0] = replace(inputs[0], channels_last=True)
        output = replace(output, channels_last=True)
    node = Node(host, problem["attributes"], inputs, problem["creator"], name)
    assert node.output_shape == tuple(output.shape), (name, node.output_shape)
    buffers = [arrays[f"arr_{i}"].copy() for i in range(len(inputs))]
    result = np.full(problem["output_bytes"], NAN, np.uint8)
    workspace = np.full(node.workspace_bytes, NAN, np.uint8)
    emulator = ctypes.CDLL(sys.argv[2])
    emulator.emulator_last_stream.restype = ctypes.c_void_p
    context = Context(node)
    context.set_shapes(inputs, output)
    before = emulator.emulator_launches()
    addresses = [buffer.ctypes.data for buffer in buffers]
    context.enqueue(addresses, result.ctypes.data, workspace.ctypes.data, STREAM)
    if result.size:
        assert emulator.emulator_launches() > before, f"{name}: nothing was launched"
        assert emulator.emulator_last_stream() == STREAM, f"{name}: on another stream"
    if repeat:
        first = result.copy()
        result.fill(NAN)
        context.enqueue(addresses, result.ctypes.data, workspace.ctypes.data, STREAM)
        assert (first == result).all(), f"{name}: another result the second time"
    (folder / f"{name}.out").write_bytes(result.tobytes())
    context.close()
    node.close()


def main() -> None:
    host = Host(Path(sys.argv[1]), Path(sys.argv[2]))
    folder = Path(sys.argv[3])
    for i, description in enumerate(sorted(folder.glob("*.json"))):
        print(description.stem, flush=True)  # a crash shows where it was
        run(host, folder, description.stem, repeat=i % 8 == 0)
    assert not host.take_log()
    host.close()


if __name__ == "__main__":
    main()
