"""Models with other libraries' layers compute the same with our op in them."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cases
import pytest
import torch
from exported import EXPORTERS, deformable, run_ours
from foreign_layers import BY_NAME, LAYERS, Foreign
from stand_ins import dcnv2, detectron2, kernel, mmcv
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode

import dcn_deploy
from dcn_deploy import ConversionError, convert, convertible_layers
from dcn_deploy.converting import functions

OURS = "dcn_deploy::deform_conv2d"


def relative_error(actual: Tensor, wanted: Tensor) -> float:
    return cases.relative_error(actual.detach(), wanted.detach())


class _Calls(TorchDispatchMode):
    """How often our op was called."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ours += func._schema.name == OURS
        return func(*args, **(kwargs or {}))


def calls_of_ours(model: Callable[..., Any], *inputs: Any) -> int:
    with _Calls() as calls, torch.no_grad():
        model(*inputs)
    return calls.ours


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("foreign", LAYERS, ids=lambda foreign: foreign.name)
def test_outputs_are_equal(foreign: Foreign, dtype: torch.dtype) -> None:
    layer = foreign.layer(dtype)
    inputs = foreign.inputs(layer)
    converted = convert(layer)
    assert calls_of_ours(layer, *inputs) == 0
    assert calls_of_ours(converted, *inputs) == 1
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    assert relative_error(converted(*inputs), layer(*inputs)) <= tolerance


@pytest.mark.parametrize("foreign", LAYERS, ids=lambda foreign: foreign.name)
def test_it_says_what_it_converts(foreign: Foreign) -> None:
    model = nn.ModuleDict({"neck": nn.ModuleList([nn.Identity(), foreign.layer()])})
    (layer,) = convertible_layers(model)
    assert layer.path == "neck.1"
    assert layer.layer.rsplit(".", 1)[-1] == type(model["neck"][1]).__name__
    assert layer.functions == (foreign.functions,)
    assert str(layer).startswith("neck.1 (")


@pytest.mark.parametrize("foreign", LAYERS, ids=lambda foreign: foreign.name)
def test_checkpoints_load_before_and_after(foreign: Foreign) -> None:
    layer = foreign.layer()
    converted = convert(foreign.layer())
    assert list(converted.state_dict()) == list(layer.state_dict())
    inputs = foreign.inputs(layer)
    converted.load_state_dict(layer.state_dict())
    assert relative_error(converted(*inputs), layer(*inputs)) <= 1e-6
    other = foreign.layer()
    other.load_state_dict(converted.state_dict())
    assert relative_error(other(*inputs), layer(*inputs)) == 0


def test_a_layers_own_way_to_load_stays() -> None:
    """mmcv renames what checkpoints of before its version 2 hold."""
    layer = mmcv.ModulatedDeformConv2dPack(4, 4, 3)
    state = {
        name.replace("conv_offset", "_offset"): torch.randn_like(value)
        for name, value in layer.state_dict().items()
    }
    convert(layer, inplace=True).load_state_dict(state)
    assert torch.equal(layer.conv_offset.bias, state["_offset.bias"])


