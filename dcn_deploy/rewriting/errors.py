"""What the libraries below raise, in words about the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConversionError
from ..exporting import ExportError
from ..model_inputs import InputError
from ..onnx_graph import ModelFileError
from ..precision import PrecisionError
from ..verification import VerificationError


@contextmanager
def as_conversion_error(path: Path) -> Iterator[None]:
    """What the libraries below raise for a damaged model becomes a ConversionError."""
    try:
        yield
    except (
        ConversionError,
        ModelFileError,
        InputError,
        VerificationError,
        ImportError,  # onnxruntime is not there
        OSError,
    ):
        raise
    except (ExportError, PrecisionError) as error:
        raise ConversionError(f"{path} could not be converted: {error}") from error
    except Exception as error:
        raise ConversionError(
            f"{path} could not be converted: {type(error).__name__}: {error}"
        ) from error
