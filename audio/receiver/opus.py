"""Ogg Opus (RFC 7845, one stream of one or two channels) to 48 kHz mono, by the system's libopus.

A device decodes nothing else. What decodes everything brought 266 libraries along: 48 MB of memory, and a download of
hundreds of MB over a mobile link.
"""

from __future__ import annotations

import ctypes
import functools
import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

RATE = 48_000
PREROLL = RATE
"""Samples decoded and discarded before an offset: Opus needs 80 ms to sound as if decoded from the start."""
LIBRARY = "libopus.so.0"
LONGEST = 120 * RATE // 1000
"""Samples of the longest packet."""
SET_GAIN = 4034
"""OPUS_SET_GAIN_REQUEST."""
CONTINUED, LAST = 0x01, 0x04
_PAGE = struct.Struct("<4sBBqIIIB")
_HEAD = struct.Struct("<8sBBHIhB")


class OpusError(Exception):
    """This is no Ogg Opus that can be decoded."""


@functools.cache
def library() -> ctypes.CDLL:
    """libopus. Raises OpusError where it is not installed."""
    try:
        found = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise OpusError(str(error)) from None
    found.opus_strerror.restype = ctypes.c_char_p
    return found


def decode(file: BinaryIO, start: int) -> Iterator[bytes]:
    """16-bit samples from sample ``start`` on, a packet's at a time. Raises OpusError."""
    packets = _packets(file)
    decoder = Decoder(next(packets, (b"", None))[0])
    next(packets, None)  # the tags
    wanted, at = start + decoder.skip, 0
    for packet, end in packets:
        length = samples(packet)
        if at + length > wanted - PREROLL:
            sound = decoder.decode(packet)
            upto = length if end is None else min(length, max(end - at, 0))
            if wanted < at + upto:
                yield sound[2 * max(wanted - at, 0) : 2 * upto]
        at += length


def packets(pages: bytes) -> list[bytes]:
    """The packets that end in these Ogg pages. Raises OpusError."""
    return [packet for packet, _ in _packets(io.BytesIO(pages))]


def samples(packet: bytes) -> int:
    """How many 48 kHz samples the packet holds. Raises OpusError."""
    return _checked(library().opus_packet_get_nb_samples(packet, len(packet), RATE))


class Decoder:
    """One stream's decoder. ``skip``: samples at the beginning that are not sound."""

    def __init__(self, head: bytes) -> None:
        """``head``: the stream's first packet (OpusHead). Raises OpusError."""
        if len(head) < _HEAD.size or not head.startswith(b"OpusHead"):
            raise OpusError("no Opus")
        _, version, channels, self.skip, _, gain, family = _HEAD.unpack_from(head)
        if version > 15 or family != 0 or channels not in (1, 2):
            raise OpusError(f"Opus of version {version}, {channels} channels, family {family}")
        self._sound = ctypes.create_string_buffer(2 * LONGEST)
        self._state = ctypes.create_string_buffer(library().opus_decoder_get_size(1))
        _checked(library().opus_decoder_init(self._state, RATE, 1))
        _checked(library().opus_decoder_ctl(self._state, SET_GAIN, gain))

    def decode(self, packet: bytes) -> bytes:
        """The packet's 16-bit samples. Raises OpusError."""
        length = _checked(library().opus_decode(self._state, packet, len(packet), self._sound, LONGEST, 0))
        return self._sound.raw[: 2 * length]

    def conceal(self, length: int) -> bytes:
        """So many samples in place of a packet that was lost (RFC 6716, 4.4): it fades out. Raises OpusError."""
        length = _checked(library().opus_decode(self._state, None, 0, self._sound, length, 0))
        return self._sound.raw[: 2 * length]


def _checked(status: int) -> int:
    if status < 0:
        raise OpusError(library().opus_strerror(status).decode())
    return status


def _packets(file: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """Each packet; with those of the last page the sample at which the stream ends. Raises OpusError."""
    begun = b""
    while header := file.read(_PAGE.size):
        if len(header) < _PAGE.size or not header.startswith(b"OggS\0"):
            raise OpusError("no Ogg page")
        _, _, flags, granule, _, _, _, count = _PAGE.unpack(header)
        lacing = file.read(count)
        body = file.read(sum(lacing))
        if len(lacing) < count or len(body) < sum(lacing):
            raise OpusError("cut short")
        begun, whole = _laced(lacing, body, begun if flags & CONTINUED else b"")
        for packet in whole:
            yield packet, granule if flags & LAST and granule >= 0 else None


def _laced(lacing: bytes, body: bytes, begun: bytes) -> tuple[bytes, list[bytes]]:
    """What goes on in the next page, and the packets that end in this one (RFC 3533, 5)."""
    whole, at = [], 0
    for size in lacing:
        begun += body[at : at + size]
        at += size
        if size < 255:
            whole.append(begun)
            begun = b""
    return begun, whole
