"""The sound card, by the system's libasound: 16 bit mono at 48 kHz; the ALSA device converts (``plug``, ``default``).

A card plays what was queued, at a pace of its own. What keeps the sound to its time is ``AlsaOutput``: it asks the card
how long its queue is, begins with as much silence as is left, and gives or takes a sample where card and clock drift.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from audio.receiver.sound import RATE

log = logging.getLogger(__name__)

LIBRARY = "libasound.so.2"
AHEAD = 0.05
"""Seconds that sound is queued before it is due: a little less than ``agent.EARLY``, more than a block and a period."""
BUFFER = 100_000
"""Microseconds that the card is asked to hold."""
JUMP = RATE // 100
"""Samples (10 ms): further off its time the sound jumps; nearer it is drawn by a sample in each block, unheard."""
DRIFT = RATE // 200
"""Samples (5 ms): nearer to its time the sound is left alone; many cards tell their queue's length no closer."""
PRIME = RATE // 50
"""Samples (20 ms) of silence that a card begins with if there is time: how long its start takes delays no sound."""
LOOKS = 25
"""Blocks (half a second) over which the queue's length is judged. Many cards tell it as it was when they last moved a
piece, so that it looks longer than it is, by up to a piece: the shortest of many looks is the true one."""
WAITS = 10
WAIT = 20
"""How often, and for how many ms, a card with a full queue is waited for before it counts as stuck."""
AGAIN = 0.5
"""Seconds between two tries to open a card that is not there."""
PLAYBACK, NONBLOCK = 0, 1
S16_LE, INTERLEAVED = 2, 3
PREPARED = 2
"""SND_PCM_STATE_PREPARED."""
RECOVERABLE = (errno.EPIPE, errno.ESTRPIPE, errno.EINTR)
"""The queue ran empty, the machine slept, a signal came: the card is there."""
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)


class CardLike(Protocol):
    """See ``Card``."""

    def write(self, data: bytes) -> None: ...

    def delay(self) -> int: ...

    def start(self) -> None: ...

    def silence(self) -> None: ...

    def recover(self, number: int) -> None: ...

    def close(self) -> None: ...


@functools.cache
def library() -> ctypes.CDLL:
    """libasound, which keeps its complaints to itself. Raises OSError where it is not installed."""
    try:
        found = ctypes.CDLL(LIBRARY)
    except OSError:
        raise OSError(errno.ELIBACC, f"{LIBRARY} is not installed") from None
    found.snd_strerror.restype = ctypes.c_char_p
    found.snd_pcm_writei.restype = ctypes.c_long
    found.snd_pcm_writei.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong)
    found.snd_lib_error_set_handler(_quiet)
    return found


_quiet = _HANDLER(lambda *_: None)
"""What goes wrong is in the status that a call returns."""


