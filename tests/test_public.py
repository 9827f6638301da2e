"""What a user may import from the package itself."""

from __future__ import annotations

import builtins
import inspect
import re

import pytest

import dcn_deploy

CALLABLES = [name for name in dcn_deploy.__all__ if callable(getattr(dcn_deploy, name))]


def errors_of(docstring: str) -> list[str]:
    """The names under "Raises:", without their module."""
    _, _, raises = docstring.partition("Raises:\n")
    return re.findall(r"^ +(?:\w+\.)*(\w+):", raises, re.MULTILINE)


@pytest.mark.parametrize("name", CALLABLES)
def test_every_error_that_is_documented_can_be_caught(name: str) -> None:
    documented = errors_of(inspect.getdoc(getattr(dcn_deploy, name)) or "")
    for error in documented:
        owner = dcn_deploy if error in dcn_deploy.__all__ else builtins
        assert issubclass(getattr(owner, error), Exception)


def test_errors_are_found_in_docstrings() -> None:
    assert "ModelFileError" in errors_of(inspect.getdoc(dcn_deploy.inspect) or "")
    assert "MissingLibraryError" in errors_of(inspect.getdoc(dcn_deploy.onnxruntime_library) or "")
