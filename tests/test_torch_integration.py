"""The op in torch's own machinery: opcheck, compile, export, autocast, drop-in arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import BY_NAME, make_inputs
from eager import run
from torch import Tensor

import dcn_deploy

OP = torch.ops.dcn_deploy.deform_conv2d.default


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["asymmetric", "no_bias", "no_mask", "no_bias_no_mask"])
def test_opcheck(name: str, dtype: torch.dtype) -> None:
    case = BY_NAME[name]
    inputs = make_inputs(case, dtype)
    tensors = [None if t is None else t.requires_grad_() for t in inputs.tensors()]
    torch.library.opcheck(OP, (*tensors, *list(case.attributes().values())[1:]))


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dcn_deploy.DeformConv2d(3, 6, (3, 2), padding=(1, 0, 1, 1), modulated=True)
        self.second = dcn_deploy.DeformConv2d(6, 5, 3, 2, 1, groups=1, deformable_groups=2)
        for layer in (self.first, self.second):
            torch.nn.init.normal_(layer.offset_conv.weight, std=0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def test_compile_forward_and_backward() -> None:
    net = Net()
    compiled = torch.compile(net, fullgraph=True)
    x = torch.randn(2, 3, 12, 17)
    eager = net(x)
    torch.testing.assert_close(compiled(x), eager)
    eager.square().sum().backward()
    wanted = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    compiled(x).square().sum().backward()
    assert wanted
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-4)


def test_channels_last_stays_so_eager_and_compiled() -> None:
    net = Net()
    x = torch.randn(2, 3, 12, 17)
    plain = net(x)
    last = x.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(net, fullgraph=True)
    for run_net in (net, compiled):
        result = run_net(last)
        assert result.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(result, plain)
    compiled(last).square().sum().backward()


@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (1, 4, 1, 1), (2, 3, 1, 5), (0, 3, 4, 5)])
def test_tracing_and_running_agree_on_the_layout(shape: tuple[int, ...]) -> None:
    batch, channels, height, width = shape
    x = torch.randn(batch, height, width, channels).permute(0, 3, 1, 2)
    weight, offset = torch.randn(4, channels, 1, 1), torch.zeros(batch, 2, height, width)
    torch.library.opcheck(OP, (x, weight, offset), test_utils="test_faketensor")


def test_compile_with_dynamic_sizes() -> None:
    net = Net()
    compiled = torch.compile(net, fullgraph=True, dynamic=True)
    for shape in ((2, 3, 12, 17), (4, 3, 9, 8), (3, 3, 20, 11)):
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), net(x))


def test_export_keeps_the_op_and_dynamic_sizes() -> None:
    net = Net()
    dims = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(net, (torch.randn(2, 3, 12, 17),), dynamic_shapes=(dims,))
    targets = [node.target for node in program.graph.nodes]
    assert targets.count(OP) == 2
    x = torch.randn(5, 3, 31, 14)
    torch.testing.assert_close(program.module()(x), net(x))


def test_a_wrong_shape_is_refused_while_tracing() -> None:
    class Wrong(torch.nn.Module):
        def forward(self, x: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
            return dcn_deploy.deform_conv2d(x, offset, weight)

    arguments = (torch.randn(1, 4, 8, 9), torch.randn(1, 20, 6, 7), torch.randn(5, 4, 3, 3))
    with pytest.raises(Exception, match="offset has 20 channels, expected 2"):
        torch.export.export(Wrong(), arguments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_float32_coordinates(dtype: torch.dtype) -> None:
    case = BY_NAME["far_offsets"]
    inputs = make_inputs(case, torch.float32)
    with torch.autocast("cpu", dtype):
        actual = run(case, inputs)
    assert actual.dtype == dtype
    half = make_inputs(case, dtype, coordinate_dtype=torch.float32)
    torch.testing.assert_close(actual, run(case, half), rtol=0, atol=0)


def test_autocast_leaves_float64_and_refuses_what_the_op_refuses() -> None:
    case = BY_NAME["asymmetric"]
    exact = make_inputs(case, torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(case, exact), run(case, make_inputs(case, torch.float64)))
        assert run(case, exact).dtype == torch.float64
        mixed = make_inputs(case, torch.float32, coordinate_dtype=torch.float64)
        with pytest.raises(RuntimeError, match="offset is float64, expected bfloat16"):
            run(case, mixed)
        exact.input = exact.input.long()
        with pytest.raises(RuntimeError, match="input has the unsupported dtype Long"):
            run(case, exact)


def test_autocast_trains() -> None:
    net = Net()
    with torch.autocast("cpu", torch.bfloat16):
        output = net(torch.randn(2, 3, 12, 17))
        loss = output.float().square().mean()
    loss.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert torch.isfinite(parameter.grad).all()


def test_int_and_pair_arguments() -> None:
    x, weight = torch.randn(1, 4, 9, 10), torch.randn(6, 4, 3, 3)
    offset = torch.randn(1, 18, 5, 5)
    one = dcn_deploy.deform_conv2d(x, offset, weight, stride=2, padding=1, dilation=1)
    pair = dcn_deploy.deform_conv2d(x, offset, weight, None, (2, 2), (1, 1), (1, 1), mask=None)
    four = dcn_deploy.deform_conv2d(x, offset, weight, stride=2, padding=(1, 1, 1, 1))
    assert torch.equal(one, pair)
    assert torch.equal(one, four)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": (1, 1, 1)}, r"stride is \(1, 1, 1\), expected an integer or 2"),
        ({"padding": (1, 1, 1)}, r"padding is \(1, 1, 1\), expected an integer or 2 or 4"),
        ({"padding": "same"}, "padding is 'same'"),
        ({"dilation": ()}, r"dilation is \(\), expected an integer or 2"),
        ({"stride": 1.0}, "stride is 1.0, expected an integer"),
    ],
)
def test_argument_values(arguments: dict[str, tuple[int, ...]], message: str) -> None:
    x, weight, offset = torch.randn(1, 4, 9, 10), torch.randn(6, 4, 3, 3), torch.randn(1, 18, 7, 8)
    with pytest.raises(ValueError, match=message):
        dcn_deploy.deform_conv2d(x, offset, weight, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offset_channels", "message"),
    [(20, "offset has 20 channels, expected .* = 18"), (4, "offset has 4 channels, expected")],
)
def test_offset_channels_that_fit_no_group(offset_channels: int, message: str) -> None:
    x, weight = torch.randn(1, 4, 9, 10), torch.randn(6, 4, 3, 3)
    with pytest.raises(RuntimeError, match=message):
        dcn_deploy.deform_conv2d(x, torch.randn(1, offset_channels, 7, 8), weight)


def test_numpy_integers_are_integers() -> None:
    x, weight, offset = torch.randn(1, 4, 9, 10), torch.randn(6, 4, 3, 3), torch.randn(1, 18, 5, 5)
    two, one = np.int64(2), np.int64(1)
    actual = dcn_deploy.deform_conv2d(x, offset, weight, stride=two, padding=(one, one))
    assert torch.equal(actual, dcn_deploy.deform_conv2d(x, offset, weight, stride=2, padding=1))


@pytest.mark.parametrize("name", ["input", "offset", "weight", "bias", "mask"])
def test_what_is_no_tensor(name: str) -> None:
    tensors = {"input": torch.randn(1, 4, 9, 10), "offset": torch.randn(1, 18, 7, 8)}
    tensors["weight"] = torch.randn(6, 4, 3, 3)
    with pytest.raises(TypeError, match=f"{name} is a list, expected a Tensor"):
        dcn_deploy.deform_conv2d(**{**tensors, name: [1.0]})


def test_tensors_on_several_devices() -> None:
    x, offset = torch.randn(1, 4, 9, 10), torch.randn(1, 18, 7, 8)
    with pytest.raises(ValueError, match="tensors on cpu, meta, expected one device"):
        dcn_deploy.deform_conv2d(x, offset, torch.randn(6, 4, 3, 3, device="meta"))


def test_weight_of_the_wrong_rank() -> None:
    with pytest.raises(RuntimeError, match="weight has 3 dimensions, expected 4"):
        dcn_deploy.deform_conv2d(
            torch.randn(1, 4, 9, 10), torch.randn(1, 18, 7, 8), torch.randn(6, 4, 3)
        )
