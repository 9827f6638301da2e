"""The library as a file: what it needs, what it shows, and how it answers hosts and options."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from cases import BY_NAME
from node_problems import arrays_of, eager_output
from onnx_models import feeds, model

from dcn_deploy import _native
from dcn_deploy.runtimes.onnxruntime import onnxruntime_library

BASE = BY_NAME["asymmetric"]

needs_binutils = pytest.mark.skipif(
    not (shutil.which("nm") and shutil.which("readelf")), reason="needs nm and readelf"
)


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@needs_binutils
def test_needs_only_the_systems_libraries() -> None:
    dynamic = output_of("readelf", "--dynamic", "--wide", str(onnxruntime_library()))
    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\.so", dynamic))
    assert needed <= {"libstdc++", "libm", "libgcc_s", "libc", "libpthread", "ld-linux-x86-64"}
    assert not re.search(r"\((RPATH|RUNPATH)\)", dynamic)
    undefined = output_of("nm", "--dynamic", "--undefined-only", str(onnxruntime_library()))
    assert "Ort" not in undefined


@needs_binutils
def test_shows_only_its_entry_points() -> None:
    symbols = output_of(
        "nm", "--dynamic", "--defined-only", "--format=posix", str(onnxruntime_library())
    )
    names = {line.split()[0] for line in symbols.splitlines()}
    assert names == {
        "RegisterCustomOps",
        "dcn_deploy_contract",
        "dcn_deploy_check",
        "dcn_deploy_cuda_path",
        "dcn_deploy_phases",
    }


def test_path_is_absolute() -> None:
    assert onnxruntime_library().is_absolute()


def test_missing_library_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DCN_DEPLOY_LIBRARY_DIR", str(tmp_path))
    with pytest.raises(_native.MissingLibraryError, match=f"{tmp_path}.*pip install"):
        onnxruntime_library()
    (tmp_path / "left_out").mkdir()
    (tmp_path / "left_out" / "onnxruntime.txt").write_text("what the build said")
    with pytest.raises(_native.MissingLibraryError, match=f"{tmp_path}.*what the build said"):
        onnxruntime_library()


def test_missing_onnxruntime_says_how_to_get_it() -> None:
    program = """
import sys
sys.modules["onnxruntime"] = None
import dcn_deploy.runtimes.onnxruntime as runtime
try:
    runtime.ort_session(b"")
except ImportError as error:
    print(error)
"""
    assert "pip install onnxruntime" in output_of(sys.executable, "-c", program)


def test_old_host_is_told_what_it_lacks() -> None:
    """A host that does not know API 17, played by the few functions that are called then."""
    get_api = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
    version_string = ctypes.CFUNCTYPE(ctypes.c_void_p)
    create_status = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)

    class Api(ctypes.Structure):
        _fields_ = (("create_status", create_status),)

    class ApiBase(ctypes.Structure):
        _fields_ = (("get_api", get_api), ("version_string", version_string))

    messages: list[bytes] = []

    def remember(_code: int, message: bytes) -> int:
        messages.append(message)
        return 1

    api = Api(create_status(remember))
    version = ctypes.create_string_buffer(b"1.14.1")
    base = ApiBase(
        get_api(lambda version: ctypes.addressof(api) if version == 1 else None),
        version_string(lambda: ctypes.addressof(version)),
    )
    register = ctypes.CDLL(str(onnxruntime_library())).RegisterCustomOps
    register.restype = ctypes.c_void_p
    assert register(None, ctypes.byref(base)) == 1
    assert messages == [b"dcn_deploy needs onnxruntime 1.17 or newer, this is 1.14.1"]


@pytest.mark.parametrize("value", ["", "2", "yes", "10"])
def test_override_entry_is_0_or_1(value: str) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("dcn_deploy.override", value)
    with pytest.raises(Exception, match=r'dcn_deploy.override must be "0" or "1"'):
        options.register_custom_ops_library(str(onnxruntime_library()))


def test_sessions_may_share_their_options() -> None:
    arrays = arrays_of(BASE)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("dcn_deploy.override", "0")
    options.register_custom_ops_library(str(onnxruntime_library()))
    proto = model(arrays, BASE.attributes())
    for _ in range(2):
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        (output,) = session.run(None, feeds(arrays))
        np.testing.assert_array_equal(output, eager_output(arrays, BASE.attributes()))
