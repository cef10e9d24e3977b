"""What the device decodes: as ffmpeg does, exact to the sample, and never more than an error for anything else."""

from __future__ import annotations

import io
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.receiver.opus import OpusError, decode
from tests.audio.receiver_kit import make_sound

Samples = np.ndarray[Any, np.dtype[np.int16]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_sound(tmp_path_factory.mktemp("sounds"), 2_345, 9).data


def decoded(data: bytes, start: int = 0) -> Samples:
    return np.frombuffer(b"".join(decode(io.BytesIO(data), start)), dtype="<i2")


def reference(data: bytes) -> Samples:
    """By ffmpeg, which reads Ogg itself."""
    command = ["ffmpeg", "-v", "error", "-c:a", "libopus", "-i", "-", "-f", "s16le", "-ac", "1", "-ar", "48000", "-"]
    return np.frombuffer(subprocess.run(command, input=data, capture_output=True, check=True).stdout, dtype="<i2")


def test_it_sounds_as_ffmpeg_has_it(data: bytes) -> None:
    ours, theirs = decoded(data), reference(data)
    assert len(ours) == len(theirs) == 2_345 * 48
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    "more", [["-ac", "2"], ["-frame_duration", "60"], ["-page_duration", "100000"], ["-b:a", "128k"]]
)
def test_other_streams_of_the_same_format(tmp_path: Path, more: list[str]) -> None:
    path = tmp_path / "x.opus"
    tone = "sine=f=440:d=1.5:r=48000"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", tone, "-c:a", "libopus", *more, str(path)]
    subprocess.run(command, check=True)
    ours, theirs = decoded(path.read_bytes()), reference(path.read_bytes())
    assert len(ours) == len(theirs) == 1.5 * 48_000
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 2_400 * 48))
def test_any_offset_is_exact(data: bytes, start: int) -> None:
    whole, sought = decoded(data)[start:].astype(int), decoded(data, start).astype(int)
    assert len(whole) == len(sought)
    assert np.abs(whole - sought).max(initial=0) <= 4


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_what_is_no_sound_is_an_error(junk: bytes) -> None:
    try:
        assert decoded(junk).size == 0
    except OpusError:
        return


@settings(max_examples=200, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 9_000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6))
def test_a_spoiled_sound_is_an_error_or_a_sound(data: bytes, cuts: list[tuple[int, bytes]]) -> None:
    spoiled = bytearray(data)
    for at, new in cuts:
        spoiled[at : at + len(new)] = new
    try:
        assert decoded(bytes(spoiled)).size <= 2_345 * 48 * 200
    except OpusError:
        return


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_sound_that_is_cut_short_says_so(data: bytes, share: float) -> None:
    with pytest.raises(OpusError, match=r"cut short|no Ogg page"):
        decoded(data[: int(len(data) * share)])


def test_packets_come_one_after_the_other(data: bytes) -> None:
    sizes = [len(piece) // 2 for piece in decode(io.BytesIO(data), 0)]
    assert set(sizes[1:-1]) == {960}
    assert all(a <= 960 for a, _ in pairwise(sizes))
