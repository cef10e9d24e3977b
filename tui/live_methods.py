"""How somebody speaks in a live bulletin, over a socket of its own beside the hub's; as in ``tui.methods``.

After its request the client sends frames, each after its length (two bytes, big endian): ``FRAME_BYTES`` of
``audio.live.source``, or 0 to say that the speech has ended. Who only hangs up may come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tui.methods import Method

END = 0
"""The length that stands for the end of the speech."""
LENGTH = 2
"""Bytes of a length."""


class Phase(StrEnum):
    """Where the speech is. ``LEFT``: the speaker went before it began, and it stays planned."""

    WAITING = "waiting"
    ON_AIR = "on_air"
    OVER = "over"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Speak:
    bulletin: str


@dataclass(frozen=True, slots=True)
class Speaking:
    """The speech is heard in ``[start, until)`` (Unix ms): what is said ``delay`` ms before."""

    phase: Phase
    title: str
    start: int
    until: int
    delay: int


SPEAK = Method("speak", Speak, Speaking, stream=True)


def live_socket(hub: Path) -> Path:
    """Where it is, by the hub's own socket."""
    return hub.with_name("live.sock")


def framed(data: bytes) -> bytes:
    """One frame as it is sent; nothing stands for the end."""
    return len(data).to_bytes(LENGTH, "big") + data
