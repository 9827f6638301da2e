"""An ONNX file with other projects' deformable nodes as a side of the comparison.

No runtime has those nodes. They are computed by the float64 reference from what ``foreign`` reads
of them, and everything between them by onnxruntime, part by part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from .._native import find_library
from ..arrays import to_array, to_tensor
from ..contract import contract
from ..foreign import Reading, read
from ..onnx_graph import DeformableNode, deformable_nodes, load, prepare
from ..runtimes.onnxruntime import QUIET, ort_session, run, stock_session
from .observation import NodeRun, NotRunnableError, Observation

Known = dict[str, NDArray[Any]]


class ForeignSide:
    """Runs the file, its foreign nodes in the reference.

    Raises:
        NotRunnableError: it has none, or one of them sits inside If, Loop or Scan.
        ConversionError: one of them is not understood.
    """

    def __init__(self, path: Path) -> None:
        self.name = os.fspath(path)
        self._folder = path.parent.resolve()
        self._model = prepare(load(path))
        foreign = [entry for entry in deformable_nodes(self._model) if entry.form == "foreign"]
        if not foreign:
            raise NotRunnableError("it has no node of another project")
        for entry in foreign:
            if entry.scope:
                raise NotRunnableError(
                    f"node {entry.name} is inside {entry.scope}, where the reference cannot stand "
                    "in for it"
                )
        self._nodes = [(entry, read(entry)) for entry in foreign]
        for entry, reading in self._nodes:
            self._model.graph.insert_before(entry.node, reading.before)
        self._parts: dict[tuple[str, ...], Any] = {}

    def run(self, tensors: Sequence[Tensor]) -> Observation:
        """Run on the model's inputs, in order."""
        inputs = [str(value.name) for value in self._model.graph.inputs]
        known: Known = dict(zip(inputs, map(to_array, tensors), strict=True))
        nodes = []
        for entry, reading in self._nodes:
            node = self._run_node(entry, reading, known)
            known[str(entry.output.name)] = to_array(node.output)
            nodes.append(node)
        outputs = [str(value.name) for value in self._model.graph.outputs]
        self._compute(outputs, known)
        return Observation([to_tensor(known[name]) for name in outputs], nodes)

    def _run_node(self, entry: DeformableNode, reading: Reading, known: Known) -> NodeRun:
        values = {name: str(value.name) for name, value in reading.inputs.items()}
        self._compute(list(values.values()), known)
        inputs = {name: to_tensor(known[value]) for name, value in values.items()}
        kernel = {"kernel_shape": list(inputs["weight"].shape[2:])}
        named = kernel | dict(reading.attributes)
        attributes = {name: named[name] for name in contract().attributes}
        batch, channels = inputs["input"].shape[0], inputs["weight"].shape[0]
        like = inputs["input"].new_empty(batch, channels, *inputs["offset"].shape[2:])
        exact = NodeRun(entry.name, inputs, like, attributes).float64_output()
        return NodeRun(entry.name, inputs, exact.to(like.dtype), attributes)

    def _compute(self, names: Sequence[str], known: Known) -> None:
        """Add the named values to the known ones."""
        wanted = tuple(dict.fromkeys(name for name in names if name not in known))
        values = ir.convenience.create_value_mapping(self._model.graph, include_subgraphs=False)
        for name in wanted:
            tensor = values[name].const_value
            if tensor is not None:
                known[name] = tensor.numpy()
        wanted = tuple(name for name in wanted if name not in known)
        if not wanted:
            return
        if wanted not in self._parts:
            for name, array in known.items():  # what comes out of a foreign node has no type yet
                values[name].dtype = ir.DataType.from_numpy(array.dtype)
            part = ir.convenience.extract(
                self._model.graph, [values[name] for name in known if name in values], wanted
            )
            used = {value for node in part.all_nodes() for value in node.inputs}
            for value in [value for value in part.inputs if value not in used]:
                part.inputs.remove(value)
            proto = ir.to_proto(ir.Model(part, ir_version=self._model.ir_version))
            # There may be nodes of ours and ONNX's beside the foreign ones.
            ours = find_library("onnxruntime") is not None
            make = partial(ort_session, override=True) if ours else stock_session
            self._parts[wanted] = make(
                proto.SerializeToString(), weights_folder=self._folder, **QUIET
            )
        session = self._parts[wanted]
        feed = {argument.name: known[argument.name] for argument in session.get_inputs()}
        known |= run(session, feed)