class Card:
    """An open device. Every method raises OSError with the number and the words that libasound has for it."""

    def __init__(self, device: str) -> None:
        self._library = library()
        self._pcm = ctypes.c_void_p()
        self._checked(self._library.snd_pcm_open(ctypes.byref(self._pcm), device.encode(), PLAYBACK, NONBLOCK))
        try:
            self._checked(self._library.snd_pcm_set_params(self._pcm, S16_LE, INTERLEAVED, 1, RATE, 1, BUFFER))
        except OSError:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Queues samples; waits a little where the queue is full."""
        waited = 0
        while data:
            done = self._library.snd_pcm_writei(self._pcm, data, len(data) // 2)
            if done == -errno.EAGAIN and waited < WAITS:
                waited += 1
                self._checked(self._library.snd_pcm_wait(self._pcm, WAIT))
            elif done == -errno.EAGAIN:
                raise OSError(errno.EIO, "the sound card is stuck")
            else:
                data = data[2 * self._checked(done) :]

    def delay(self) -> int:
        """Samples until what is queued next will sound."""
        frames = ctypes.c_long()
        self._checked(self._library.snd_pcm_delay(self._pcm, ctypes.byref(frames)))
        return frames.value

    def start(self) -> None:
        """Lets sound what is queued, unless the card has begun by itself."""
        if self._library.snd_pcm_state(self._pcm) == PREPARED:
            self._checked(self._library.snd_pcm_start(self._pcm))

    def silence(self) -> None:
        """Forgets what is queued, at once, and is ready again."""
        self._checked(self._library.snd_pcm_drop(self._pcm))
        self._checked(self._library.snd_pcm_prepare(self._pcm))

    def recover(self, number: int) -> None:
        """Ready again after one of ``RECOVERABLE``; what was queued is gone."""
        self._checked(self._library.snd_pcm_recover(self._pcm, -number, 1))

    def close(self) -> None:
        self._library.snd_pcm_close(self._pcm)

    def _checked(self, status: int) -> int:
        if status < 0:
            raise OSError(-status, self._library.snd_strerror(status).decode("utf-8", "replace"))
        return status


class AlsaOutput:
    """An ``Output`` (``player``) on the card named ``device``. A card that is lost is opened again when there is sound.

    ``underruns`` counts how often the queue ran empty in the middle of a sound.
    """

    ahead = AHEAD

    def __init__(
        self, device: str, opened: Callable[[str], CardLike] = Card, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._device = device
        self._opened = opened
        self._clock = clock
        self._card: CardLike | None = None
        self._failure: OSError | None = None
        self._again = 0.0
        self._first, self._at = 0, 0.0
        self._runs = False
        self._queued = 0
        self._looks: deque[int] = deque(maxlen=LOOKS)
        self.underruns = 0
        try:
            self._ready()
        except OSError as error:
            log.error("the sound card %s cannot be used: %s", device, error.strerror)

    def begin(self, sample: int, at: float) -> None:
        """Sample number ``sample`` is to sound at ``at`` of the monotonic clock; what follows, in its time."""
        self._first, self._at, self._queued = sample, at, 0
        self._stop()

    def write(self, sample: int, block: bytes) -> None:
        card = self._ready()
        try:
            try:
                self._put(card, sample, block)
            except OSError as error:
                if error.errno not in RECOVERABLE:
                    raise
                self.underruns += error.errno == errno.EPIPE
                self._runs = False
                card.recover(error.errno)
                self._put(card, sample, block)
        except OSError as error:
            self._lose(error)
            raise

    def halt(self) -> int:
        """Silence at once; how many of the samples written since ``begin`` have not sounded."""
        unheard = 0
        if self._runs and self._card is not None:
            try:
                unheard = max(0, min(self._card.delay(), self._queued))
            except OSError:
                unheard = 0  # the queue has run empty, or the card is gone: ``_stop`` will see
        self._stop()
        return unheard

    def close(self) -> None:
        self._stop()
        if self._card is not None:
            self._card.close()
            self._card = None

    def _put(self, card: CardLike, sample: int, block: bytes) -> None:
        due = self._at + (sample - self._first) / RATE
        if not self._runs:
            self._looks.clear()
            if round((due - self._clock()) * RATE) > PRIME:
                card.write(bytes(2 * PRIME))
                card.start()
                self._runs = True
                queued = card.delay() or PRIME
            else:
                queued = 0
            block = _moved(block, self._early(due, queued))
        elif (queued := card.delay()) > 0:  # a card that takes all at once (``null``) has no queue, no time of its own
            block = _moved(block, self._correction(self._early(due, queued), len(block) // 2))
        if not block:
            return
        card.write(block)
        self._queued += len(block) // 2
        if not self._runs:
            card.start()
            self._runs = True

    def _early(self, due: float, queued: int) -> int:
        """By how many samples what is queued next would sound before it is due."""
        return round((due - self._clock()) * RATE) - queued

    def _correction(self, early: int, most: int) -> int:
        """Samples to give (or, negative, to take: at most ``most``) after a look by which the next one is ``early``."""
        self._looks.append(early)
        if len(self._looks) < LOOKS:
            return 0
        early = max(self._looks)
        given = max(early, -most) if abs(early) > JUMP else (early > DRIFT) - (early < -DRIFT)
        if given:
            self._looks = deque((look - given for look in self._looks), LOOKS)
        return given

    def _ready(self) -> CardLike:
        """The card, opened if it can be. Raises OSError."""
        if self._card is None:
            if self._failure is not None and self._clock() < self._again:
                raise OSError(self._failure.errno, self._failure.strerror)
            try:
                self._card = self._opened(self._device)
            except OSError as error:
                self._lose(error)
                raise
            if self._failure is not None:
                log.info("the sound card %s can be used again", self._device)
            self._failure = None
        return self._card

    def _stop(self) -> None:
        self._runs = False
        if self._card is not None:
            try:
                self._card.silence()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        card, self._card = self._card, None
        self._failure, self._again, self._runs = error, self._clock() + AGAIN, False
        if card is not None:
            card.close()


def _moved(block: bytes, given: int) -> bytes:
    """The block later by so many samples, or without so many of its first. One sample is drawn, at its end, unheard."""
    if abs(given) == 1:
        return block + block[-2:] if given > 0 else block[:-2]
    return bytes(2 * given) + block if given > 0 else block[-2 * given :]