class All(nn.Module):
    """Every layer, each beside the others."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(foreign.layer() for foreign in LAYERS)
        pairs = zip(LAYERS, self.layers, strict=True)
        self.given = [foreign.inputs(layer, size)[1:] for foreign, layer in pairs]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        pairs = zip(self.layers, self.given, strict=True)
        return tuple(layer(x, *given) for layer, given in pairs)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_every_layer_exports_by_itself(exporter: Any, tmp_path: Path) -> None:
    path = tmp_path / "all.onnx"
    model = All((9, 11))
    x = torch.randn(2, 12, 9, 11)
    classes = [type(layer) for layer in model.layers]
    wanted = model(x)
    report = dcn_deploy.export(model, x, path, exporter=exporter, verify=False)
    assert [type(layer) for layer in model.layers] == classes
    assert calls_of_ours(model, x) == 0
    assert len(report.conversion.layers) == len(deformable(path)) == len(LAYERS)
    assert f"{BY_NAME['dcn'].functions} -> dcn_deploy, in layers.11, layers.12" in str(report)
    checked = dcn_deploy.verify(path, convert(model), x, runs=2)
    assert checked.passed, str(checked)
    assert relative_error(run_ours(path, x), wanted[0].detach()) <= 1e-6


def test_the_file_is_compared_with_the_model_as_given(tmp_path: Path) -> None:
    layer = BY_NAME["mmcv_v2_pack"].layer()
    inputs = BY_NAME["mmcv_v2_pack"].inputs(layer)
    report = dcn_deploy.export(layer, inputs, tmp_path / "layer.onnx")
    assert report.verification is not None
    assert report.verification.passed
    assert not report.conversion.not_compared
    assert "not compared" not in str(report)


def test_a_library_that_does_not_run_here_is_said_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*args: Any) -> Tensor:
        raise NotImplementedError("Deformable Conv is not supported on CPUs!")

    foreign = BY_NAME["detectron2_v2"]
    layer = foreign.layer()
    inputs = foreign.inputs(layer)
    wanted = layer(*inputs).detach()
    monkeypatch.setattr(detectron2, "convolve", refuse)
    report = dcn_deploy.export(layer, inputs, tmp_path / "layer.onnx")
    assert "NotImplementedError: Deformable Conv is not supported on CPUs!" in str(report)
    assert relative_error(run_ours(tmp_path / "layer.onnx", *inputs), wanted) <= 1e-6


class _Scaled(Function):
    """A fork whose function does more than its name says."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor,
        stride: Any, padding: Any, dilation: Any, deformable_groups: int,
    ) -> Tensor:  # fmt: skip
        geometry = (stride, padding, dilation, 1, deformable_groups)
        return 1.01 * kernel.convolve(input, offset, mask, weight, bias, *geometry)


_Scaled.__name__ = _Scaled.__qualname__ = "_DCNv2"


class ScaledLayer(dcnv2.DCNv2):
    def forward(self, input: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return _Scaled.apply(
            input, offset, mask, self.weight, self.bias, self.stride, self.padding, self.dilation,
            self.deformable_groups,
        )  # fmt: skip


def test_a_function_that_computes_something_else_is_found_out(tmp_path: Path) -> None:
    foreign = Foreign("scaled", lambda: ScaledLayer(12, 8, 3, 1, 1), "", 1, True)
    layer = foreign.layer()
    path = tmp_path / "layer.onnx"
    with pytest.raises(ConversionError, match="output 0 of the converted model differs: error"):
        dcn_deploy.export(layer, foreign.inputs(layer), path)
    assert not path.exists()
    assert type(layer) is ScaledLayer


# Copies and in place


def test_a_copy_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(BY_NAME["dcn"].layer(), nn.Conv2d(8, 4, 1))
    x = torch.randn(2, 12, 9, 11)
    converted = convert(model)
    assert converted is not model
    assert type(model[0]) is dcnv2.DCN
    assert calls_of_ours(model, x) == 0
    with torch.no_grad():
        converted[0].weight.zero_()
        converted[0].bias.zero_()
    assert model[0].weight.abs().sum() > 0  # its weights are its own
    assert converted[0](x).abs().sum() == 0


def test_in_place_changes_the_model_itself() -> None:
    model = nn.Sequential(BY_NAME["dcn"].layer(), nn.Conv2d(8, 4, 1))
    layer, weight = model[0], model[0].weight
    assert convert(model, inplace=True) is model
    assert model[0] is layer
    assert layer.weight is weight
    assert calls_of_ours(model, torch.randn(2, 12, 9, 11)) == 1


def test_a_layer_itself_may_be_the_model() -> None:
    (layer,) = convertible_layers(BY_NAME["dcn"].layer())
    assert layer.path == ""
    assert str(layer).startswith("the model (stand_ins.dcnv2.DCN)")


def test_converting_again_changes_nothing() -> None:
    converted = convert(BY_NAME["mmcv_v2_pack"].layer())
    assert convertible_layers(converted) == ()
    assert type(convert(converted)) is type(converted)


def test_a_model_without_such_layers_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), dcn_deploy.DeformConv2d(4, 4, 3))
    classes = [type(module) for module in model.modules()]
    assert convertible_layers(model) == ()
    assert [type(module) for module in convert(model).modules()] == classes


def test_a_layer_used_twice_stays_one() -> None:
    layer = BY_NAME["mmcv_v2"].layer()
    converted = convert(nn.ModuleDict({"a": layer, "b": layer}))
    assert converted["a"] is converted["b"]
    assert [layer.path for layer in convertible_layers(nn.ModuleDict({"a": layer, "b": layer}))]


