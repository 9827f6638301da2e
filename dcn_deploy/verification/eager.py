"""The eager side: the PyTorch model itself, its deformable convolutions watched as they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ..contract import contract
from ..ops import from_torchvision, onnx_attributes
from .observation import NodeRun, Observation

_OUR_OP = "dcn_deploy::deform_conv2d"
_TORCHVISION_OP = "torchvision::deform_conv2d"


def _snapshot(tensor: Tensor) -> Tensor:
    """A copy that a later in-place operation of the model does not change."""
    return tensor.detach().cpu().clone()


def _our_arguments(given: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(given.values())[len(contract().inputs) :]


def _torchvision_arguments(given: Mapping[str, Any]) -> tuple[Any, ...]:
    names = [name for name in given if name not in contract().inputs and name != "use_mask"]
    return from_torchvision(*(given[name] for name in names))


class _Recorder(TorchDispatchMode):
    """Notes every deformable convolution that runs under it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: list[NodeRun] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        schema = func._schema
        if schema.name in (_OUR_OP, _TORCHVISION_OP):
            names = [argument.name for argument in schema.arguments]
            given = {argument.name: argument.default_value for argument in schema.arguments}
            given |= dict(zip(names, args, strict=False)) | (kwargs or {})
            self._note(schema.name, given, result)
        return result

    def _note(self, op: str, given: Mapping[str, Any], output: Tensor) -> None:
        inputs = {
            name: _snapshot(given[name]) for name in contract().inputs if given[name] is not None
        }
        # torchvision's op always gets a mask; without use_mask it is an empty placeholder.
        if op == _TORCHVISION_OP and not given["use_mask"]:
            inputs.pop("mask", None)
        arguments = _our_arguments if op == _OUR_OP else _torchvision_arguments
        attributes = onnx_attributes(inputs["weight"], *arguments(given))
        self.nodes.append(
            NodeRun(f"{op} #{len(self.nodes)}", inputs, _snapshot(output), attributes)
        )


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order, as the exporters find them."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextmanager
def _inference_mode_of(model: Callable[..., Any]) -> Iterator[None]:
    """The model as it is deployed: no dropout, no batch statistics, no gradients."""
    modules = list(model.modules()) if isinstance(model, torch.nn.Module) else []
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


class EagerSide:
    """Runs a module or function on tensors that take the places of those in its arguments.

    Args:
        model: the module or function
        args: what it is called with
        kwargs: what it is called with by name
        places: which of the tensors in them are replaced; default: each, in order
    """

    def __init__(
        self,
        model: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        places: Sequence[int] | None = None,
    ) -> None:
        self._model = model
        self._leaves, self._structure = pytree.tree_flatten((args, dict(kwargs)))
        tensors = [i for i, leaf in enumerate(self._leaves) if isinstance(leaf, Tensor)]
        self._replaced = tensors if places is None else [tensors[place] for place in places]
        self.name = f"eager {getattr(model, '__name__', type(model).__name__)}"

    def run(self, tensors: Sequence[Tensor]) -> Observation:
        """Run the model; its outputs are the tensors in what it returns, in order."""
        leaves = list(self._leaves)
        for index, tensor in zip(self._replaced, tensors, strict=True):
            leaves[index] = tensor.to(leaves[index].device)
        # A model may change its inputs in place.
        leaves = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        with _inference_mode_of(self._model), _Recorder() as recorder:
            args, kwargs = pytree.tree_unflatten(leaves, self._structure)
            result = self._model(*args, **kwargs)
        return Observation([tensor.cpu() for tensor in tensors_in(result)], recorder.nodes)
