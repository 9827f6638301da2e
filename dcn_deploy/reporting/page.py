"""The page: its data in the shape that the template wants, and the template filled in."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image

from ..availability import version_of
from ..benchmarking import BenchReport
from ..inspection import ModelReport
from ..sampling.colours import mask_colour
from ..sampling.pictures import Picture
from ..sampling.points import Sampling
from ..verification import VerificationReport
from ..verification.offsets import HALF_DTYPES
from .bars import latencies
from .drawing import drawing
from .histograms import HEIGHT, WIDTH, axis_labels, histograms

_JPEG_QUALITY = 82
_PACKAGES = ("dcn_deploy", "torch", "onnxruntime")
_SCALE_STEPS = 12


@dataclass(frozen=True)
class Page:
    """Everything that is on it."""

    model: ModelReport
    verification: VerificationReport
    bench: BenchReport
    drawn: Sequence[tuple[Picture, Sequence[Sampling]]]


def render(page: Page) -> str:
    """The HTML."""
    nodes = page.model.nodes
    steps = [step / (_SCALE_STEPS - 1) for step in range(_SCALE_STEPS)]
    return _template().render(
        model=page.model,
        nodes=nodes,
        fixes=dict.fromkeys(v.fix for node in nodes for v in node.targets if v.fix),
        verification=page.verification,
        half_dtypes=HALF_DTYPES,
        histograms=histograms(page.verification),
        axis={"width": WIDTH, "height": HEIGHT, "labels": axis_labels()},
        bench=page.bench,
        latencies=latencies(page.bench),
        pictures=[_picture(picture, points) for picture, points in page.drawn],
        scale=", ".join(mask_colour(step) for step in steps),
        versions={name: version_of(name) for name in _PACKAGES},
    )


def _picture(picture: Picture, points: Sequence[Sampling]) -> dict[str, Any]:
    height, width = picture.pixels.shape[:2]
    return {
        "name": picture.name,
        "width": width,
        "height": height,
        "jpeg": _jpeg(picture),
        "drawings": [drawing(sampling, width, height) for sampling in points],
    }


def _jpeg(picture: Picture) -> str:
    """As a data URL; dimmed, as it lies under the arrows."""
    buffer = io.BytesIO()
    Image.fromarray(picture.dimmed).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("dcn_deploy.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sizes": _sizes, "value": _value, "count": _count}
    return environment.get_template("report.html")


def _sizes(shape: Sequence[object] | None) -> str:
    """Sizes and names; a size that is a formula of others is only a question mark here."""
    if shape is None:
        return "unknown"
    known = ["?" if isinstance(dim, str) and not dim.isidentifier() else dim for dim in shape]
    return "x".join("?" if dim is None else str(dim) for dim in known)


def _value(value: object) -> str:
    if isinstance(value, list):
        return ("x" if len(value) == 2 else ", ").join(map(str, value))
    return str(value)


def _count(operations: int | None) -> str:
    """Floating-point operations in a unit that leaves few digits."""
    if operations is None:
        return "unknown"
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if operations >= size:
            return f"{operations / size:.3g} {unit}FLOP"
    return f"{operations} FLOP"