def test_what_cannot_be_copied_can_be_converted_in_place() -> None:
    layer = BY_NAME["dcn"].layer()
    layer.lock = threading.Lock()
    with pytest.raises(ConversionError, match=r"cannot be copied .*inplace=True"):
        convert(layer)
    assert type(layer) is dcnv2.DCN
    assert calls_of_ours(convert(layer, inplace=True), torch.randn(2, 12, 9, 11)) == 1


def test_other_models_and_the_library_go_on_as_before() -> None:
    names = dict(vars(mmcv))
    foreign = BY_NAME["mmcv_v2_pack"]
    other = foreign.layer()
    convert(foreign.layer(), inplace=True)
    assert vars(mmcv) == names
    assert calls_of_ours(other, *foreign.inputs(other)) == 0


# What a layer has besides its weights


def test_hooks_mode_and_class_name_stay() -> None:
    layer = BY_NAME["mmcv_v2_pack"].layer().train()
    layer.weight.requires_grad_(False)
    seen: list[str] = []
    layer.register_forward_hook(lambda *_: seen.append("after"))
    layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    converted = convert(layer)
    assert converted.training
    assert not converted.weight.requires_grad
    assert isinstance(converted, mmcv.ModulatedDeformConv2dPack)
    assert repr(converted) == repr(layer)
    converted(torch.randn(1, 12, 9, 11))
    assert seen == ["before", "after"]


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


@pytest.mark.parametrize("parametrized", ["before", "after"])
def test_parametrisations_stay_and_come_off(parametrized: str) -> None:
    foreign = BY_NAME["mmcv_v2"]
    layer = foreign.layer()
    plain = layer.weight.detach().clone()
    inputs = foreign.inputs(layer)
    if parametrized == "before":
        parametrize.register_parametrization(layer, "weight", Doubled())
    converted = convert(layer)
    if parametrized == "after":
        parametrize.register_parametrization(converted, "weight", Doubled())
        parametrize.register_parametrization(layer, "weight", Doubled())
    assert relative_error(converted(*inputs), layer(*inputs)) <= 1e-6
    assert calls_of_ours(converted, *inputs) == 1
    parametrize.remove_parametrizations(converted, "weight", leave_parametrized=False)
    assert not parametrize.is_parametrized(converted)
    assert torch.equal(converted.weight, plain)
    assert calls_of_ours(converted, *inputs) == 1


def test_copies_and_pickles_stay_converted() -> None:
    model = nn.Sequential(BY_NAME["mmcv_v2_pack"].layer(), nn.ReLU())
    x = torch.randn(2, 12, 9, 11)
    converted = convert(model)
    wanted = converted(x)
    for again in (copy.deepcopy(converted), pickle.loads(pickle.dumps(converted))):
        assert calls_of_ours(again, x) == 1
        assert torch.equal(again(x), wanted)
        assert type(again[0]).__mro__[1] is mmcv.ModulatedDeformConv2dPack


def test_it_trains() -> None:
    """The library's kernel has no gradient here; ours has."""
    layer = convert(BY_NAME["mmcv_v2_pack"].layer())
    layer(torch.randn(2, 12, 9, 11)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_it_compiles() -> None:
    layer = convert(BY_NAME["mmcv_v1"].layer())
    inputs = BY_NAME["mmcv_v1"].inputs(layer)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*inputs), layer(*inputs))


def test_mixed_dtypes_are_offsets_as_in_mmcv() -> None:
    """Under autocast the convolution that learns the offsets is half, the image is not."""
    foreign = BY_NAME["mmcv_v2"]
    layer = foreign.layer()
    x, offset, mask = foreign.inputs(layer)
    offset, mask = offset.bfloat16(), mask.bfloat16()
    actual, wanted = convert(layer)(x, offset, mask), layer(x, offset, mask)
    assert actual.dtype == wanted.dtype == torch.bfloat16
    assert relative_error(actual, wanted) <= 5e-3


