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
            if type(error).__name__ == "NotImplemented":  # onnxruntime's word: it has no kernel
                raise NotRunnableError(_first_line(error)) from error
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

    @property
    def output_names(self) -> list[str]:
        """The model's outputs, in order."""
        return [argument.name for argument in self._session.get_outputs()]

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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def our_side(path: Path) -> OnnxSide:
    """The file in onnxruntime with this project's library, standard nodes in our kernel too.

    Raises:
        NotRunnableError: onnxruntime or the library is not there, or onnxruntime lacks a kernel
            for another node.
    """
    verdict = availability.ours("portable")
    if not verdict.runs:
        raise NotRunnableError(verdict.reason)
    return OnnxSide(availability.OURS, path, partial(ort_session, override=True))


def stock_side(path: Path) -> OnnxSide:
    """The file in onnxruntime as it is installed.

    Raises:
        NotRunnableError: it is not installed, or has no kernel for a node.
    """
    for entry in deformable_nodes(prepare(load(path))):
        dtype = entry.inputs["input"].dtype
        verdict = availability.stock(entry.form, None if dtype is None else str(dtype.numpy()))
        if not verdict.runs:
            raise NotRunnableError(f"node {entry.name}: {verdict.reason}")
    if availability.onnxruntime_version() is None:
        raise NotRunnableError("onnxruntime is not installed: pip install onnxruntime")
    return OnnxSide(availability.STOCK, path, stock_session)
