"""The documents this device holds: verified when they come, kept as they came, verified again on start."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from audio.documents import Ack, DeviceSettings, HubTime, Policy, Trial, decode
from audio.envelope import Header, Opened, Reason, Refused, Sequences, parse
from audio.receiver.clock import DeviceTime
from audio.receiver.files import write_atomic
from audio.receiver.journal import Journal
from audio.receiver.trust import Content, Instant, Trust, kind_of, policy_topic, read_policy
from audio.timetable import Item, Order

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What a frame changed: the documents held, the policy, or receipts that the hub has."""

    changed: bool = False
    policy: bool = False
    acknowledged: tuple[str, ...] = ()
    sounds: tuple[tuple[str, bytes], ...] = ()
    trial: Trial | None = None
    asked: bool = False
    """The hub wants to hear from this device now."""
    save: tuple[str, bytes] | None = None
    """Topic and frame to keep (``Held.keep``): the caller may first do what cannot wait."""


NOTHING = News()
WORDS: dict[str, type[Ack | DeviceSettings | HubTime]] = {"ack": Ack, "set": DeviceSettings, "time": HubTime}
"""What is said once and not held."""


class PolicyRefused(Exception):
    """The pinned policy is not one that the pinned root signed for this device."""


class Held:
    """Programmes, orders and the policy in force. ``refused`` counts what was not accepted, by reason."""

    def __init__(
        self, device: str, root: bytes, pinned: bytes, folder: Path, journal: Journal, time: DeviceTime
    ) -> None:
        """Raises PolicyRefused when ``pinned`` (a policy frame) cannot be trusted."""
        self._device = device
        self._root = root
        self._folder = folder
        self._time = time
        self._frames: dict[str, bytes] = {}
        self._contents: dict[str, Content] = {}
        self.refused: Counter[str] = Counter()
        self._logged: dict[str, int] = {}
        self._sequences = Sequences(journal.sequences, journal.remember)
        saved = {p.name: p.read_bytes() for p in folder.glob("*.frame")}
        header, policy = self._newest_policy(pinned, saved.pop(_name(policy_topic(device)), b""))
        self._policy_seq = header.seq
        self._trust = Trust(policy)
        for frame in saved.values():
            self._load(frame)

    @property
    def trust(self) -> Trust:
        """The checks of the policy in force."""
        return self._trust

    @property
    def policy(self) -> Policy:
        return self._trust.policy

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(i for c in self._contents.values() for i in c.items)

    @property
    def orders(self) -> tuple[Order, ...]:
        return tuple(o for c in self._contents.values() for o in c.orders)

    @property
    def programme(self) -> int:
        """Sequence of the newest programme held; 0 for none."""
        return max((c.header.seq for t, c in self._contents.items() if t.startswith("loa/1/prog/")), default=0)

    def accept(self, topic: str, frame: bytes) -> News:
        """Takes in what came on ``topic``; everything that is not allowed changes nothing and is counted."""
        if not frame:
            return NOTHING
        news = self._accept(topic, frame)
        if isinstance(news, Refused):
            self.refuse(str(news.reason), f"{topic}: {news.detail}")
            return NOTHING
        return news

    def refuse(self, reason: str, detail: str) -> None:
        """Counts a refusal; logs at most one a second of each reason."""
        self.refused[reason] += 1
        now = self._time.now()
        if abs(now - self._logged.get(reason, -1000)) >= 1000:
            self._logged[reason] = now
            log.warning("refused %s: %r", reason, detail)

    def keep(self, topic: str, frame: bytes) -> None:
        """Saves an accepted frame for the next start."""
        write_atomic(self._folder / _name(topic), frame)

    def _accept(self, topic: str, frame: bytes) -> News | Refused:
        kind = kind_of(topic, self.policy)
        if kind is None:
            return Refused(Reason.WRONG_TOPIC, "not for this device")
        if kind == "policy":
            return self._accept_policy(topic, frame)
        opened = self._trust.open_hub(frame, topic, self._instant(kind))
        if isinstance(opened, Refused):
            return opened
        if kind in WORDS:
            return self._accept_word(kind, opened)
        return self._accept_document(kind, topic, frame, opened)

    def _accept_document(self, kind: str, topic: str, frame: bytes, opened: Opened) -> News | Refused:
        content = self._trust.read(opened, kind, self._instant(kind))
        if isinstance(content, Refused):
            return content
        new = self._admit(opened)
        if isinstance(new, Refused):
            return new
        # a device that lost power between admitting this frame and saving it still holds the one before
        if not new and self._frames.get(topic) == frame:
            return NOTHING
        for refused in content.refused:
            self.refuse(str(refused.reason), f"{topic}: {refused.detail}")
        self._frames[topic], self._contents[topic] = frame, content
        return News(changed=True, sounds=content.sounds, save=(topic, frame))

    def _accept_word(self, kind: str, opened: Opened) -> News | Refused:
        try:
            word = decode(WORDS[kind], opened.body)
        except ValueError as error:
            return Refused(Reason.MALFORMED, str(error))
        new = self._admit(opened)
        if isinstance(new, Refused) or not new:
            return new or NOTHING
        if isinstance(word, Ack):
            return News(acknowledged=word.receipts)
        if isinstance(word, DeviceSettings):
            return News(changed=True, trial=word.trial, asked=word.trial is None)
        self._time.hub_says(word.now)
        return News(changed=True)

    def _accept_policy(self, topic: str, frame: bytes) -> News | Refused:
        read = read_policy(frame, self._device, self._root, self._instant("policy"))
        opened = parse(frame)
        if isinstance(read, Refused) or isinstance(opened, Refused):
            return read if isinstance(read, Refused) else NOTHING
        if read[0].seq <= self._policy_seq:
            return NOTHING if read[1] == self.policy else Refused(Reason.REPLAYED, "older than the policy in force")
        new = self._admit(opened)
        if isinstance(new, Refused):
            return new
        self.keep(topic, frame)
        self._policy_seq = read[0].seq
        self._trust = Trust(read[1])
        frames, self._frames, self._contents = self._frames, {}, {}
        for held in frames.values():
            self._load(held)
        return News(changed=True, policy=True)

    def _admit(self, opened: Opened) -> bool | Refused:
        new = self._sequences.admit(opened)
        if new is True:
            self._time.issued(opened.header.issued)
        return new

    def _instant(self, kind: str) -> Instant:
        """Time itself cannot be checked by a clock that may be wrong, nor may an emergency wait for a good one."""
        sure = self._time.synchronised and kind != "time"
        now, floor = self._time.now(), self._time.floor
        return Instant(max(now, floor) if sure else floor, sure, now)

    def _load(self, frame: bytes) -> None:
        """Holds a saved frame again if what is in force still allows it."""
        claimed = parse(frame)
        kind = None if isinstance(claimed, Refused) else kind_of(claimed.header.topic, self.policy)
        if isinstance(claimed, Refused):
            return
        topic = claimed.header.topic
        content = self._reopen(frame, topic, kind)
        if isinstance(content, Refused):
            log.info("%s is no longer held: %s %s", topic, content.reason, content.detail)
            (self._folder / _name(topic)).unlink(missing_ok=True)
            return
        self._time.issued(content.header.issued)
        self._frames[topic], self._contents[topic] = frame, content

    def _reopen(self, frame: bytes, topic: str, kind: str | None) -> Content | Refused:
        if kind not in ("prog", "now"):
            return Refused(Reason.WRONG_TOPIC, "not for this device")
        opened = self._trust.open_hub(frame, topic, self._instant(kind))
        return opened if isinstance(opened, Refused) else self._trust.read(opened, kind, self._instant(kind))

    def _newest_policy(self, pinned: bytes, saved: bytes) -> tuple[Header, Policy]:
        """The newer of the pinned and the saved policy; one in force stays in force until another comes."""
        start = Instant(0, False, 0)
        first = read_policy(pinned, self._device, self._root, start)
        if isinstance(first, Refused):
            raise PolicyRefused(f"{first.reason} {first.detail}")
        later = read_policy(saved, self._device, self._root, start) if saved else first
        newest = first if isinstance(later, Refused) or later[0].seq <= first[0].seq else later
        self._time.issued(newest[0].issued)
        return newest


def _name(topic: str) -> str:
    return hashlib.sha256(topic.encode()).hexdigest()[:32] + ".frame"
