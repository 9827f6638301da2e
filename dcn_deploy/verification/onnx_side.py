"""An ONNX file as a side of the comparison: its outputs, and its deformable nodes laid open."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
from torch import Tensor

from .. import availability
from ..arrays import to_array, to_tensor
from ..availability import first_line
from ..onnx_graph import DeformableNode, deformable_nodes, load, prepare
from ..runtimes.onnxruntime import QUIET, ort_session, run, stock_session
from .observation import NodeRun, NotRunnableError, Observation


def _is_watched(entry: DeformableNode) -> bool:
    """A tensor inside If, Loop or Scan cannot be made an output of the graph."""
    return entry.form != "foreign" and not entry.scope


class OnnxSide:
    """Runs the file itself for its outputs, and a copy with more outputs for its nodes.

    The copy is not used for both: an extra output keeps onnxruntime from fusing across it, and it
    is the file that will be deployed.

    Raises:
        NotRunnableError: onnxruntime or the library is not there, or lacks a kernel.
    """

    def __init__(self, name: str, path: Path, make_session: Callable[..., Any]) -> None:
        self.name = name
        self._graph = prepare(load(path))
        self._watched = [entry for entry in deformable_nodes(self._graph) if _is_watched(entry)]
        self._exposed = self._expose()
        make_session = partial(make_session, **QUIET)
        try:
            self._session = make_session(os.fspath(path))
            self._open_session = self._watched and make_session(
                ir.to_proto(self._graph).SerializeToString(),
                # Relative to it are the paths of the weights that stayed on the disk.
                weights_folder=path.parent.resolve(),
            )
        except Exception as error:
            # Not installed; or, in onnxruntime's words, without a kernel for some other node.
            if isinstance(error, ImportError) or type(error).__name__ == "NotImplemented":
                raise NotRunnableError(first_line(error)) from error
            raise

    def _expose(self) -> list[str]:
        """Make what goes into and comes out of the watched nodes outputs of the graph."""
        graph = self._graph.graph
        values = {
            value.name: value
            for entry in self._watched
            for value in (*entry.inputs.values(), entry.output)
            if not value.is_graph_input() and not value.is_initializer()
        }
        outputs = {value.name for value in graph.outputs}
        graph.outputs.extend(value for name, value in values.items() if name not in outputs)
        return [str(name) for name in values]

    @property
    def input_names(self) -> list[str]:
        """The model's inputs, in order."""
        return [argument.name for argument in self._session.get_inputs()]

    def run(self, tensors: Sequence[Tensor]) -> Observation:
        """Run on the model's inputs, in order."""
        arrays = [to_array(tensor) for tensor in tensors]
        feed = dict(zip(self.input_names, arrays, strict=True))
        outputs = [to_tensor(array) for array in run(self._session, feed).values()]
        if not self._watched:
            return Observation(outputs, [])
        known = dict(zip(self.input_names, tensors, strict=True))
        known |= {name: to_tensor(a) for name, a in run(self._open_session, feed).items()}
        return Observation(outputs, [_node_run(entry, known) for entry in self._watched])


def _node_run(entry: DeformableNode, known: dict[str, Tensor]) -> NodeRun:
    def tensor_of(value: ir.Value) -> Tensor:
        if value.name in known:
            return known[value.name]
        if value.const_value is None:
            raise KeyError(f"node {entry.name}: nothing is known of its input {value.name}")
        return to_tensor(value.const_value.numpy())

    inputs = {name: tensor_of(value) for name, value in entry.inputs.items()}
    return NodeRun(entry.name, inputs, known[str(entry.output.name)], entry.attributes)


def our_side(path: Path) -> OnnxSide:
    """The file in onnxruntime with this project's library, standard nodes in our kernel too."""
    return OnnxSide(availability.OURS, path, partial(ort_session, override=True))


def stock_side(path: Path) -> OnnxSide:
    """The file in onnxruntime as it is installed."""
    return OnnxSide(availability.STOCK, path, stock_session)
