"""What time it is, and how far that can be believed.

Scheduled items wait until the device's clock is synchronised: the hub's signed time agrees within 2 s, or the kernel
says so, or this is the same boot in which it once was. The floor (newest verified ``issued``, or a saved synchronised
clock) is a time that has certainly passed: it never goes back. So what is signed by a clock that was wrong ahead would
have everything taken for expired until that time has come: a clock that NTP keeps knows better, and such an ``issued``
does not move its floor. What is saved has a checksum: a floor spoiled by the flash could lie in the future, and nothing
would play again.
"""

from __future__ import annotations

import ctypes
import json
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from audio.receiver.files import write_atomic

TOLERANCE = 2_000
"""A clock further from the hub's (ms) starts nothing scheduled."""
ASK_KERNEL = 10_000
HEARD = 10
"""The hub's words of so many minutes are compared: that which was under way for the shortest time is the truest. So
many that agree are needed to disbelieve a clock that NTP keeps: one may be late, or the hub itself wrong for a minute.
"""
TOGETHER = 30_000
"""Words heard within so many ms of the first of them are one, the fastest: the hub tells all whenever somebody
comes who needs it, and ten words of one bad half-minute must not count for ten minutes.
"""
SAVE_EVERY = 600_000
"""The hub tells its time each minute; written is every tenth (ms): flash wears out."""
STA_UNSYNC = 0x0040


class Clock(Protocol):
    def now(self) -> int:
        """Unix milliseconds."""

    def monotonic(self) -> int:
        """Milliseconds since some instant of this boot; no step of the clock moves it."""


class SystemClock:
    """The system's clock, moved by ``shift`` ms."""

    def __init__(self, shift: int = 0) -> None:
        self._shift = shift

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self._shift

    def monotonic(self) -> int:
        return time.monotonic_ns() // 1_000_000


class DeviceTime:
    """The device's best time; remembers the floor and the boot in which it was synchronised in ``path``."""

    def __init__(self, clock: Clock, path: Path, boot: str, kernel: Callable[[], bool]) -> None:
        self._clock = clock
        self._path = path
        self._boot = boot
        self._kernel = kernel
        self._asked = 0
        self._kept = False
        self._ahead: deque[int] = deque(maxlen=HEARD)
        self._began = 0
        saved = _saved(path)
        self._floor = saved[0]
        self._agreed = bool(boot) and saved[1] == boot
        self._saved = saved
        self.error: int | None = None
        """The clock minus the hub's (ms) when the hub last told its time; None before, and while the hub's words have
        not outweighed the kernel's."""

    @property
    def floor(self) -> int:
        return self._floor

    def now(self) -> int:
        """The clock; where the hub has shown it to be wrong, the hub's time; never before the floor."""
        wrong = self.error if self.error is not None and abs(self.error) > TOLERANCE else 0
        return max(self._clock.now() - wrong, self._floor)

    @property
    def synchronised(self) -> bool:
        if self.error is not None:
            return abs(self.error) <= TOLERANCE
        self._agreed = self._agreed or self._ntp()
        return self._agreed and self._clock.now() >= self._floor - TOLERANCE

    def issued(self, at: int) -> None:
        """A verified document was issued at ``at``. Where NTP or the hub's words keep the time, who signed ahead of it
        has a clock that is wrong, and the time does not follow one document.
        """
        if at <= self.now() + TOLERANCE or not self._vouched():
            self._floor = max(self._floor, at)

    def hub_says(self, at: int) -> None:
        """The hub's time came. On a busy line it comes late, which looks as if this clock were ahead."""
        mine = self._clock.monotonic()
        self._count(mine, mine - at)
        self.error = self._compared(self._clock.now() - mine)
        self.issued(at)
        floor, boot = self._state()
        if boot != self._saved[1] or floor >= self._saved[0] + SAVE_EVERY:
            self.save()

    def _count(self, mine: int, ahead: int) -> None:
        """A word by which the monotonic clock, at ``mine``, is ``ahead`` (ms) of the hub's."""
        if self._ahead and mine - self._began < TOGETHER:
            self._ahead[-1] = min(self._ahead[-1], ahead)
        else:
            self._began = mine
            self._ahead.append(ahead)

    def _compared(self, apart: int) -> int | None:
        """The clock's error by the words heard, the clock being ``apart`` ms ahead of the monotonic one."""
        error = apart + min(self._ahead)
        if abs(error) <= TOLERANCE or not self._ntp():
            return error
        agree = len(self._ahead) == HEARD and (error > 0 or apart + max(self._ahead) < -TOLERANCE)
        return error if agree else None

    def _vouched(self) -> bool:
        """Whether the hub's words or the kernel vouch for the time."""
        return self.error is not None or self._ntp()

    def _ntp(self) -> bool:
        """Whether the kernel says that NTP keeps the clock; it is asked every ASK_KERNEL ms."""
        now = self._clock.now()
        if abs(now - self._asked) >= ASK_KERNEL:
            self._asked, self._kept = now, self._kernel()
        return self._kept

    def save(self) -> None:
        """A clock that is not synchronised is not saved: it could lie in the future, and the floor never goes back."""
        self._saved = floor, boot = self._state()
        said = {"floor": floor, "boot": boot, "sum": _sum(floor, boot)}
        write_atomic(self._path, json.dumps(said).encode())

    def _state(self) -> tuple[int, str]:
        """The floor and the boot to be remembered."""
        synchronised = self.synchronised
        floor = max(self._floor, self._clock.now()) if synchronised else self._floor
        return floor, self._boot if synchronised else ""


def _saved(path: Path) -> tuple[int, str]:
    try:
        saved = json.loads(path.read_bytes())
        floor, boot = int(saved["floor"]), str(saved["boot"])
        return (floor, boot) if saved["sum"] == _sum(floor, boot) else (0, "")
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return 0, ""


def _sum(floor: int, boot: str) -> int:
    return zlib.crc32(f"{floor} {boot}".encode("utf-8", "replace"))


def boot_id() -> str:
    """The kernel's name for this boot; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


class _Timex(ctypes.Structure):
    """The head of ``struct timex`` (adjtimex(2)); the rest is room that the kernel fills."""

    _fields_ = (
        ("modes", ctypes.c_int),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def kernel_synchronised() -> bool:
    """Whether the kernel's clock is kept by NTP."""
    timex = _Timex()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    return state >= 0 and not timex.status & STA_UNSYNC