def test_any_batch_of_mmcvs_first_version_runs() -> None:
    """Its own kernel wants a batch that its step divides."""
    layer = mmcv.DeformConv2dPack(4, 4, 3, im2col_step=2).eval()
    x = torch.randn(3, 4, 5, 6)
    with pytest.raises(AssertionError, match="im2col_step"):
        layer(x)
    whole = mmcv.DeformConv2dPack(4, 4, 3, im2col_step=3).eval()
    whole.load_state_dict(layer.state_dict())
    assert relative_error(convert(layer)(x), whole(x)) <= 1e-6


# Python of the user's own around the op


class Bounded(mmcv.ModulatedDeformConv2d):
    """The offsets of a subclass, and a call of its parent's forward."""

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return super().forward(x, 3 * torch.tanh(offset), 2 * torch.sigmoid(mask)) + 1


class Mixin:
    def align(self: Any, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return dcnv2.dcn_v2_conv(
            x, offset, mask, self.weight, self.bias, self.stride, self.padding, self.dilation, 3
        )


class Mixed(Mixin, dcnv2.DCNv2):
    """Finds the op by the module's name, in a class that it inherits from."""

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return self.align(x, offset, mask)


def helper(layer: Any, x: Tensor, offset: Tensor, mask: Tensor, deep: int = 2) -> Tensor:
    if deep:
        return helper(layer, x, offset, mask, deep - 1)
    return dcnv2._DCNv2.apply(
        x, offset, mask, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, 3
    )


def logged(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Tensor:
        return function(*args)

    return wrapper


class Helped(dcnv2.DCNv2):
    """Goes through decorators and a function that calls itself, to the class of the function."""

    @logged
    @torch.no_grad()
    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return helper(self, x, offset, mask)


class Held(dcnv2.DCNv2):
    """Holds the function as an attribute of its own."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.function = dcnv2.dcn_v2_conv

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        geometry = (self.stride, self.padding, self.dilation, 3)
        return self.function(x, offset, mask, self.weight, self.bias, *geometry)


class Static(dcnv2.DCNv2):
    @staticmethod
    def convolve(*args: Any) -> Tensor:
        return dcnv2.dcn_v2_conv(*args)

    @classmethod
    def through(cls, *args: Any) -> Tensor:
        return cls.convolve(*args)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        geometry = (self.stride, self.padding, self.dilation, 3)
        return self.through(x, offset, mask, self.weight, self.bias, *geometry)


def replaced_forward() -> nn.Module:
    """A layer whose forward was replaced on the object, as hooks of some libraries do."""
    layer = dcnv2.DCNv2(12, 8, (3, 2), (2, 1), (1, 2), (1, 2), 3)
    layer.forward = Mixed.align.__get__(layer)
    return layer


_ARGUMENTS = (12, 8, (3, 2), (2, 1), (1, 2), (1, 2), 3)
OWN_PYTHON = {
    "subclass": lambda: Bounded(12, 8, (3, 2), (2, 1), (1, 2), (1, 2), 2, 3),
    "mixin": lambda: Mixed(*_ARGUMENTS),
    "helper": lambda: Helped(*_ARGUMENTS),
    "attribute": lambda: Held(*_ARGUMENTS),
    "static": lambda: Static(*_ARGUMENTS),
    "replaced_forward": replaced_forward,
}


@pytest.mark.parametrize("name", OWN_PYTHON)
def test_own_python_stays(name: str) -> None:
    foreign = Foreign(name, OWN_PYTHON[name], "", 3, True)
    layer = foreign.layer(torch.float64)
    inputs = foreign.inputs(layer)
    converted = convert(layer)
    assert calls_of_ours(layer, *inputs) == 0
    assert calls_of_ours(converted, *inputs) == 1
    assert relative_error(converted(*inputs), layer(*inputs)) <= 1e-12
    assert isinstance(converted, type(layer))


def test_a_small_image_is_padded_as_in_mmcv() -> None:
    foreign = Foreign("v1", lambda: mmcv.DeformConv2d(12, 8, (7, 3), 1, (3, 1)), "", 1)
    layer = foreign.layer()
    inputs = foreign.inputs(layer, (4, 5))
    assert relative_error(convert(layer)(*inputs), layer(*inputs)) <= 1e-6


# What cannot be converted


class DCNv3Function(Function):
    @staticmethod
    def forward(
        ctx: Any, input: Tensor, offset: Tensor, mask: Tensor, kernel_h: int, kernel_w: int
    ) -> Tensor:
        raise AssertionError


class DCNv3(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return DCNv3Function.apply(x, x, x, 3, 3)


class OffsetMaskFunction(Function):
    """DCNv2_latest once had the offsets and the mask's logits in one tensor."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor,
        stride: Any, padding: Any, dilation: Any, deformable_groups: int,
    ) -> Tensor:  # fmt: skip
        raise AssertionError


OffsetMaskFunction.__name__ = OffsetMaskFunction.__qualname__ = "_DCNv2"


class OffsetMask(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return OffsetMaskFunction.apply(x, x, x, x, 1, 1, 1, 1)


class LegacyDCNv2Function(Function):
    def __init__(self, stride: int, padding: int, dilation: int = 1) -> None:
        self.stride = stride

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
        raise AssertionError


class Legacy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return LegacyDCNv2Function(1, 1)(x, x, x, x)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (DCNv3, r"DCNv3Function: it takes \(input, offset, mask, kernel_h, kernel_w\), expected"),
        (OffsetMask, r"_DCNv2: it takes \(input, offset_mask, weight, .*is not to be seen"),
        (Legacy, r"LegacyDCNv2Function: its forward is not static"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_unknown_function_names_the_layer(
    layer: type[nn.Module], reason: str, tmp_path: Path
) -> None:
    model = nn.Sequential(BY_NAME["dcn"].layer(), nn.ModuleDict({"deep": layer()}))
    where = rf"^1\.deep \(\S+{layer.__name__}\) calls \S+"
    for attempt in (
        lambda: convert(model),
        lambda: convert(model, inplace=True),
        lambda: convertible_layers(model),
        lambda: dcn_deploy.export(model, torch.randn(1, 12, 9, 9), tmp_path / "model.onnx"),
    ):
        with pytest.raises(ConversionError, match=where + reason):
            attempt()
    assert type(model[0]) is dcnv2.DCN
    assert list(tmp_path.iterdir()) == []


def test_every_layer_that_is_refused_is_named() -> None:
    with pytest.raises(ConversionError) as caught:
        convert(nn.Sequential(DCNv3(), nn.ReLU(), OffsetMask()))
    first, second = str(caught.value).splitlines()
    assert first.startswith("0 (")
    assert second.startswith("2 (")


class Compiled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * math.comb(4, 2)


def test_a_compiled_function_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of such a name is at hand: one of another name, taken for it."""
    assert convertible_layers(Compiled()) == ()
    monkeypatch.setattr(functions, "_CONVOLUTION", re.compile("comb"))
    with pytest.raises(ConversionError, match=r"^the model \(.*calls math\.comb: it is compiled"):
        convert(Compiled())


class MultiScaleDeformableAttnFunction(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, sampling_locations: Tensor) -> Tensor:
        return value


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return MultiScaleDeformableAttnFunction.apply(x, x)


def test_deformable_attention_is_no_convolution() -> None:
    assert convertible_layers(Attention()) == ()


class Refusing(dcnv2.DCN):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise ValueError("no more subclasses")


def test_a_class_that_takes_no_subclass_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(dcnv2.DCN(4, 4, 3, 1, 1), Refusing(4, 4, 3, 1, 1))
    with pytest.raises(ConversionError, match=r"^1: ValueError: no more subclasses"):
        convert(model, inplace=True)
    assert [type(layer) for layer in model] == [dcnv2.DCN, Refusing]


def test_only_models_are_taken() -> None:
    with pytest.raises(TypeError, match=r"model is a int, expected a torch\.nn\.Module"):
        convert(3)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"convert_onnx converts ONNX files"):
        convert("model.onnx")  # type: ignore[type-var]


def test_wrong_groups_are_refused_not_guessed() -> None:
    layer = convert(BY_NAME["mmcv_v2"].layer())
    x, offset, mask = BY_NAME["mmcv_v2"].inputs(layer)
    with pytest.raises(RuntimeError, match="offset has 12 channels, expected"):
        layer(x, offset[:, :12], mask)


@pytest.mark.parametrize("arguments", [(1,), range(12)], ids=["few", "many"])
def test_wrong_calls_name_the_function(arguments: Any) -> None:
    held = convert(Held(*_ARGUMENTS))
    with pytest.raises(TypeError, match=r"stand_ins.dcnv2._DCNv2: .*expected input, offset"):
        held.function(*arguments)
