"""Damaged files end in an error that a user can read, and leave nothing behind."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import foreign_models
import onnx
import onnx_models
import pytest
from cases import BY_NAME
from foreign_models import FOREIGN
from node_problems import arrays_of

import dcn_deploy
from dcn_deploy import convert_onnx

ERRORS = (
    dcn_deploy.ModelFileError,
    dcn_deploy.ConversionError,
    dcn_deploy.InputError,
    dcn_deploy.VerificationError,
)
COUNT = 300
# Verifying takes ten times as long as all the rest.
VERIFIED_EVERY = 6
_HANGS_AFTER = 300
"""Seconds for one file; on the slowest machine it takes a few."""


def _hangs(*signal_and_frame: object) -> None:
    raise AssertionError(f"a file was not done after {_HANGS_AFTER} s")


def _damaged(whole: bytes, generator: random.Random) -> bytes:
    """A file with bytes changed, cut off, left out, doubled or exchanged."""
    data = bytearray(whole)
    place = generator.randrange(len(data))
    length = generator.choice((1, 4, 32, len(data) // 3))
    match generator.randrange(6):
        case 0 | 1:
            for _ in range(generator.choice((1, 1, 3, 20))):
                data[generator.randrange(len(data))] = generator.randrange(256)
        case 2:
            del data[place:]
        case 3:
            del data[place : place + length]
        case 4:
            data[place:place] = data[place : place + length]
        case 5:
            # The weights are most of the file; the structure is at its start.
            start = generator.randrange(min(600, len(data)))
            data[start] ^= 1 << generator.randrange(8)
    return bytes(data)


def _sources() -> Iterator[bytes]:
    arrays, attributes = arrays_of(BY_NAME["asymmetric"]), BY_NAME["asymmetric"].attributes()
    yield foreign_models.model(FOREIGN["mmcv v2"]).SerializeToString()
    yield foreign_models.model(FOREIGN["Plugin"]).SerializeToString()
    yield onnx_models.model(arrays, attributes, form="portable").SerializeToString()
    yield onnx_models.model(arrays, attributes, form="standard").SerializeToString()


@pytest.mark.filterwarnings("ignore:converted, but not verified")
def test_300_damaged_files(tmp_path: Path) -> None:
    signal.signal(signal.SIGALRM, _hangs)
    generator, sources = random.Random(5), list(_sources())
    source, path = tmp_path / "in.onnx", tmp_path / "out.onnx"
    outcomes: dict[str, int] = {}
    for index in range(COUNT):
        source.write_bytes(_damaged(sources[index % len(sources)], generator))
        path.write_bytes(b"older")
        signal.alarm(_HANGS_AFTER)
        try:
            convert_onnx(
                source,
                path,
                to=("portable", "standard", "custom", "decomposed")[index // 4 % 4],
                verify=index % VERIFIED_EVERY == 0,
            )
        except ERRORS as error:
            outcome, message = type(error).__name__, str(error)
        else:
            outcome, message = "converted", ""
        if outcome == "converted":
            onnx.checker.check_model(path, full_check=True)
        else:
            assert message
            assert path.read_bytes() == b"older"
        signal.alarm(0)
        assert sorted(os.listdir(tmp_path)) == ["in.onnx", "out.onnx"]
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert sum(outcomes.values()) == COUNT
    # Some damage only weights or names, some the attributes, some the file.
    assert min(outcomes[name] for name in ("converted", "ModelFileError", "ConversionError")) > 20
