"""``dcn-deploy build``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from ..building import BuildReport
from ..building import build as build_model
from ..errors import RunError
from ..inspection import TensorReport, inspect_model
from ..model_inputs import InputError, shape_text
from ..precision import Precision, PrecisionError, PrecisionReport
from ..runtimes.tensorrt import BuildError, tensorrt_plugin_library
from ..runtimes.tensorrt.host import PACKAGES, host
from ..runtimes.tensorrt.loading import Loading, loading_lines
from ..runtimes.tensorrt.profiles import Profile, complete_profiles
from ..verification import VerificationError
from .inputs import InputOption, SeedOption, gather
from .inspect import ModelArgument
from .output import JsonOption, by, console, emit, errors, megabytes

_MEGABYTE = 2**20


def build(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The engine; otherwise model.engine.", show_default=False
        ),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Smallest, usual and largest size of an input with dynamic sizes: "
            "x=1x3x224x224:8x3x512x512:16x3x1024x1024, or one size. Repeat it for other inputs.",
            show_default=False,
        ),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Compute in float16.")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16.")] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="A node that stays float32 in half precision. Offsets, masks and what computes "
            "them always do. Repeat it for more.",
            show_default=False,
        ),
    ] = None,
    inputs: InputOption = None,
    seed: SeedOption = 0,
    tf32: Annotated[
        bool, typer.Option("--tf32", help="Let float32 layers use TF32: faster, 1e-3.")
    ] = False,
    workspace: Annotated[
        int | None,
        typer.Option(min=0, help="MiB that layers may use; otherwise all.", show_default=False),
    ] = None,
    plugin_in_engine: Annotated[
        bool, typer.Option(help="Put the plugin into the engine: one file to ship.")
    ] = True,
    package: Annotated[
        str | None,
        typer.Option(
            help=f"{' or '.join(PACKAGES)}; otherwise the first that is installed.",
            show_default=False,
        ),
    ] = None,
    show_loading: Annotated[
        bool,
        typer.Option(
            "--show-loading",
            help="Print how trtexec, Triton and C++ build and load it, and build nothing.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Build a TensorRT engine from an ONNX file, its deformable convolutions in our plugin.

    With --fp16 or --bf16 a typed model is written first and compared with the original, in
    onnxruntime, on the inputs given or on random ones of the usual size. TensorRT-RTX needs no GPU
    to build. Exit code 1 if it cannot be built, or computes something else in half precision.

    Example: dcn-deploy build model.onnx --fp16 --profile image=1x3x64x64:4x3x64x64:8x3x512x512
    """
    if fp16 and bf16:
        raise InputError("--fp16 and --bf16: give one of them")
    precision: Precision | None = "float16" if fp16 else "bfloat16" if bf16 else None
    if keep and precision is None:
        raise InputError("--keep is for --fp16 and --bf16")
    if package is not None and package not in PACKAGES:
        raise InputError(f"--package {package}: expected {' or '.join(PACKAGES)}")
    file = inspect_model(model)
    profiles = complete_profiles(_profile(profile or [], file.inputs), file.inputs)
    engine = output or model.with_suffix(".engine")
    if engine.is_dir():
        raise InputError(f"--output {engine}: is a folder; give the name of a file")
    if show_loading:
        ways = loading_lines(
            model,
            engine,
            tensorrt_plugin_library(),
            profiles,
            plugin_in_engine=plugin_in_engine,
            tf32=tf32,
            standard_form=any(node.form == "standard" for node in file.nodes),
        )
        _show(ways, as_json)
        return
    host(package)  # before any work: TensorRT may not be here
    tensors = None
    if precision is not None:
        usual = [f"{name}={by(sizes[1])}" for p in profiles[:1] for name, sizes in p.items()]
        tensors = tuple(
            gather(file.inputs, files=inputs, random=True, sizes=usual, seed=seed).values()
        )
    with errors.status("reading the model") as status:
        try:
            report = build_model(
                model,
                engine,
                precision=precision,
                keep=keep or (),
                args=tensors,
                profiles=profiles,
                plugin_in_engine=plugin_in_engine,
                tf32=tf32,
                workspace=None if workspace is None else workspace * _MEGABYTE,
                package=package,
                progress=status.update,
            )
        except (BuildError, PrecisionError, VerificationError) as error:
            raise RunError(str(error)) from error
        except OSError as error:
            raise InputError(f"--output {engine}: cannot be written: {error.strerror}") from error
    emit(_render(report), report.to_dict(), as_json=as_json)


def _profile(values: Sequence[str], specs: Sequence[TensorReport]) -> dict[str, Any]:
    """name=small:usual:large, or one size; without a name for the inputs in order."""
    names = [spec.name for spec in specs]
    profile: dict[str, Any] = {}
    for value in values:
        name, separator, text = value.rpartition("=")
        if not separator:
            free = [name for name in names if name not in profile]
            if not free:
                raise InputError(f"--profile {value}: the model takes only {', '.join(names)}")
            name = free[0]
        sizes = [part.split("x") for part in text.split(":")]
        if len(sizes) not in (1, 3) or not all(n.isdecimal() for size in sizes for n in size):
            raise InputError(
                f"--profile {value}: expected one size or three, like 1x3x64x64:4x3x64x64:8x3x64x64"
            )
        numbers = [tuple(map(int, size)) for size in sizes]
        profile[name] = numbers * 3 if len(numbers) == 1 else numbers
    return profile


def _render(report: BuildReport) -> RenderableType:
    engine = report.engine
    parts: list[RenderableType] = [
        Text.assemble(
            (engine.path, "bold"), f", {megabytes(engine.bytes)}, built by {engine.tensorrt}"
        )
    ]
    for title, tensors in (("inputs ", engine.inputs), ("outputs", engine.outputs)):
        described = ", ".join(f"{t.name} {t.dtype} {shape_text(t.shape)}" for t in tensors)
        parts.append(Text(f"{title}  {described}"))
    parts += [Text(f"profile  {_ranges(profile)}") for profile in engine.profiles]
    nodes = ", ".join(engine.nodes) or "none"
    carried = "the engine carries it" if engine.plugin_in_engine else "to be loaded beside it"
    parts.append(Text(f"in this project's plugin ({carried}): {nodes}"))
    if report.precision is not None:
        parts.append(Text(_precision(report.precision)))
    if report.verification is not None:
        parts.append(Text(report.verification.summary, "green"))
    parts += [Text(f"TensorRT warns: {text}", "yellow") for text in engine.warnings]
    return Group(*parts)


def _ranges(profile: Profile) -> str:
    return ", ".join(f"{name} {' … '.join(map(by, sizes))}" for name, sizes in profile.items())


def _precision(report: PrecisionReport) -> str:
    reasons: dict[str, list[str]] = {}
    for name, reason in report.kept.items():
        reasons.setdefault(reason, []).append(name)
    kept = "".join(f"\n  {reason}: {', '.join(names)}" for reason, names in reasons.items())
    return f"{len(report.lowered)} nodes in {report.dtype}, {len(report.kept)} in float32{kept}"


def _show(ways: Sequence[Loading], as_json: bool) -> None:
    """Lines to copy: they are not wrapped."""
    if as_json:
        print(json.dumps([asdict(way) for way in ways], indent=2))
        return
    for way in ways:
        console.print(Text(way.title, "bold"))
        for line in way.lines:
            console.print(Text(f"  {line}"), soft_wrap=True)
        if way.note:
            console.print(Text(f"  {way.note}", "dim"), soft_wrap=True)
