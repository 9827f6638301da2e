"""How other programs build and load an engine with this project's plugin, line by line.

The library makes its creators known through TensorRT's plugin registry, which loads it by path.
Programs that only open a library (Triton's ``plugins=``, ``LD_PRELOAD``, trtexec's
``--staticPlugins``) do not reach them: there the engine has to carry the plugin.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .profiles import Profile

_OVERRIDE_NOTE = (
    " Versions without --enablePluginOverride run NVIDIA's plugin, which takes height for width: "
    "export the model in portable form."
)


@dataclass(frozen=True)
class Loading:
    """One program's way."""

    title: str
    lines: tuple[str, ...]
    note: str = ""


def loading_lines(
    onnx_path: str | os.PathLike[str],
    engine_path: str | os.PathLike[str],
    library: Path,
    profiles: Sequence[Profile] = (),
    *,
    plugin_in_engine: bool = True,
    tf32: bool = False,
    standard_form: bool = False,
) -> list[Loading]:
    """What to type, or write, to build and load the engine elsewhere.

    Args:
        onnx_path: the model
        engine_path: the engine
        library: the plugin's, on the machine where the lines are used
        profiles: as ``build_engine`` completes them; trtexec takes the first
        plugin_in_engine: whether the engine carries, or is to carry, the plugin
        tf32: as for ``build_engine``
        standard_form: whether the model has standard DeformConv nodes, which TensorRT >= 10.1 gives
            to NVIDIA's plugin unless it is told otherwise
    """
    onnx, engine, plugin = (
        shlex.quote(os.fspath(path)) for path in (onnx_path, engine_path, library)
    )
    build = [f"--onnx={onnx}", f"--saveEngine={engine}", *_shapes(profiles)]
    build += [] if tf32 else ["--noTF32"]
    build += [f"--dynamicPlugins={plugin}"]
    if plugin_in_engine:  # trtexec would load the plugin twice if it went on to run the engine
        build += [f"--setPluginsToSerialize={plugin}", "--skipInference"]
    build += ["--enablePluginOverride"] if standard_form else []
    load = [f"--loadEngine={engine}"]
    load += [] if plugin_in_engine else [f"--dynamicPlugins={plugin}"]
    literal = f'"{library}"'
    return [
        Loading(
            "trtexec 10.x",
            (_command("trtexec", [*build, "--stronglyTyped"]), _command("trtexec", load)),
            "Without --stronglyTyped it would ignore the types of the model."
            + (_OVERRIDE_NOTE if standard_form else ""),
        ),
        Loading("trtexec 11.x", (_command("trtexec", build), _command("trtexec", load))),
        *_triton(plugin_in_engine),
        Loading(
            "C++, to build",
            (f"builder->getPluginRegistry().loadLibrary({literal});  // before parsing",),
        ),
        Loading(
            "C++, to load",
            (
                "runtime->setEngineHostCodeAllowed(true);  // the engine carries the plugin"
                if plugin_in_engine
                else f"getPluginRegistry()->loadLibrary({literal});  // before deserialising",
            ),
        ),
        Loading(
            "Python",
            (
                "from dcn_deploy.runtimes.tensorrt import TensorRTRunner",
                f'outputs = TensorRTRunner("{os.fspath(engine_path)}").run(inputs)',
            ),
        ),
    ]


def _triton(plugin_in_engine: bool) -> list[Loading]:
    if not plugin_in_engine:
        return []
    return [
        Loading(
            "Triton Inference Server",
            (
                "tritonserver --model-repository=models "
                "--backend-config=tensorrt,version-compatible=true",
            ),
            "The engine is models/NAME/1/model.plan. The option allows code in engines, which the "
            "plugin is; Triton's own plugins= does not register this plugin.",
        )
    ]


def _shapes(profiles: Sequence[Profile]) -> list[str]:
    options = []
    for which, option in enumerate(("--minShapes", "--optShapes", "--maxShapes")):
        sizes = [
            f"{name}:{'x'.join(map(str, size[which]))}"
            for profile in profiles[:1]
            for name, size in profile.items()
        ]
        if sizes:
            options.append(f"{option}={shlex.quote(','.join(sizes))}")
    return options


def _command(program: str, options: Sequence[str]) -> str:
    return " ".join([program, *options])
