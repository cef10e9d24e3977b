"""The hub asks a loudspeaker to try itself out, at a real broker and store: who may, what comes back, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from audio.broker import Mosquitto
from audio.documents import DeviceSettings, Receipt, Result, Trial, TrialKind, decode
from audio.envelope import Opened
from audio.playout import Tried
from audio.receiver.trust import Instant
from inventory.model import Person, Role
from nms.journal import new_id
from nms.store import AuditRow, ReceiptRow
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DUNG,
    OTHER,
    Clock,
    Ear,
    Hub,
    Keys,
    SpokenOnce,
    eventually,
    hub,
)

L01 = "23557-L01"
SET = f"loa/1/set/{L01}"
TECHNICIAN = replace(CHI, roles=(Role.TECHNICIAN,))


@pytest.fixture
async def running(keys: Keys, server: Mosquitto, tmp_path: Path) -> AsyncIterator[Hub]:
    async with hub(keys, tmp_path, SpokenOnce(tmp_path / "content"), server.port, Clock()) as started:
        yield started


def asked(ear: Ear) -> Trial:
    """What the newest document asks for, as a device reads it."""
    opened = ear.trust.open_hub([f for f in ear.frames[SET] if f][-1], SET, Instant(ear._clock.ms, True, ear._clock.ms))
    assert isinstance(opened, Opened), opened
    trial = decode(DeviceSettings, opened.body).trial
    assert trial is not None
    return trial


async def answered(running: Hub, silent: bool, result: Result, reason: str = "", content: str = "") -> Tried:
    ear = await running.ear(L01)
    asking = asyncio.create_task(running.playout.test_tone(TECHNICIAN, L01, silent, uid=1000))
    await eventually(lambda: SET in ear.frames)
    trial, now = asked(ear), running.clock.ms
    assert trial.kind is (TrialKind.CHECK if silent else TrialKind.TONE)
    assert now < trial.until <= now + 30_000
    level = -12.0 if result is Result.PLAYED else None
    receipt = Receipt(
        new_id(running.clock()), L01, trial.id, "", 0, content, now, now + 2_000, 0, result, reason, level
    )
    await ear.receipt(replace(receipt, id=new_id(running.clock()), airing="another"))
    await ear.receipt(receipt)
    tried = await asking
    assert isinstance(tried, Tried)
    await eventually(lambda: receipt.id in ear.acknowledged())
    await eventually(lambda: ear.frames[SET][-1] == b"")  # nothing is asked any more
    kept = await running.store.read(lambda s: s.get(ReceiptRow, receipt.id))
    assert kept is not None
    assert (kept.airing, kept.result, kept.reason) == (trial.id, result, reason)
    (audit,) = await running.store.read(lambda s: s.scalars(select(AuditRow)).all())
    assert (audit.action, audit.subject) == (f"device.{trial.kind}", L01)
    return tried


async def test_a_tone_that_was_heard(running: Hub) -> None:
    tried = await answered(running, False, Result.PLAYED)
    assert tried == Tried(L01, TrialKind.TONE, Result.PLAYED, "", -12.0)
    assert tried.passed


async def test_a_tone_in_the_quiet_hours(running: Hub) -> None:
    tried = await answered(running, False, Result.REFUSED, "quiet hours")
    assert (tried.reason, tried.passed) == ("quiet hours", False)


@pytest.mark.parametrize(("content", "reason"), [("ab" * 32, ""), ("", "no sound held")])
async def test_a_silent_check_says_how_far_it_went(running: Hub, content: str, reason: str) -> None:
    tried = await answered(running, True, Result.CHECKED, content=content)
    assert (tried.result, tried.reason, tried.passed) == (Result.CHECKED, reason, True)


async def test_a_device_that_does_not_answer(running: Hub) -> None:
    running.playout._trials._seconds = 0.2
    tried = await running.playout.test_tone(TECHNICIAN, L01, False)
    assert tried == Tried(L01, TrialKind.TONE, Result.MISSED, "no answer")
    assert running.broker.retained[SET] == b""
    assert running.playout._intake.awaited == {}


@pytest.mark.parametrize(
    ("person", "device", "code"),
    [
        (BINH, L01, "BUL040"),
        (CHI, L01, "BUL040"),
        (replace(TECHNICIAN, area=OTHER), L01, "BUL040"),
        (TECHNICIAN, "23557-L99", "BUL041"),
        (TECHNICIAN, "23557-B01", "BUL041"),
    ],
)
async def test_who_may_not(running: Hub, person: Person, device: str, code: str) -> None:
    refused = await running.playout.test_tone(person, device, True)
    assert isinstance(refused, tuple)
    assert all(d.text() and d.fix_text() for d in refused)
    assert [d.code for d in refused] == [code]
    assert f"loa/1/set/{device}" not in running.broker.retained


async def test_operators_may_and_so_may_those_above(running: Hub) -> None:
    running.playout._trials._seconds = 0.1
    for person in (AN, DUNG):
        assert isinstance(await running.playout.test_tone(person, L01, True), Tried)


async def test_without_the_broker_nothing_is_asked(running: Hub, server: Mosquitto) -> None:
    await server.__aexit__(None, None, None)
    await eventually(lambda: not running.broker.connected)
    refused = await running.playout.test_tone(TECHNICIAN, L01, True)
    assert isinstance(refused, tuple)
    assert [d.code for d in refused] == ["BUL042"]
