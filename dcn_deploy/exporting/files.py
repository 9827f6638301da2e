"""Writing a model so that its path holds either all of it or what was there before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from .node import ExportError

# A protobuf message ends at 2 GiB; 64 MiB of that are left to the graph.
_INLINE_LIMIT = 2**31 - 2**26
# Sizes, axes and the like stay in the file, where tools expect to read them.
_EXTERNAL_FROM_BYTES = 1024


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """A folder beside ``path``, on the same disk, that is gone when the block ends.

    The folders above it are made; those that were not there go too if the block fails.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            yield Path(folder)
    except BaseException:
        for parent in made:
            with suppress(OSError):  # not made after all, or someone else's by now
                parent.rmdir()
        raise


def write(model: ir.Model, path: Path, external_data: bool | None) -> None:
    """Write the model, its weights in ``path`` or, if ``external_data``, beside it in path.data.

    Args:
        model: the model
        path: the file to write
        external_data: None puts the weights beside the file where they do not fit into it

    Raises:
        ExportError: they do not fit, and ``external_data`` is False.
    """
    size = sum(
        value.const_value.nbytes
        for graph in model.graphs()
        for value in graph.initializers.values()
        if value.const_value is not None
    )
    if external_data is None:
        external_data = size > _INLINE_LIMIT
    if size > _INLINE_LIMIT and not external_data:
        raise ExportError(
            f"{path.name} would hold {size / 2**30:.2f} GiB of weights, an ONNX file holds at most "
            f"{_INLINE_LIMIT / 2**30:.2f} GiB; leave external_data=None or set it to True"
        )
    ir.save(
        model,
        path,
        external_data=f"{path.name}.data" if external_data else None,
        size_threshold_bytes=_EXTERNAL_FROM_BYTES,
    )


def publish(staged: Path, path: Path) -> None:
    """Move the staged model to its path, and its weights, if they are in a file, to path.data.

    One file is replaced in one step. Two are not, and an older model must not read newer weights:
    so it is set aside first, and put back if anything fails. A machine that stops in between leaves
    no model at the path, and the older one in the folder of the staged one.
    """
    staged_data = staged.with_name(f"{staged.name}.data")
    data = path.with_name(f"{path.name}.data")
    if not staged_data.exists():
        os.replace(staged, path)
        if data.is_file():  # of the model that stood here
            data.unlink()
        return
    older = {
        place: staged.with_name(f"older.{place.name}") for place in (path, data) if place.is_file()
    }
    try:
        for place, aside in older.items():
            os.replace(place, aside)
        os.replace(staged_data, data)
        os.replace(staged, path)
    except BaseException:
        if data not in older and data.is_file():
            data.unlink()
        for place, aside in reversed(older.items()):
            if aside.exists():
                os.replace(aside, place)
        raise
