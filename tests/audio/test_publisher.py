from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.broker import Broker
from audio.documents import Airing, HubTime, NowEntry, NowKind, Span, decode, encode
from audio.envelope import MAX_FRAME, Opened, b64, parse
from audio.grid import Grids
from audio.library import Library
from audio.playout import Playout
from audio.publisher import Hub, Publisher, now_document, programme_document
from audio.relays import Relays
from audio.schedule import quiet
from inventory.model import Session
from nms.moments import to_milliseconds
from nms.store import BulletinRow, Store
from tests.audio.province import DISTRICT, EVENING, OTHER, PROVINCE, WARD, Clock, Keys, network

NOW = to_milliseconds(EVENING)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def entry(number: int, kind: NowKind = NowKind.EMERGENCY) -> NowEntry:
    return NowEntry(f"e{number}", kind, f"b{number}", NOW + number, NOW + DAY)


def row(number: int) -> BulletinRow:
    return BulletinRow(
        id=f"b{number}",
        version=1,
        state="airing",
        cls="emergency",
        tier="province",
        origin=PROVINCE,
        title="Lũ",
        author="an",
        created=EVENING,
        body=b"",
        audience="",
        valid_from=EVENING,
        valid_until=EVENING,
        signed=b"signed",
    )


def test_orders_too_large_for_one_frame_keep_the_newest_sound() -> None:
    sounds = {f"b{n}": ("x" * 100_000,) for n in range(4)}
    document = now_document([(entry(n), row(n)) for n in range(4)], sounds)
    assert [bool(e.sounds) for e in document.entries] == [False, False, True, True]
    assert all(e.signed == b64(b"signed") for e in document.entries)
    assert len(encode(document)) < MAX_FRAME


def test_further_languages_give_way_before_the_main_one() -> None:
    sounds = {"b0": ("v" * 90_000, "j" * 90_000, "b" * 90_000), "b1": ("w" * 60_000,)}
    document = now_document([(entry(n), row(n)) for n in range(2)], sounds)
    assert [tuple(s[0] for s in e.sounds) for e in document.entries] == [("v", "j"), ("w",)]
    assert len(encode(document)) < MAX_FRAME


def test_a_stop_carries_nothing() -> None:
    [stop] = now_document([(entry(0, NowKind.STOP), None)], {}).entries
    assert (stop.signed, stop.sounds) == ("", ())


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60))
def test_a_programme_fits_one_frame_and_says_how_far_it_reaches(wanted: list[int]) -> None:
    airings = [
        (Airing(f"a{n}", f"b{name}", 0, NOW + n, NOW + DAY), name.to_bytes() * (name * 6_000))
        for n, name in enumerate(wanted)
    ]
    programme = programme_document(WARD, airings, NOW + 8 * DAY)
    assert len(encode(programme)) < MAX_FRAME
    count = len(programme.airings)
    assert programme.airings == tuple(airing for airing, _ in airings[:count])
    assert set(programme.signed) == {a.bulletin for a in programme.airings}
    assert programme.until == (NOW + 8 * DAY if count == len(airings) else airings[count][0].start)


def test_the_nearest_units_sessions_and_quiet_hours_hold() -> None:
    plain = network()
    noon = Session(DISTRICT, "trưa", EVENING.time().replace(hour=11, minute=0, second=0), 1800.0)
    net = replace(plain, sessions=(*plain.sessions, replace(noon, unit=OTHER)))
    evening = EVENING.replace(hour=17, minute=0, second=0)
    assert Grids(net).rooms(WARD, "commune", NOW, NOW + DAY)[0] == Span(
        to_milliseconds(evening), to_milliseconds(evening) + 3_600_000
    )
    tomorrow = to_milliseconds((EVENING + timedelta(days=1)).replace(hour=11, minute=0, second=0))
    assert Grids(net).rooms(OTHER, "commune", NOW, NOW + DAY) == (Span(tomorrow, tomorrow + 1_800_000),)
    night = to_milliseconds(EVENING.replace(hour=21, minute=0, second=0))
    assert quiet(net, WARD, NOW, NOW + DAY) == (Span(night, night + 8 * 3_600_000),)
    after_midnight = night + 4 * 3_600_000
    assert quiet(net, WARD, after_midnight, after_midnight + 1)[0].start == night


class Wire(Broker):
    """Keeps what is published, and when."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("127.0.0.1", 1)
        self.sent: list[tuple[str, bytes, int]] = []
        self._now = clock

    def publish(self, topic: str, frame: bytes, *, retain: bool) -> None:
        self.sent.append((topic, frame, self._now.ms))


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Publisher, Wire, Clock]]:
    """A publisher whose store takes an hour for a write."""
    keys, clock = Keys.make(tmp_path / "keys"), Clock()
    wire = Wire(clock)
    with Store.open(tmp_path / "loa.db") as store:
        write = store.write

        async def late(work: Callable[[Any], Any]) -> Any:
            found = await write(work)
            clock.skip(hours=1)
            clock.good = clock() < EVENING + timedelta(minutes=90)
            return found

        monkeypatch.setattr(store, "write", late)
        hub, library = Hub(keys.hub, keys.hub_kid), Library(tmp_path / "content")
        yield Publisher(store, wire, hub, library, clock, Relays(lambda: keys.network), clock.believed), wire, clock


async def test_the_hubs_word_has_the_instant_of_its_sending(slow: tuple[Publisher, Wire, Clock]) -> None:
    publisher, wire, _ = slow
    assert await publisher.time()
    [(topic, frame, sent)] = wire.sent
    parsed = parse(frame)
    assert isinstance(parsed, Opened)
    said = decode(HubTime, parsed.body).now
    assert (topic, parsed.header.issued) == ("loa/1/time", said)
    assert NOW + HOUR <= said <= sent
    assert parsed.header.exp == said + 5 * MINUTE


async def test_a_clock_that_goes_wrong_while_the_number_is_kept_is_not_told(
    slow: tuple[Publisher, Wire, Clock],
) -> None:
    publisher, wire, clock = slow
    clock.skip(hours=1)
    assert not await publisher.time()
    assert not clock.good
    assert not await publisher.time()
    assert wire.sent == []


async def test_policies_are_handed_out_as_the_root_signed_them(tmp_path: Path) -> None:
    keys = Keys.make(tmp_path / "keys")
    broker = Broker("127.0.0.1", 1)
    library = Library(tmp_path / "content")
    with Store.open(tmp_path / "loa.db") as store:
        playout = Playout(
            store, lambda: keys.network, broker, keys.hub, keys.hub_kid, Clock(), {"23557-L01": b"frame"}, library
        )
        await playout.restore()
    assert broker.retained == {"loa/1/policy/23557-L01": b"frame"}
