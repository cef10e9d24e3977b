"""Live pages as a device takes them in: parts of a kind, a time after the begin (10 ms), and an Ogg page's bytes."""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Iterator
from random import Random
from typing import Final

from audio.envelope import LivePage, Refused, pack_page, unpack_page
from audio.live.encode import PAGE, Encoder
from audio.live.feed import FRAME
from audio.live.source import SAMPLES
from audio.receiver.jitter import ROOM, SLOWEST, Jitter
from audio.receiver.opus import OpusError
from audio.receiver.sound import BLOCK
from tests.fuzz.harness import MAX_INPUT, Harness

BEGIN: Final = 1_727_776_800_000
HEARD: Final = 1_000
"""Milliseconds that are played after all pages have come, and after each of the first ones."""
_PART: Final = struct.Struct(">BhH")
HEADER: Final = 0

Part = tuple[int, int, bytes]


def join(parts: list[Part]) -> bytes:
    return b"".join(_PART.pack(kind, at, len(ogg)) + ogg for kind, at, ogg in parts)[:MAX_INPUT]


def split(data: bytes) -> list[Part]:
    """The last part may be short."""
    parts, place = [], 0
    while len(data) - place >= _PART.size:
        kind, at, size = _PART.unpack_from(data, place)
        place += _PART.size
        parts.append((kind, at, data[place : place + size]))
        place += size
    return parts


def seeds() -> Iterator[bytes]:
    encoder = Encoder()
    pages = []
    for number in range(6 * PAGE // FRAME):
        wave = [9_000 * math.sin(2 * math.pi * 440 * (number * SAMPLES + n) / 48_000) for n in range(SAMPLES)]
        page = encoder.add(array.array("h", map(round, wave)), 0.0)
        pages += [page] if page is not None else []
    head: Part = (HEADER, 0, encoder.header)
    yield join([head, *((1, number * PAGE // 10, page) for number, page in enumerate(pages))])
    yield join([head, (1, 0, pages[0]), (1, 2 * PAGE // 10, pages[2]), (1, PAGE // 10, pages[1])])
    yield join([head, (1, -300, pages[0]), (1, 0, pages[1]), head, (1, PAGE // 10, pages[2])])
    yield join([(1, 0, pages[0]), (1, 0, b"")])


def check(data: bytes) -> bool:
    jitter, sounded = Jitter(), False
    for kind, at, ogg in split(data):
        try:
            if kind == HEADER:
                jitter.header(ogg)
                continue
            page = unpack_page(pack_page(LivePage(BEGIN + 10 * at, 1, ogg)))
            assert page == LivePage(BEGIN + 10 * at, 1, ogg) if ogg else isinstance(page, Refused)
            jitter.add(ogg, BEGIN + 10 * at, BEGIN)
        except OpusError:
            continue
        assert len(jitter._pages) <= ROOM
        assert 0 <= jitter.delay <= SLOWEST
    jitter.ready(BEGIN)
    for instant in range(BEGIN, BEGIN + HEARD, FRAME):
        try:
            block = jitter.block(instant)
        except OpusError:
            continue
        assert len(block) in (0, 2 * BLOCK)
        assert len(jitter._sound) <= 4 * HEARD * 48 * 2, "what is decoded ahead has no end"
        sounded = sounded or any(block)
    return sounded


def mutate(data: bytes, random: Random) -> bytes:
    """Another order, number, time or kind of parts; other bytes of a page; a packet's length or number of frames."""
    parts = split(data)
    if not parts:
        return random.randbytes(random.randrange(1, 200))
    n = random.randrange(len(parts))
    kind, at, ogg = parts[n]
    match random.randrange(6):
        case 0:
            parts.insert(random.randrange(len(parts) + 1), parts[n])
        case 1:
            del parts[n]
        case 2:
            parts[n] = kind, max(-(2**15), min(at + random.choice((-200, -21, -2, 2, 21, 200)), 2**15 - 1)), ogg
        case 3:
            parts[n] = 1 - min(kind, 1), at, ogg
        case 4:
            cut = random.randrange(len(ogg) + 1)
            parts[n] = kind, at, ogg[:cut] + ogg[cut + random.randrange(20) :]
        case _ if ogg:
            # the first bytes are the page's head and lacing, where most is decided
            place = random.randrange(min(len(ogg), random.choice((40, 27 + 255, len(ogg)))))
            parts[n] = kind, at, ogg[:place] + bytes((random.randrange(256),)) + ogg[place + 1 :]
    return join(parts)


HARNESS: Final = Harness("pages", seeds, check, mutate)
