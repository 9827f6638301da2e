"""The C functions of ``library.cpp`` for torch tensors: on the CPU with the library whose kernels
are emulated, on a GPU with the one that nvcc compiled.

Needs torch and nothing else. Outputs and workspaces are filled with NaN before each run, and what
lies beside a workspace or a packed weight must be untouched after it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import byref, c_char_p, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cases import Case, Inputs
from torch import Tensor

# dcn::DType
_DTYPES = {torch.float32: 1, torch.float16: 2, torch.bfloat16: 3, torch.float64: 4}
GRADIENTS = ("input", "weight", "offset", "bias", "mask")


@dataclass(frozen=True)
class Options:
    """dcn::cuda::Options"""

    allow_tf32: bool = False
    deterministic: bool = False
    plain: bool = False


DEFAULT = Options()


class CudaError(RuntimeError):
    """A function of the core refused; the message is its own."""


def _integers(name: str, *members: str) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": [(member, c_int64) for member in members]})


_Problem = _integers(
    "_Problem",
    *("dtype", "coordinate_dtype", "has_bias", "has_mask"),
    *("batch", "in_channels", "in_h", "in_w", "out_channels", "out_h", "out_w"),
    *("kernel_h", "kernel_w", "stride_h", "stride_w"),
    *("pad_top", "pad_left", "pad_bottom", "pad_right", "dilation_h", "dilation_w"),
    *("group", "offset_group"),
)
_Options = _integers("_Options", "allow_tf32", "deterministic", "plain")


class _Forward(ctypes.Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("input", "weight", "packed_weight", "offset", "bias")),
        ("mask", c_void_p),
        ("output", c_void_p),
        ("channels_last", c_int64),
    )


class _Backward(ctypes.Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("grad_output", "input", "weight", "offset", "mask")),
        *((f"grad_{name}", c_void_p) for name in GRADIENTS),
    )


def _native_problem(case: Case, dtype: torch.dtype, coordinates: torch.dtype) -> Any:
    (out_h, out_w), (top, left, bottom, right) = case.output_size, case.pads
    return _Problem(
        *(_DTYPES[dtype], _DTYPES[coordinates], case.bias, case.mask),
        *(case.batch, case.in_channels, *case.size, case.out_channels, out_h, out_w),
        *(*case.kernel, *case.stride, top, left, bottom, right, *case.dilation),
        *(case.group, case.offset_group),
    )


def _native_options(options: Options) -> Any:
    return _Options(options.allow_tf32, options.deterministic, options.plain)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


class Memory:
    """Bytes that all begin as 0xff, which is NaN in every dtype, between guards.

    AddressSanitizer, in a process that has it, sees who reads or writes the guards; elsewhere,
    writes show afterwards.
    """

    _GUARD, _BYTE, _ALIGNMENT = 4096, 0xA5, 256

    def __init__(self, size: int, device: str) -> None:
        self.size = size
        self._whole = torch.empty(
            size + 2 * self._GUARD + self._ALIGNMENT, dtype=torch.uint8, device=device
        )
        self._first = self._GUARD + -(self._whole.data_ptr() + self._GUARD) % self._ALIGNMENT
        self.forget()

    @property
    def pointer(self) -> int:
        return self._whole.data_ptr() + self._first

    def forget(self) -> None:
        self._sanitizer("unpoison")
        self._whole.fill_(self._BYTE)
        self._whole[self._first : self._first + self.size].fill_(0xFF)
        self._sanitizer("poison")

    def expect_guards(self, of: str) -> None:
        self._sanitizer("unpoison")
        for guard, side in zip(self._guards(), ("before", "after"), strict=True):
            if not bool((guard == self._BYTE).all()):
                raise AssertionError(f"something was written {side} the {of} of {self.size} bytes")

    def _guards(self) -> tuple[Tensor, Tensor]:
        return self._whole[: self._first], self._whole[self._first + self.size :]

    def _sanitizer(self, does: str) -> None:
        process = ctypes.CDLL(None)
        if not self._whole.is_cuda and hasattr(process, f"__asan_{does}_memory_region"):
            for guard in self._guards():
                region = c_void_p(guard.data_ptr()), c_size_t(guard.numel())
                getattr(process, f"__asan_{does}_memory_region")(*region)


class Call:
    """A pass that is ready to be enqueued, as often as one likes, and its results.

    ``results`` are filled with NaN at first, and by ``forget``.
    """

    def __init__(
        self, results: Sequence[Tensor | None], memories: dict[str, Memory], run: Callable[..., str]
    ) -> None:
        self.results, self._memories, self._run = results, memories, run

    def forget(self) -> None:
        for tensor in self.results:
            if tensor is not None:
                tensor.fill_(torch.nan)
        self._memories["workspace"].forget()

    def enqueue(self, stream: int = 0) -> None:
        """On ``stream``, which the caller waits for.

        Raises:
            CudaError: the core refused, or a launch failed.
        """
        if error := self._run(stream):
            raise CudaError(error)

    def expect_guards(self) -> None:
        for name, memory in self._memories.items():
            memory.expect_guards(name)


class Core:
    """The entry points of one library."""

    def __init__(self, library: Path) -> None:
        self.api = ctypes.CDLL(str(library))
        # Known to the emulator only.
        self.emulated = hasattr(self.api, "emulator_fail")
        for name in ("path", "plan", "pack_weight", "forward", "backward"):
            getattr(self.api, f"dcn_cuda_{name}").restype = c_char_p
        for name in ("packed_weight_bytes", "workspace_bytes", "backward_workspace_bytes"):
            getattr(self.api, f"dcn_cuda_{name}").restype = c_size_t

    @property
    def device(self) -> str:
        return "cpu" if self.emulated else "cuda"

    # ---- what is asked before a run --------------------------------------------------------------

    def path(self, case: Case, dtype: torch.dtype, options: Options = DEFAULT) -> str:
        return str(self._ask("path", case, dtype, dtype, options).decode())

    def plan(self, case: Case, dtype: torch.dtype, options: Options = DEFAULT) -> str:
        """E.g. ``tabulated 128x64 of 3 splits``; empty where the fused forward is not taken."""
        return str(self._ask("plan", case, dtype, dtype, options).decode())

    def packed_weight_bytes(self, case: Case, dtype: torch.dtype, options: Options) -> int:
        return int(self._ask("packed_weight_bytes", case, dtype, dtype, options))

    def workspace_bytes(
        self, case: Case, dtype: torch.dtype, options: Options, *, backward: bool = False
    ) -> int:
        name = "backward_workspace_bytes" if backward else "workspace_bytes"
        return int(self._ask(name, case, dtype, dtype, options))

    def _ask(self, name: str, case: Case, *rest: Any) -> Any:
        dtype, coordinates, options = rest
        problem = _native_problem(case, dtype, coordinates)
        return getattr(self.api, f"dcn_cuda_{name}")(
            byref(problem), byref(_native_options(options))
        )

    # ---- a run -----------------------------------------------------------------------------------

    def prepare_forward(
        self,
        case: Case,
        inputs: Inputs,
        options: Options = DEFAULT,
        *,
        packed: bool = False,
        channels_last: bool = False,
        stream: int = 0,
    ) -> Call:
        """A forward pass over ``inputs`` as they lie on the device.

        With ``packed``, the weight is packed here, on ``stream``, and the pass gets no other. With
        ``channels_last``, a copy of the input lies as [N, H, W, C], and so does the output.
        """
        dtype, image = inputs.input.dtype, inputs.input
        output = torch.full(
            (case.batch, case.out_channels, *case.output_size),
            torch.nan,
            dtype=dtype,
            device=image.device,
        )
        if channels_last:
            image, output = (
                tensor.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
                for tensor in (image, output)
            )
        problem = _native_problem(case, dtype, inputs.offset.dtype)
        native = _native_options(options)
        workspace = self.api.dcn_cuda_workspace_bytes(byref(problem), byref(native))
        memories = {"workspace": Memory(workspace, str(image.device))}
        args = _Forward(
            *map(_pointer, (image, inputs.weight, None, inputs.offset, inputs.bias, inputs.mask)),
            output.data_ptr(),
            channels_last,
        )
        size = self.api.dcn_cuda_packed_weight_bytes(byref(problem), byref(native))
        if packed and size:
            weight = memories["packed weight"] = Memory(size, str(image.device))
            error = self.api.dcn_cuda_pack_weight(
                byref(problem),
                byref(native),
                c_void_p(args.weight),
                c_void_p(weight.pointer),
                c_void_p(stream),
            )
            if error:
                raise CudaError(error.decode())
            args.weight, args.packed_weight = None, weight.pointer

        def run(stream: int, _kept: object = (image, inputs)) -> str:
            return self._text(
                self.api.dcn_cuda_forward, problem, native, args, memories["workspace"], stream
            )

        return Call((output,), memories, run)

    def prepare_backward(
        self,
        case: Case,
        inputs: Inputs,
        grad_output: Tensor,
        options: Options = DEFAULT,
        wanted: Sequence[str] = GRADIENTS,
    ) -> Call:
        """A backward pass; its results are the gradients in the order of ``GRADIENTS``, None where
        not wanted or where the case has no such input."""
        present = zip(GRADIENTS, inputs.tensors(), strict=True)
        gradients = [
            torch.full_like(tensor, torch.nan) if tensor is not None and name in wanted else None
            for name, tensor in present
        ]
        problem = _native_problem(case, inputs.input.dtype, inputs.offset.dtype)
        native = _native_options(options)
        workspace = self.api.dcn_cuda_backward_workspace_bytes(byref(problem), byref(native))
        memories = {"workspace": Memory(workspace, str(inputs.input.device))}
        args = _Backward(
            *map(
                _pointer,
                (grad_output, inputs.input, inputs.weight, inputs.offset, inputs.mask, *gradients),
            )
        )

        def run(stream: int, _kept: object = (grad_output, inputs)) -> str:
            return self._text(
                self.api.dcn_cuda_backward, problem, native, args, memories["workspace"], stream
            )

        return Call(gradients, memories, run)

    @staticmethod
    def _text(
        function: Any, problem: Any, options: Any, args: Any, workspace: Memory, stream: int
    ) -> str:
        pointers = (c_void_p(workspace.pointer), c_void_p(stream))
        return str(function(byref(problem), byref(options), byref(args), *pointers).decode())

    # ---- prepared, run and looked at -------------------------------------------------------------

    def forward(self, case: Case, inputs: Inputs, options: Options = DEFAULT, **how: Any) -> Tensor:
        """The output of one pass, as [N, O, oH, oW]; ``how`` as in ``prepare_forward``."""
        call = self.prepare_forward(case, inputs, options, **how)
        (output,) = self._finish(call, how.get("stream", 0))
        assert output is not None
        return output.contiguous()

    def backward(
        self, case: Case, inputs: Inputs, grad_output: Tensor, *rest: Any, stream: int = 0
    ) -> Sequence[Tensor | None]:
        """The gradients of one pass; arguments as in ``prepare_backward``."""
        return self._finish(self.prepare_backward(case, inputs, grad_output, *rest), stream)

    def _finish(self, call: Call, stream: int = 0) -> Sequence[Tensor | None]:
        call.enqueue(stream)
        self.wait()
        call.expect_guards()
        return call.results

    def wait(self) -> None:
        if not self.emulated:
            torch.cuda.synchronize()

    # ---- the emulator's own ----------------------------------------------------------------------

    def fail_launches(self, error: int) -> None:
        """Every launch from now on answers ``error`` and runs nothing; with 0, runs again."""
        self.api.emulator_fail(error)

    def set_device(self, major: int = 9, minor: int = 0, processors: int = 132) -> None:
        """What the device is from now on; by default an H200."""
        self.api.emulator_set_device(major, minor, processors)

    def set_seed(self, seed: int) -> None:
        """Blocks, warps and lanes run in another order."""
        self.api.emulator_seed(ctypes.c_uint64(seed))

    def launches(self) -> int:
        """Kernels, copies and fills so far."""
        self.api.emulator_launches.restype = c_int64
        return int(self.api.emulator_launches())

    def launches_on(self, stream: int) -> int:
        self.api.emulator_launches_on.restype = c_int64
        return int(self.api.emulator_launches_on(c_void_p(stream)))

    def stalls(self) -> int:
        """Calls so far that no CUDA graph could hold, because they allocate or wait."""
        self.api.emulator_stalls.restype = c_int64
        return int(self.api.emulator_stalls())
