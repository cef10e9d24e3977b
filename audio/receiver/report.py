"""What the device says to the hub: its state when it changes, its receipts until the hub has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from audio.documents import DeviceState, encode
from audio.receiver.journal import Journal

STATE_EVERY = 60_000
STATE_PAUSE = 500
"""Changes closer together than this (ms) go out as one, unless they are about what plays."""
RESEND = 10_000
BATCH = 50
"""At most so many receipts at once: a week's worth after a long night must not choke the line."""


class LinkLike(Protocol):
    """See ``link.Link``."""

    def listen(self, topics: frozenset[str]) -> None: ...

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None: ...


class Reporter:
    def __init__(self, device: str, journal: Journal, link: LinkLike) -> None:
        self._device = device
        self._journal = journal
        self._link = link
        self._up = False
        self._sent: dict[str, int] = {}
        self._state: DeviceState | None = None

    def connection(self, up: bool) -> None:
        """A new connection knows nothing of what went out on the last one."""
        self._up = up
        self._sent = {}
        self._state = None

    def asked(self) -> None:
        """The next report tells the state, changed or not."""
        self._state = None

    def report(self, state: DeviceState) -> None:
        """Sends what is due at ``state.at``."""
        if not self._up:
            return
        self._receipts(state.at)
        if self._due(state):
            self._state = state
            self._publish_state(state)

    def goodbye(self, state: DeviceState) -> None:
        self._receipts(state.at)
        self._publish_state(replace(state, online=False))

    def _receipts(self, now: int) -> None:
        waiting = self._journal.unacknowledged
        due = [r for r in waiting if abs(now - self._sent.get(r.id, -RESEND)) >= RESEND]
        self._sent = {r.id: self._sent[r.id] for r in waiting if r.id in self._sent}
        for receipt in due[:BATCH]:
            self._sent[receipt.id] = now
            self._link.publish(f"loa/1/dev/{self._device}/receipt", encode(receipt), retain=False)

    def _due(self, state: DeviceState) -> bool:
        last = self._state
        if last is None or abs(state.at - last.at) >= STATE_EVERY or state.playing != last.playing:
            return True
        return replace(state, at=last.at) != last and abs(state.at - last.at) >= STATE_PAUSE

    def _publish_state(self, state: DeviceState) -> None:
        self._link.publish(state_topic(self._device), encode(state), retain=True)


def state_topic(device: str) -> str:
    return f"loa/1/dev/{device}/state"
