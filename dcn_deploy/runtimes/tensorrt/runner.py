"""Running an engine on arrays or CUDA tensors, by name.

Memory and streams are PyTorch's. Work goes to a stream of its own, which waits for the caller's and
which the caller's waits for: TensorRT slows down on the default stream.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..._native import MissingLibraryError
from ...arrays import to_array, to_tensor
from ...inspection import TensorReport
from ...model_inputs import InputError, check_inputs
from .host import DTYPES, ERROR, Host, Message, gpu_problem, host
from .plugin import register


class EngineError(RuntimeError):
    """An engine cannot be loaded or run here; the message says why."""


@dataclass
class _Captured:
    """A CUDA graph of one run, and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class TensorRTRunner:
    """A loaded engine.

    An engine is code: load only those that you trust.

    Args:
        engine_path: what ``build_engine`` wrote
        cuda_graph: record the run at the first call with each new set of sizes, and replay it from
            then on: less work for the CPU, more memory
        package: "tensorrt" or "tensorrt_rtx"; default: the first of these that is installed

    Raises:
        ImportError: no TensorRT is installed.
        EngineError: there is no GPU, PyTorch cannot use it, or the engine does not load.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        engine_path: str | os.PathLike[str],
        *,
        cuda_graph: bool = False,
        package: str | None = None,
    ) -> None:
        self.path = Path(engine_path)
        data = self.path.read_bytes()
        require_gpu(self.path)
        self._host = host(package)
        with self._host.collected() as messages:
            self._runtime, self._engine = _load(self._host, data, self.path, messages)
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise EngineError(f"{self.path} has no execution context: {_errors(messages)}")
        self._stream = torch.cuda.Stream()
        self._cuda_graph = cuda_graph
        self._captured: dict[tuple[tuple[int, ...], ...], _Captured] = {}
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self.inputs = tuple(self._report(name) for name in names if self._is_input(name))
        """Name, dtype and shape of each input; None where a size is free."""
        self.outputs = tuple(self._report(name) for name in names if not self._is_input(name))
        """The same of each output."""

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name).name == "INPUT")

    def _report(self, name: str) -> TensorReport:
        dtype = str(self._dtype(name)).removeprefix("torch.")
        shape = tuple(dim if dim >= 0 else None for dim in self._engine.get_tensor_shape(name))
        return TensorReport(name, dtype, shape)

    def _dtype(self, name: str) -> torch.dtype:
        kind = self._engine.get_tensor_dtype(name).name
        if kind not in DTYPES:
            raise EngineError(f"{self.path}: tensor {name!r} is {kind}, which PyTorch has not")
        dtype: torch.dtype = getattr(torch, DTYPES[kind])
        return dtype

    def run(self, inputs: Mapping[str, NDArray[Any] | Tensor]) -> dict[str, Any]:
        """Run on arrays or tensors by name.

        Args:
            inputs: numpy arrays, or torch tensors on the GPU or elsewhere, of the engine's dtypes

        Returns:
            Output name -> CUDA tensor if any input was a torch tensor, else numpy array. Tensors
            are ready on the current stream.

        Raises:
            InputError: a name, dtype or size is not one that the engine takes.
            EngineError: TensorRT failed.
        """
        tensors = {
            name: value if isinstance(value, Tensor) else to_tensor(value)
            for name, value in inputs.items()
        }
        check_inputs(tensors, self.inputs)
        with self._host.collected() as messages:
            outputs = self._run(tensors, messages)
        if any(isinstance(value, Tensor) for value in inputs.values()):
            return dict(outputs)
        return {name: to_array(tensor) for name, tensor in outputs.items()}

    def _run(self, tensors: Mapping[str, Tensor], messages: list[Message]) -> dict[str, Tensor]:
        caller = torch.cuda.current_stream()
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            for tensor in tensors.values():
                if tensor.is_cuda:
                    tensor.record_stream(self._stream)
            if self._cuda_graph:
                outputs = self._replay(tensors, messages)
            else:
                outputs = self._prepare(_on_gpu(tensors), messages)
                self._enqueue(messages)
        caller.wait_stream(self._stream)
        for tensor in outputs.values():
            tensor.record_stream(caller)
        return outputs

    def _replay(self, tensors: Mapping[str, Tensor], messages: list[Message]) -> dict[str, Tensor]:
        sizes = tuple(tuple(tensors[spec.name].shape) for spec in self.inputs)
        if sizes not in self._captured:
            # A recording holds for the sizes that the context had: one is kept, the last.
            self._captured = {sizes: self._capture(tensors, messages)}
        captured = self._captured[sizes]
        for name, tensor in tensors.items():
            captured.inputs[name].copy_(tensor)
        captured.graph.replay()
        return {name: tensor.clone() for name, tensor in captured.outputs.items()}

    def _capture(self, tensors: Mapping[str, Tensor], messages: list[Message]) -> _Captured:
        inputs = {name: tensor.clone() for name, tensor in _on_gpu(tensors).items()}
        outputs = self._prepare(inputs, messages)
        self._enqueue(messages)  # what TensorRT does at the first run only cannot be recorded
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._enqueue(messages)
        return _Captured(graph, inputs, outputs)

    def _prepare(self, tensors: Mapping[str, Tensor], messages: list[Message]) -> dict[str, Tensor]:
        """Tell the context sizes and addresses, and make the outputs."""
        for name, tensor in tensors.items():
            if not self._context.set_input_shape(name, tuple(tensor.shape)):
                raise InputError(
                    f"input {name!r} is {list(tensor.shape)}, expected sizes within the engine's "
                    f"profile: {_errors(messages)}"
                )
            self._context.set_tensor_address(name, tensor.data_ptr())
        outputs = {}
        for spec in self.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            if any(dim < 0 for dim in shape):
                raise EngineError(
                    f"{self.path}: the size of output {spec.name!r} depends on values: {shape}"
                )
            outputs[spec.name] = torch.empty(shape, dtype=self._dtype(spec.name), device="cuda")
            self._context.set_tensor_address(spec.name, outputs[spec.name].data_ptr())
        return outputs

    def _enqueue(self, messages: list[Message]) -> None:
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise EngineError(f"{self.path} failed: {_errors(messages)}")


def require_gpu(what: object) -> None:
    """Raise EngineError, in one sentence, where nothing can run on a GPU."""
    if problem := gpu_problem():
        raise EngineError(f"{what} cannot run here: {problem}")
    if not torch.cuda.is_available():
        raise EngineError(
            f"{what} cannot run here: torch {torch.__version__} is built without CUDA; install one "
            "that has it (https://pytorch.org/get-started)"
        )


def _load(installed: Host, data: bytes, path: Path, messages: list[Message]) -> tuple[Any, Any]:
    """As it is, for an engine that carries the plugin; else with the plugin made known first.

    An engine that carries it does not load where it is known already.
    """
    runtime = installed.trt.Runtime(installed.logger)
    runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        with suppress(MissingLibraryError):
            register(installed, runtime.get_plugin_registry(), messages)
            engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise EngineError(f"{path} does not load in {installed.name}: {_errors(messages)}")
    return runtime, engine


def _on_gpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense, as TensorRT reads them."""
    return {name: tensor.cuda().contiguous() for name, tensor in tensors.items()}


def _errors(messages: list[Message]) -> str:
    texts = dict.fromkeys(message.text for message in messages if message.severity <= ERROR)
    return "; ".join(texts) or "TensorRT gives no reason"
