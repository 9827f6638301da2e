"""Building an engine from an ONNX file, its deformable convolutions in this project's plugin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from ...exporting.files import staging
from ...exporting.forms import to_form
from ...inspection import ModelReport, TensorReport, inspect_model
from ...onnx_graph import deformable_nodes, is_constant, load
from .failure import PLUGIN_WORDS, BuildError, builder_failure, parser_failure, refused_node
from .host import DTYPES, WARNING, Host, Message, gpu_problem, host
from .plugin import register, tensorrt_plugin_library
from .profiles import Profile, complete_profiles

_PLUGIN_LAYERS = ("PLUGIN_V3", "PLUGIN")
# plugins/tensorrt/attributes.h
_CONSTANT_WEIGHT = "constant_weight"


@dataclass(frozen=True)
class EngineReport:
    """What was built."""

    path: str
    bytes: int
    tensorrt: str
    """ "tensorrt_rtx 1.7.1.116"."""
    inputs: tuple[TensorReport, ...]
    outputs: tuple[TensorReport, ...]
    profiles: tuple[Profile, ...]
    """For each optimisation profile and input: smallest, usual and largest size."""
    nodes: tuple[str, ...]
    """The deformable convolutions, all of them in this project's plugin."""
    plugin_in_engine: bool
    """Whether the engine carries the plugin's library."""
    tf32: bool
    warnings: tuple[str, ...]
    plugin_calls: tuple[str, ...]
    """What TensorRT asked the plugin, in order: for those who look for a fault."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def build_engine(
    onnx_path: str | os.PathLike[str],
    engine_path: str | os.PathLike[str],
    *,
    profiles: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    plugin_in_engine: bool = True,
    tf32: bool = False,
    workspace: int | None = None,
    package: str | None = None,
    progress: Callable[[str], None] = lambda phase: None,
) -> EngineReport:
    """Build a TensorRT engine from an ONNX file in any form.

    The types in the file are the types that the engine computes in: for half precision, write a
    typed file first (``dcn_deploy.to_precision``). TensorRT-RTX builds on any machine, TensorRT on
    the GPU that the engine is for. ``engine_path`` holds the new engine only once it is complete.

    Args:
        onnx_path: the model
        engine_path: the file to write
        profiles: for each input with dynamic sizes three sizes, smallest, usual and largest, or
            one; a list of such mappings makes an engine with several profiles
        plugin_in_engine: put the plugin's library into the engine, so that whoever loads it needs
            nothing else; they must allow code in it (``engine_host_code_allowed``)
        tf32: let float32 matrix products and convolutions use TF32, whose fractions have 10 bits
        workspace: bytes of GPU memory that layers may use beside their tensors; default: all
        package: "tensorrt" or "tensorrt_rtx"; default: the first of these that is installed
        progress: called with the name of each phase as it starts

    Raises:
        ImportError: no TensorRT is installed, or dcn_deploy was built without the plugin.
        ModelFileError: ``onnx_path`` is not an ONNX model.
        InputError: ``profiles`` do not fit the model's inputs.
        BuildError: the engine cannot be built; the message names the node and the reason.
        OSError: the engine cannot be written.
    """
    path = Path(engine_path)
    if path.is_dir():
        raise IsADirectoryError(f"engine_path {path} is a folder, expected a file, model.engine")
    file = inspect_model(onnx_path)
    complete = complete_profiles(profiles, file.inputs)
    installed = host(package)
    if not installed.is_rtx and (problem := gpu_problem()):
        raise BuildError(
            f"{installed.name} builds on the GPU that the engine is for, and {problem}; build "
            "there, or with tensorrt-rtx, which needs no GPU to build"
        )
    progress("reading the model")
    serialized, names = _own_form(file)
    with installed.collected() as messages:
        trt = installed.trt
        builder = trt.Builder(installed.logger)
        # The builder's own registry leaves the process's as it is: an engine that carries the
        # plugin does not load where the plugin is known already.
        register(installed, builder.get_plugin_registry(), messages)
        network = builder.create_network(_network_flags(trt))
        progress("parsing")
        _parse(installed, network, serialized, file, messages)
        _require_plugin(network, names, file)
        config = builder.create_builder_config()
        _configure(trt, config, tf32, workspace, plugin_in_engine)
        for profile in complete:
            config.add_optimization_profile(_trt_profile(builder, profile))
        monitor = _monitor(trt, progress)  # must live as long as the build
        config.progress_monitor = monitor
        progress("building")
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise builder_failure(file.path, installed.name, messages)
        heard = list(messages)
    with staging(path) as folder:
        staged = folder / path.name
        staged.write_bytes(engine)
        os.replace(staged, path)
    return EngineReport(
        path=str(path),
        bytes=path.stat().st_size,
        tensorrt=installed.name,
        inputs=_described([network.get_input(i) for i in range(network.num_inputs)], file.inputs),
        outputs=_described(
            [network.get_output(i) for i in range(network.num_outputs)], file.outputs
        ),
        profiles=tuple(complete),
        nodes=tuple(names),
        plugin_in_engine=plugin_in_engine,
        tf32=tf32,
        warnings=tuple(
            dict.fromkeys([*_narrowed(file), *(m.text for m in heard if m.severity == WARNING)])
        ),
        plugin_calls=tuple(m.text for m in heard if m.text.startswith(PLUGIN_WORDS)),
    )


def _own_form(file: ModelReport) -> tuple[bytes, list[str]]:
    """The model with every deformable convolution as our node, and the names of those.

    Any parser sends our node to our plugin, by the node's plugin_namespace. It would send the
    standard operator to NVIDIA's where there is one, which takes height for width.

    A constant weight is called so: the plugin then packs it once for an execution context. That is
    said here and not in exported files, because it must hold: other tools may refit an engine's
    weights, this builder makes none that allows it.
    """
    for node in file.nodes:
        if node.form == "foreign" or not node.valid:
            raise refused_node(file.path, node)
    model = load(file.path)
    to_form(model, "custom")
    entries = [entry for entry in deformable_nodes(model) if entry.form != "foreign"]
    for entry in entries:
        if not entry.node.name:
            entry.node.name = entry.output.name
        if is_constant(entry.inputs["weight"]):
            entry.node.attributes[_CONSTANT_WEIGHT] = ir.AttrInt64(_CONSTANT_WEIGHT, 1)
    serialized: bytes = ir.to_proto(model).SerializeToString()
    return serialized, [str(entry.node.name) for entry in entries]


def _network_flags(trt: Any) -> int:
    """Strongly typed, which TensorRT 10 has to be asked for."""
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if strongly_typed is None else 1 << int(strongly_typed)


def _parse(
    installed: Host, network: Any, serialized: bytes, file: ModelReport, messages: list[Message]
) -> None:
    parser = installed.trt.OnnxParser(network, installed.logger)
    # The path says where weights in a second file are.
    if not parser.parse(serialized, os.path.abspath(file.path)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise parser_failure(file.path, installed.name, errors, messages)


def _require_plugin(network: Any, names: Sequence[str], file: ModelReport) -> None:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    plugins = {layer.name for layer in layers if layer.type.name in _PLUGIN_LAYERS}
    for name in names:
        if name not in plugins:
            raise BuildError(
                f"{file.path}: node {name!r} did not become a layer of this project's plugin"
            )


def _configure(
    trt: Any, config: Any, tf32: bool, workspace: int | None, plugin_in_engine: bool
) -> None:
    (config.set_flag if tf32 else config.clear_flag)(trt.BuilderFlag.TF32)
    if workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    if plugin_in_engine:
        config.plugins_to_serialize = [str(tensorrt_plugin_library())]


def _trt_profile(builder: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    for name, sizes in profile.items():
        made.set_shape(name, *sizes)
    return made


def _monitor(trt: Any, progress: Callable[[str], None]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            progress(f"building: {name}")

        def phase_finish(self, name: str) -> None:
            pass

        def step_complete(self, name: str, step: int) -> bool:
            return True

    return Monitor()


def _described(tensors: Sequence[Any], file: Sequence[TensorReport]) -> tuple[TensorReport, ...]:
    """As TensorRT has them, and the file's words for the sizes that it does not know."""
    by_name = {tensor.name: tensor for tensor in tensors}
    reports = []
    for report in file:
        tensor = by_name[report.name]
        known = tuple(tensor.shape)
        words = report.shape if report.shape is not None else (None,) * len(known)
        shape = tuple(k if k >= 0 else word for k, word in zip(known, words, strict=True))
        dtype = DTYPES.get(tensor.dtype.name, tensor.dtype.name.lower())
        reports.append(TensorReport(report.name, dtype, shape))
    return tuple(reports)


def _narrowed(file: ModelReport) -> list[str]:
    """What TensorRT does without a word."""
    if not any(node.dtype == "float64" for node in file.nodes):
        return []
    return ["it has no float64: the model's is computed in float32"]
