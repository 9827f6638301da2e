"""Which functions are deformable convolutions, and ours that takes the place of each.

The libraries call theirs as an ``autograd.Function`` around a compiled kernel. What such a function
computes follows from the names of its parameters, which all of them share: mmcv (``deform_conv2d``,
``modulated_deform_conv2d``), detectron2 and its predecessors (``deform_conv``,
``modulated_deform_conv``), the forks of DCNv2 (``dcn_v2_conv``). So none of them is imported here.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd import Function

from ..ops import deform_conv2d, deform_conv2d_of_groups

_CONVOLUTION = re.compile(r"dcn|deform\w*conv", re.IGNORECASE)
_OTHER = re.compile(r"pool|3d", re.IGNORECASE)

# Their parameters, by the names of ours. im2col_step only says how many images are worked on at a
# time.
_MEANING = {
    **{name: name for name in ("input", "offset", "mask", "weight", "bias")},
    **{name: name for name in ("stride", "padding", "dilation", "groups")},
    "x": "input",
    "group": "groups",
    "deform_groups": "offset_groups",
    "deformable_groups": "offset_groups",
    "deformable_group": "offset_groups",
    "offset_groups": "offset_groups",
    "im2col_step": "",
}
_REQUIRED = {"input", "offset", "weight", "stride", "padding", "dilation"}


@dataclass(frozen=True)
class Known:
    """A library's deformable convolution."""

    name: str
    """With its module."""
    ours: Callable[..., Any]
    """Takes the same arguments."""


@dataclass(frozen=True)
class Refusal:
    """A function that is a deformable convolution by its name, but none that is known."""

    name: str
    reason: str


@dataclass(frozen=True)
class AutogradReplacement:
    """Ours, called as a library's autograd function or its ``apply`` is.

    Like mmcv's, it computes in offset's dtype whatever the others have: autocast makes the
    convolution that learns the offsets half, and the rest not.
    """

    name: str
    parameters: tuple[str, ...]
    defaults: tuple[tuple[str, Any], ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        if len(args) > len(self.parameters):
            raise TypeError(
                f"{self.name}: {len(args)} arguments, expected {', '.join(self.parameters)}"
            )
        given = dict(self.defaults)
        given.update(zip(self.parameters, args, strict=False))
        given.update(kwargs)
        missing = [name for name in self.parameters if name not in given]
        if missing or len(given) > len(self.parameters):
            raise TypeError(
                f"{self.name}: given {', '.join(given)}, expected {', '.join(self.parameters)}"
            )
        ours = {_MEANING[name]: value for name, value in given.items()}
        bias = ours.get("bias")
        if isinstance(bias, bool):  # of mmcv's first version, which takes no other than False
            if bias:
                raise ValueError(f"{self.name}: bias is True, expected False: it has no tensor")
            bias = None
        offset, mask = ours["offset"], ours.get("mask")
        return deform_conv2d_of_groups(
            _like(offset, ours["input"]),
            offset,
            _like(offset, ours["weight"]),
            None if bias is None else _like(offset, bias),
            ours["stride"],
            ours["padding"],
            ours["dilation"],
            None if mask is None else _like(offset, mask),
            groups=ours.get("groups", 1),
            offset_groups=ours.get("offset_groups", 1),
        )

    def apply(self, *args: Any, **kwargs: Any) -> Tensor:
        """The same: code that names the class calls its ``apply``."""
        return self(*args, **kwargs)


def _like(offset: Tensor, tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == offset.dtype else tensor.to(offset.dtype)


def recognise(value: Any) -> Known | Refusal | None:
    """Whether anything at all is a deformable convolution.

    Args:
        value: perhaps a function, the ``apply`` of an autograd function, or that function's class
    """
    if isinstance(value, types.FunctionType):
        return _torchvision(value)
    function = value.__self__ if _is_apply(value) else value
    if isinstance(function, types.BuiltinFunctionType):
        return _compiled(function)
    if isinstance(function, type) and issubclass(function, Function):
        return _autograd(function)
    return None


def _is_convolution(name: str) -> bool:
    return bool(_CONVOLUTION.search(name)) and not _OTHER.search(name)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _torchvision(function: types.FunctionType) -> Known | Refusal | None:
    package = str(function.__module__).partition(".")[0]
    if (package, function.__name__) != ("torchvision", "deform_conv2d"):
        return None
    theirs, ours = (list(inspect.signature(f).parameters) for f in (function, deform_conv2d))
    if theirs == ours:
        return Known(_name(function), deform_conv2d)
    return Refusal(_name(function), f"it takes ({', '.join(theirs)}), expected ({', '.join(ours)})")


def _compiled(function: types.BuiltinFunctionType) -> Refusal | None:
    module = function.__module__ or ""
    if not _is_convolution(function.__name__) or module.split(".")[0] == "torch":
        return None
    name = f"{module}.{function.__name__}" if module else function.__name__
    return Refusal(name, "it is compiled, and the order of its arguments is not to be seen")


def _is_apply(value: Any) -> bool:
    """Of an autograd function: a method before torch 2.14, and built in since."""
    if isinstance(value, types.MethodType):
        return value.__func__ is getattr(Function.apply, "__func__", None)
    built_in = isinstance(value, types.BuiltinFunctionType) and value.__name__ == "apply"
    return built_in and isinstance(value.__self__, type) and issubclass(value.__self__, Function)


def _autograd(function: type[Function]) -> Known | Refusal | None:
    if not _is_convolution(function.__name__):
        return None
    name = _name(function)
    if not isinstance(inspect.getattr_static(function, "forward", None), staticmethod):
        return Refusal(name, "its forward is not static, which torch itself no longer runs")
    parameters = list(inspect.signature(function.forward).parameters.values())
    if function.setup_context is Function.setup_context:
        parameters = parameters[1:]  # the first is the context
    names = [parameter.name for parameter in parameters]
    meanings = [_MEANING.get(name) for name in names]
    known = [meaning for meaning in meanings if meaning]
    if None in meanings or len(known) != len(set(known)) or not _REQUIRED.issubset(known):
        return Refusal(
            name,
            f"it takes ({', '.join(names)}), expected input, offset, mask, weight, bias, stride, "
            "padding, dilation, groups and deform_groups, or some of them: which convolution it "
            "computes is not to be seen",
        )
    defaults = tuple((p.name, p.default) for p in parameters if p.default is not p.empty)
    return Known(name, AutogradReplacement(name, tuple(names), defaults))
