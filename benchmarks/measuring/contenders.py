"""Who computes a layer: each a function that makes a forward pass ready to be timed.

All are given the same inputs, keep the weight as a constant where they can, and hand their results
over without a copy, so that what is timed is the kernel and the call of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor

import dcn_deploy
from dcn_deploy.contract import contract
from dcn_deploy.runtimes.onnxruntime import stock_session

from .layer import Layer
from .models import Inputs, onnx_model, openvino_inputs, openvino_model


@dataclass(frozen=True)
class Forward:
    """``run()`` computes the layer once; ``to_array`` makes an array of what it returned."""

    run: Callable[[], Any]
    to_array: Callable[[Any], NDArray[Any]]
    allocates_results: bool = True
    """Each run does; otherwise they lie where they were put before the first."""


def ours(layer: Layer, inputs: Inputs, threads: int) -> Forward:
    """Our kernel as onnxruntime's custom op."""
    model = onnx_model(layer, inputs, contract().op, contract().domain)
    return _in_session(dcn_deploy.ort_session(model, intra_op_num_threads=threads), inputs)


def conv(layer: Layer, inputs: Inputs, threads: int) -> Forward:
    """onnxruntime's plain convolution of the same shape: the floor."""
    model = onnx_model(layer, inputs, "Conv")
    return _in_session(stock_session(model, intra_op_num_threads=threads), inputs)


def onnxruntime_deform_conv(layer: Layer, inputs: Inputs, threads: int) -> Forward:
    """onnxruntime's own kernel."""
    model = onnx_model(layer, inputs, "DeformConv")
    return _in_session(stock_session(model, intra_op_num_threads=threads), inputs)


def ours_eager(layer: Layer, inputs: Inputs, threads: int) -> Forward:
    """Our kernel in eager torch."""
    torch.set_num_threads(threads)
    return _in_torch(dcn_deploy.deform_conv2d, layer, inputs)


def torchvision_deform_conv(layer: Layer, inputs: Inputs, threads: int) -> Forward:
    """torchvision's kernel in eager torch."""
    import torchvision

    torch.set_num_threads(threads)
    return _in_torch(torchvision.ops.deform_conv2d, layer, inputs)


def openvino_deform_conv(layer: Layer, inputs: Inputs, threads: int) -> Forward:
    """OpenVINO's own op; with its inputs and its output in place."""
    import openvino as ov

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = ov.compile_model(openvino_model(layer, inputs), "CPU", settings)
    request = compiled.create_infer_request()
    fed = [inputs[name] for name in openvino_inputs(inputs)]
    for i, array in enumerate(fed):
        request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))

    def run(_keep_alive: Any = fed) -> Any:
        return request.infer()

    return Forward(run, lambda _: request.get_output_tensor().data, allocates_results=False)


def torch_arguments(layer: Layer, inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Tensors and attributes in torchvision's words."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    return tensors, {"stride": layer.stride, "padding": layer.padding}


def _in_session(session: onnxruntime.InferenceSession, inputs: Inputs) -> Forward:
    feeds = {value.name: _ort_value(inputs[value.name]) for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return Forward(
        lambda: session.run_with_ort_values(names, feeds), lambda values: values[0].numpy()
    )


def _ort_value(array: NDArray[Any]) -> onnxruntime.OrtValue:
    if array.dtype == ml_dtypes.bfloat16:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
            array.view(np.uint16), TensorProto.BFLOAT16
        )
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _in_torch(op: Callable[..., Tensor], layer: Layer, inputs: Inputs) -> Forward:
    tensors, attributes = torch_arguments(layer, inputs)

    def run() -> Tensor:
        with torch.inference_mode():
            return op(**tensors, **attributes)

    return Forward(run, lambda tensor: tensor.numpy())


MAKERS: dict[str, Callable[[Layer, Inputs, int], Forward]] = {
    "conv": conv,
    "ours": ours,
    "ours_eager": ours_eager,
    "onnxruntime": onnxruntime_deform_conv,
    "openvino": openvino_deform_conv,
    "torchvision": torchvision_deform_conv,
}
PEERS = ("onnxruntime", "openvino", "torchvision")
TITLES = {
    "conv": "plain Conv",
    "ours": "ours",
    "ours_eager": "ours, eager torch",
    "onnxruntime": "onnxruntime's",
    "openvino": "OpenVINO's",
    "torchvision": "torchvision's",
}
# Far above what float32 leaves, far below what another operation would show.
_SAME_RESULT = 1e-3


@dataclass(frozen=True)
class Entrants:
    """Those that compute the layer, and why the others do not."""

    forwards: dict[str, Forward]
    not_run: dict[str, str]


def entrants(names: tuple[str, ...], layer: Layer, inputs: Inputs, threads: int) -> Entrants:
    """Makes each; one that is not installed, or computes something else than ours, stays out."""
    forwards: dict[str, Forward] = {}
    not_run: dict[str, str] = {}
    wanted: NDArray[Any] | None = None
    for name in names:
        try:
            forward = MAKERS[name](layer, inputs, threads)
            got = forward.to_array(forward.run())
        except Exception as error:  # of whatever the peer's libraries throw
            if name not in PEERS:
                raise
            not_run[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
            continue
        if name == "ours":
            wanted = got
        elif wanted is not None and not (off := _difference(got, wanted)) <= _SAME_RESULT:
            not_run[name] = f"its results differ from ours, by {off:.1e}"
            continue
        forwards[name] = forward
    return Entrants(forwards, not_run)


def _difference(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
