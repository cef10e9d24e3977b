"""The watch over a real hub, store and broker; the loudspeakers say what the tests tell them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from audio.broker import Mosquitto
from audio.documents import DeviceState, Receipt, Result, encode
from audio.ledger import body_of
from audio.muting import Silencing
from audio.watch import Watch, stations
from nms.alarm_store import open_alarms
from nms.alarms import AlarmKind
from nms.monitor.loop import Snapshot
from nms.store import AiringRow, BulletinRow
from tests.audio.province import (
    DEVICES,
    DUNG,
    ON,
    PROVINCE,
    WARD,
    Ear,
    Hub,
    Keys,
    draft,
    eventually,
)

L01 = "23557-L01"


class Blind:
    """A process that polls nobody."""

    latest: Snapshot | None = None


class Session:
    """One bulletin that begins at 17:00 in the ward; ``say`` is L01's word."""

    def __init__(self, running: Hub, ear: Ear) -> None:
        self.hub, self.ear = running, ear
        self.watch = Watch(running.store, lambda: running.keys.network, running.clock, Blind(), running.playout.words)

    async def begin(self, seconds: float) -> None:
        """The bulletin is approved; then it is so many seconds past its start."""
        bulletin, _ = await self.hub.push(draft())
        read = self.hub.store.read
        self.airing = (await read(lambda s: s.scalars(select(AiringRow)).all()))[0]
        row = await read(lambda s: s.get(BulletinRow, bulletin))
        assert row is not None
        self.bulletin = body_of(row)
        self.hub.clock.skip(seconds=(self.airing.start - self.hub.clock()).total_seconds() + seconds)

    async def say(self, **changes: object) -> None:
        state = DeviceState(L01, True, self.hub.clock.ms, cached=(self.bulletin.content,))
        state = replace(state, **changes)  # type: ignore[arg-type] # fields by name
        await self.ear.say("state", encode(state))
        playout = self.hub.playout
        await eventually(lambda: playout._intake.states.get(L01) == state)

    async def alarms(self, *, after: float = 0.0) -> list[tuple[str, AlarmKind]]:
        """The open alarms after a look now, and one ``after`` so many seconds."""
        await self.watch.look()
        if after:
            self.hub.clock.skip(seconds=after)
            await self.watch.look()
        return [(a.subject, a.kind) for a in await self.hub.store.read(open_alarms)]


@pytest.fixture
async def session(running: Hub) -> Session:
    return Session(running, await running.ear(L01))


SILENT = [(L01, AlarmKind.SILENT)]


async def test_silence_is_told_after_ten_seconds_and_ends_with_the_sound(session: Session) -> None:
    await session.begin(1)
    await session.say()
    assert await session.alarms() == []
    assert await session.alarms(after=11) == SILENT
    await session.say(playing=session.airing.id, bulletin=session.bulletin.id)
    assert await session.alarms() == []


async def test_a_late_receipt_settles_a_silence(session: Session) -> None:
    await session.begin(1)
    await session.say()
    assert await session.alarms(after=11) == SILENT
    await session.say(waiting=1)
    assert await session.alarms() == []
    start, b = session.hub.clock.ms - 12_000, session.bulletin
    await session.ear.receipt(
        Receipt("r1", L01, session.airing.id, b.id, 0, b.content, start, start + b.duration, 0, Result.PLAYED)
    )
    await eventually(lambda: "r1" in session.ear.acknowledged())
    await session.say()
    assert await session.alarms(after=11) == []


async def test_nobody_is_silent_who_cannot_be_asked(session: Session, server: Mosquitto) -> None:
    await session.begin(1)
    await session.say()
    await server.kill()
    await eventually(lambda: not session.hub.broker.connected)
    assert await session.alarms(after=30) == []
    await server.start()
    await eventually(lambda: session.hub.broker.connected)
    assert await session.alarms(after=30) == [], "it has not spoken since"
    await session.say()
    assert await session.alarms(after=11) == SILENT


async def test_what_is_missing_stays_told_while_the_device_is_away(session: Session) -> None:
    await session.begin(-5)
    await session.say(cached=())
    missing = [(L01, AlarmKind.CACHE_INCOMPLETE)]
    await session.alarms()
    assert set(missing) <= set(await session.alarms(after=12))
    await session.say(online=False, cached=())
    assert await session.alarms() == missing
    await session.say(playing=session.airing.id, bulletin=session.bulletin.id)
    assert await session.alarms() == []


def test_loudspeakers_stand_where_their_orders_reach_them(keys: Keys) -> None:
    found = stations(keys.network, ON)
    assert set(found) == {str(d.id) for d in DEVICES if d.kind == "loudspeaker"}
    assert found[L01].unit == WARD
    assert {f"u/{PROVINCE}", f"u/{WARD}", f"d/{L01}"} <= found[L01].places
    assert "g/riverside" in found["23557-L02"].places


async def test_who_is_silenced_is_not_called_silent_and_must_not_play(session: Session) -> None:
    until = session.hub.clock() + timedelta(days=3)
    await session.hub.playout.mute(DUNG, Silencing(L01, until, "loa rú"))
    await session.begin(1)
    await session.say()
    assert await session.alarms(after=11) == []
    await session.say(playing=session.airing.id, bulletin=session.bulletin.id)
    assert await session.alarms(after=11) == [(L01, AlarmKind.UNSCHEDULED)]


async def test_after_the_silence_it_is_asked_again(session: Session) -> None:
    until = session.hub.clock() + timedelta(days=3)
    await session.hub.playout.mute(DUNG, Silencing(L01, until, "loa rú"))
    await session.begin(1)
    await session.say()
    assert await session.alarms(after=11) == []
    await session.hub.playout.unmute(DUNG, L01, "đã sửa")
    await session.say()
    assert await session.alarms() == []
    assert await session.alarms(after=11) == SILENT
