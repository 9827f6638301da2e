"""When the plugin packs its weight, told by the kernels that it enqueues on the emulator.

usage: packing.py HOST PLUGIN

The private half of ``test_tensorrt_packing.py``: needs numpy only, and runs where AddressSanitizer
watches. Every check is an assertion.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
from fake_host import Context, Host, Node, Tensor

STREAM = 0x5EA
# One group of 16 channels: on tensor cores, whose weights are packed.
ATTRIBUTES = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
SHAPES = {"input": (1, 16, 6, 7), "weight": (8, 16, 3, 3), "offset": (1, 18, 6, 7)}
OUTPUT = (1, 8, 6, 7)


class Run:
    """A node's execution context with memory of its own."""

    def __init__(self, node: Node, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.inputs = [random.standard_normal(shape, np.float32) for shape in SHAPES.values()]
        self.output = np.full(OUTPUT, np.nan, np.float32)
        self.workspace = np.full(node.workspace_bytes + 256, 0xFF, np.uint8)
        self.context = Context(node)
        self.set_shapes()

    @property
    def weight(self) -> np.ndarray:
        return self.inputs[1]

    def set_shapes(self) -> None:
        tensors = [Tensor("float32", shape) for shape in SHAPES.values()]
        self.context.set_shapes(tensors, Tensor("float32", OUTPUT))

    def enqueue(self) -> int:
        """Enqueues, and returns how many kernels that took."""
        self.output.fill(np.nan)
        before, stalls = EMULATOR.emulator_launches(), EMULATOR.emulator_stalls()
        workspace = -(-self.workspace.ctypes.data // 256) * 256
        addresses = [array.ctypes.data for array in self.inputs]
        self.context.enqueue(addresses, self.output.ctypes.data, workspace, STREAM)
        assert EMULATOR.emulator_stalls() == stalls, "enqueue allocates or waits"
        return int(EMULATOR.emulator_launches() - before)

    def result(self) -> np.ndarray:
        self.enqueue()
        return self.output.copy()


def node_of(host: Host, **more: int) -> Node:
    tensors = [Tensor("float32", shape) for shape in SHAPES.values()]
    return Node(host, ATTRIBUTES | more, tensors)


def check_a_weight_that_may_change_is_packed_each_time(node: Node) -> int:
    run = Run(node)
    each = run.enqueue()
    first = run.output.copy()
    assert run.enqueue() == each
    run.weight[...] *= 2
    assert (run.result() == 2 * first).all()
    run.context.close()
    return each


def check_a_constant_one_is_packed_once(node: Node, each: int, wanted: np.ndarray) -> int:
    run = Run(node)
    assert run.enqueue() == each
    assert (run.output == wanted).all()
    packing = each - run.enqueue()
    assert packing >= 1
    assert (run.output == wanted).all()
    # The packed one is read, until the shapes are told again or the weight lies elsewhere.
    kept = run.weight.copy()
    run.weight[...] *= 2
    assert run.enqueue() == each - packing
    assert (run.output == wanted).all()
    run.set_shapes()
    assert run.enqueue() == each
    assert (run.output == 2 * wanted).all()
    assert run.enqueue() == each - packing
    run.inputs[1] = kept
    assert run.enqueue() == each
    assert (run.output == wanted).all()
    run.context.close()
    return packing


def check_contexts_share_nothing(node: Node, each: int, packing: int) -> None:
    one, other = Run(node), Run(node, seed=1)
    assert one.enqueue() == each
    assert other.enqueue() == each
    first, second = one.output.copy(), other.output.copy()
    assert one.enqueue() == each - packing
    assert (one.output == first).all()
    one.context.close()
    assert other.enqueue() == each - packing
    assert (other.output == second).all()
    other.context.close()


def check_a_graph_holds_what_it_needs(node: Node, each: int, packing: int) -> None:
    """One that is captured before the weight was packed packs it in every replay."""
    wanted_run = Run(node)
    wanted = wanted_run.result()
    wanted_run.context.close()

    cold = Run(node)
    EMULATOR.emulator_begin_capture()
    Run(node, seed=1).context.close()  # memory that others take is no part of the graph
    cold.enqueue()
    EMULATOR.emulator_end_capture()
    assert np.isnan(cold.output).all()
    before = EMULATOR.emulator_launches()
    EMULATOR.emulator_replay()
    assert EMULATOR.emulator_launches() - before == each
    assert (cold.output == wanted).all()
    # Nothing was packed for the context by it.
    assert cold.enqueue() == each
    assert (cold.output == wanted).all()
    cold.context.close()

    warm = Run(node)
    warm.enqueue()
    EMULATOR.emulator_begin_capture()
    warm.enqueue()
    EMULATOR.emulator_end_capture()
    before = EMULATOR.emulator_launches()
    EMULATOR.emulator_replay()
    assert EMULATOR.emulator_launches() - before == each - packing
    assert (warm.output == wanted).all()
    warm.context.close()


def main() -> None:
    host = Host(Path(sys.argv[1]), Path(sys.argv[2]))
    given, constant = node_of(host), node_of(host, constant_weight=1)
    each = check_a_weight_that_may_change_is_packed_each_time(given)
    run = Run(given)
    wanted = run.result()
    run.context.close()
    packing = check_a_constant_one_is_packed_once(constant, each, wanted)
    check_contexts_share_nothing(constant, each, packing)
    check_a_graph_holds_what_it_needs(constant, each, packing)
    assert not host.take_log()
    given.close()
    constant.close()
    host.close()
    # Memory of the device is memory of the C library here: what was not freed is found at the end.
    print(f"{each} kernels, {packing} of them to pack")


EMULATOR = ctypes.CDLL(sys.argv[2])
EMULATOR.emulator_launches.restype = ctypes.c_int64
EMULATOR.emulator_stalls.restype = ctypes.c_int64

if __name__ == "__main__":
    main()
