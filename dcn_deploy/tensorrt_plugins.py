"""Which TensorRT plugin would run a deformable node, by what is known of TensorRT's parsers.

Nothing here looks at the machine. Parsers ask for a plugin by the node's plugin_namespace first
from TensorRT 10.15 and TensorRT-RTX 1.7 on; older ones expand a function body before they look for
a plugin. TensorRT >= 10.1 imports the standard operator into NVIDIA's ModulatedDeformConv2d, which
has no bfloat16, refuses unequal pads at the two ends of a direction, and takes height for width.
``dcn-deploy build`` hands every parser nodes that only our plugin answers to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .availability import Verdict
from .onnx_graph import Form

RTX = "TensorRT-RTX + dcn_deploy"
NEWER = "TensorRT >= 10.1 + dcn_deploy"
OLDER = "TensorRT < 10.1 + dcn_deploy"
NEWER_ALONE = "TensorRT >= 10.1 alone"
OTHERS_ALONE = "TensorRT-RTX, TensorRT < 10.1 alone"

_OURS = "our plugin"
_BUILD = "our plugin through dcn-deploy build"
_DETOUR = {
    "portable": f"{_OURS}; before 10.15 through dcn-deploy build only: those parsers would expand "
    "the function body into NVIDIA's plugin",
    "standard": f"{_BUILD}; a parser by itself takes NVIDIA's plugin, unless it is told "
    "ENABLE_PLUGIN_OVERRIDE (from 10.15 on)",
}


def plugin_verdicts(
    form: Form,
    dtype: str | None,
    attributes: Mapping[str, Any],
    *,
    mask_without_bias: bool,
    invalid: str = "",
) -> tuple[Verdict, ...]:
    """Which plugin runs a node in each TensorRT, or why none does.

    Args:
        form: the node's
        dtype: of its data; None if unknown
        attributes: by the contract's names
        mask_without_bias: whether it has a mask and no bias
        invalid: why no runtime accepts it; empty if it is valid
    """
    if form == "foreign" or invalid:
        reason = invalid or "another project's operator: build the layer with dcn_deploy"
        names = (RTX, NEWER, OLDER, NEWER_ALONE, OTHERS_ALONE)
        return tuple(Verdict(name, False, reason) for name in names)
    ours = _OURS
    if mask_without_bias:  # it adds the bias
        ours = f"{_BUILD}; a parser by itself fails on the gap before the mask"
    if dtype == "float64":
        ours += ", in float32: TensorRT has no float64"
    newer = ours if mask_without_bias or form == "custom" else _DETOUR[form]
    problem = _nvidia_problem(form, dtype, attributes, mask_without_bias)
    alone = "NVIDIA's plugin" + (", which adds up in float16" if dtype == "float16" else "")
    return (
        Verdict(RTX, True, ours),
        Verdict(NEWER, True, newer),
        Verdict(OLDER, True, ours),
        Verdict(NEWER_ALONE, not problem, problem or alone),
        Verdict(OTHERS_ALONE, False, "they have no plugin for it"),
    )


def _nvidia_problem(
    form: Form, dtype: str | None, attributes: Mapping[str, Any], mask_without_bias: bool
) -> str:
    if form == "custom":
        return "only our plugin answers to the node"
    if mask_without_bias:
        return "its parser fails on the gap before the mask"
    if dtype not in (None, "float32", "float16"):
        return f"NVIDIA's plugin has no {dtype}"
    pads = list(attributes["pads"])
    if pads[: len(pads) // 2] != pads[len(pads) // 2 :]:
        return f"NVIDIA's plugin refuses pads {pads}: unequal at the two ends"
    for name in ("strides", "pads", "dilations"):
        height, width = attributes[name][:2]
        if height != width:
            return f"NVIDIA's plugin gives wrong results: it takes the height of {name} for width"
    return ""
