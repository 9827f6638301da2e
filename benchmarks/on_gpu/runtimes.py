"""Runtimes that bring their own way of calling a kernel: onnxruntime's CUDA kernel of the standard
operator, and our plugin in an engine of TensorRT-RTX."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from cases import Inputs

from .checks import NotRunError
from .contenders import Job
from .timing import Replay

_RUNS = 50  # of a session in a row


def onnxruntime_deform_conv(job: Job) -> tuple[Callable[[], float], torch.Tensor]:
    """Microseconds of a run, by the clock: a session captures a graph over one set of inputs only.
    And the result for the first set."""
    try:
        import onnx
        import onnxruntime
        from onnx import helper
    except ImportError as error:
        raise NotRunError(f"{error.name} is not installed") from None
    provider = "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise NotRunError(f"onnxruntime {onnxruntime.__version__} was built without CUDA")
    onnx_types = {
        torch.float16: onnx.TensorProto.FLOAT16,
        torch.bfloat16: onnx.TensorProto.BFLOAT16,
        torch.float32: onnx.TensorProto.FLOAT,
    }
    element = onnx_types[job.kind.dtype]
    given = _present(job.sets[0])
    inputs = [helper.make_tensor_value_info(n, element, tuple(t.shape)) for n, t in given]
    shape = (job.case.batch, job.case.out_channels, *job.case.output_size)
    output = helper.make_tensor_value_info("output", element, shape)
    names = ("input", "weight", "offset", "bias", "mask")
    present = {name for name, _ in given}
    node = helper.make_node(
        "DeformConv",
        [name if name in present else "" for name in names],
        ["output"],
        **job.case.attributes(),
    )
    opsets = [helper.make_opsetid("", 22)]
    model = helper.make_model(
        helper.make_graph([node], "layer", inputs, [output]), opset_imports=opsets, ir_version=10
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {"use_tf32": str(int(job.kind.options.allow_tf32))}
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=[(provider, settings)]
    )
    results, bindings = [], []
    for tensors in job.sets:
        binding = session.io_binding()
        result = torch.full(shape, torch.nan, dtype=job.kind.dtype, device="cuda")
        for name, tensor in _present(tensors):
            binding.bind_input(name, "cuda", 0, element, tuple(tensor.shape), tensor.data_ptr())
        binding.bind_output("output", "cuda", 0, element, shape, result.data_ptr())
        results.append(result)
        bindings.append(binding)
    torch.cuda.synchronize()
    for binding in bindings:
        session.run_with_iobinding(binding)

    def us() -> float:
        torch.cuda.synchronize()
        began = time.perf_counter()
        for i in range(_RUNS):
            session.run_with_iobinding(bindings[i % len(bindings)])
        torch.cuda.synchronize()
        return (time.perf_counter() - began) * 1e6 / _RUNS

    return us, results[0]


def tensorrt_rtx(job: Job) -> tuple[Callable[[], float], torch.Tensor]:
    """An engine that is our plugin's node and nothing else, in a captured graph."""
    try:
        import numpy as np
        import tensorrt_rtx as trt
    except ImportError as error:
        raise NotRunError(f"{error.name} is not installed") from None
    from dcn_deploy._native import find_library

    plugin = find_library("tensorrt")
    if plugin is None:
        raise NotRunError("dcn_deploy's TensorRT plugin is not installed")

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    logger = Logger()

    def require(value: Any, what: str) -> Any:
        if not value:
            raise NotRunError(f"TensorRT-RTX: {what}: {' | '.join(logger.errors[-3:])}")
        return value

    registry = trt.get_plugin_registry()
    require(registry.load_library(str(plugin)) is not None, "the plugin was not loaded")
    creator = registry.get_creator("DeformConv2d", "1", "dcn_deploy")
    fields = [
        trt.PluginField(name, np.array(value, np.int32).reshape(-1), trt.PluginFieldType.INT32)
        for name, value in job.case.attributes().items()
    ]
    build = trt.TensorRTPhase.BUILD
    node = creator.create_plugin("layer", trt.PluginFieldCollection(fields), build)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    element = {
        torch.float16: trt.float16,
        torch.bfloat16: trt.bfloat16,
        torch.float32: trt.float32,
    }[job.kind.dtype]
    given = _present(job.sets[0])
    tensors = []
    for name, tensor in given:
        if name == "weight":  # a constant, as in models: packed once
            held = tensor.float().cpu().numpy()
            constant = network.add_constant(tuple(tensor.shape), trt.Weights(held)).get_output(0)
            tensors.append(network.add_cast(constant, element).get_output(0))
        else:
            tensors.append(network.add_input(name, element, tuple(tensor.shape)))
    result = network.add_plugin_v3(tensors, [], require(node, "no plugin")).get_output(0)
    result.name = "output"
    network.mark_output(result)
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    engine = trt.Runtime(logger).deserialize_cuda_engine(require(plan, "no engine was built"))
    context = require(engine, "the engine was not loaded").create_execution_context()
    shape = (job.case.batch, job.case.out_channels, *job.case.output_size)
    results = [torch.empty(shape, dtype=job.kind.dtype, device="cuda") for _ in job.sets]

    def one(inputs: Inputs, output: torch.Tensor) -> Callable[[], Any]:
        def run() -> None:
            for name, tensor in _present(inputs):
                if name != "weight":
                    context.set_tensor_address(name, tensor.data_ptr())
            context.set_tensor_address("output", output.data_ptr())
            require(context.execute_async_v3(job.stream), "it did not run")

        return run

    replay = Replay([one(*pair) for pair in zip(job.sets, results, strict=True)])
    return replay.us, results[0]


def _present(inputs: Inputs) -> list[tuple[str, torch.Tensor]]:
    return [(name, tensor) for name, tensor in vars(inputs).items() if tensor is not None]
