"""A live bulletin from its handing in to its end, at the desk: who, when, where, and what becomes of its air."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from audio import ledger, microphones, retention
from audio.broker import Mosquitto
from audio.bulletin import Draft, State, compose, is_spoken
from audio.documents import Bulletin, BulletinClass, ContentKind, Span, decode
from audio.editing import Edited, Edits
from audio.envelope import is_microphone, is_session, microphone_of
from audio.grid import Grids
from audio.microphones import Speech
from audio.playout import Approved, Stopped
from audio.receiver.trust import Content as Meaning
from audio.schedule import Request, together
from audio.timetable import GAP, Placement
from inventory.model import UnitId
from nms.journal import new_id
from nms.moments import to_milliseconds
from nms.store import AiringRow, AuditRow, BulletinRow
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DUNG,
    EM,
    EVENING,
    GIA,
    ON,
    OTHER,
    WARD,
    Clock,
    Hub,
    Keys,
    SpokenOnce,
    codes,
    draft,
    emergency,
    eventually,
    hub,
    network,
)

FIVE = EVENING.replace(hour=17, minute=0, second=0)
MINUTES = 60_000
LENGTH = 10 * MINUTES


def live(**changes: object) -> Draft:
    """Ten minutes at the ward's microphone."""
    return draft(**{"text": "", "live": LENGTH, "title": "Chủ tịch phường nói chuyện"} | changes)


def everywhere(**changes: object) -> Draft:
    """Ten minutes at the province's microphone, for all communes."""
    return emergency(**{"text": "", "live": LENGTH, "cls": BulletinClass.PRIORITY, "title": "Chủ tịch tỉnh"} | changes)


async def body(running: Hub, bulletin: str) -> Bulletin:
    data = await running.playout.body(bulletin)
    assert isinstance(data, bytes)
    return decode(Bulletin, data)


async def starts(running: Hub, bulletin: str) -> dict[str, datetime]:
    query = select(AiringRow).where(AiringRow.bulletin == bulletin, ~AiringRow.cancelled)
    return {row.unit: row.start for row in await running.store.read(lambda s: s.scalars(query).all())}


async def due(running: Hub, seconds: float = 0.0) -> frozenset[str]:
    """The microphones that are open now, or will be within so many seconds."""
    now = running.clock()
    return await running.store.read(lambda s: microphones.due(s, now, now + timedelta(seconds=seconds)))


# -- handing in


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"text": "Kính thưa bà con"}, "BUL011"),
        ({"audio": Path("nói.wav")}, "BUL011"),
        ({"live": 9_999}, "BUL008"),
        ({"live": 31 * MINUTES}, "BUL008"),
        ({"repeats": 2}, "BUL092"),
        ({"every": 60 * MINUTES}, "BUL092"),
        ({"by_session": True}, "BUL092"),
        ({"cls": BulletinClass.EMERGENCY}, "BUL091"),
        ({"drill": True}, "BUL091"),
        ({"title": " "}, "BUL006"),
        ({"author": GIA.id}, "BUL001"),
    ],
)
def test_what_cannot_be_spoken_live_is_refused_with_its_reason(changes: dict[str, object], code: str) -> None:
    assert code in codes(compose(network(), ON, live(**changes), None, EVENING))


def test_what_is_signed_is_a_relay_of_a_session_of_its_own() -> None:
    made = compose(network(), ON, live(volume=70), None, EVENING)
    assert isinstance(made, Bulletin)
    assert (made.kind, made.duration, made.volume) == (ContentKind.RELAY, LENGTH, 70)
    assert made.content == microphone_of(made.id) == f"mic-{made.id[-12:]}"
    assert is_session(made.content)
    assert is_microphone(made.content)
    assert is_spoken(made)
    assert (made.siren, made.times, made.every, made.text) == (0, 1, 0, "")
    assert not is_spoken(replace(made, id=new_id(EVENING))), "nobody speaks in another bulletin's session"
    assert not is_spoken(replace(made, kind=ContentKind.RECORDING))
    assert not is_microphone("mic-a")
    assert not is_microphone("vov1")


async def test_quiet_hours_let_no_microphone_be_asked_for_at_once(
    keys: Keys, library: SpokenOnce, server: Mosquitto, tmp_path: Path
) -> None:
    late = Clock(EVENING.replace(hour=22))
    async with hub(keys, tmp_path, library, server.port, late) as running:
        assert codes(await running.playout.submit(CHI, live(play_now=True))) == ["BUL014"]
        # handed in for a session, or approved only by night: it waits for the morning
        bulletin, approved = await running.push(live(), DUNG)
        assert approved.starts == {WARD: to_milliseconds(FIVE.replace(hour=5) + timedelta(days=1))}
        assert await due(running, 60.0) == frozenset()
        assert len(await starts(running, bulletin)) == 1


async def test_at_once_ends_before_the_quiet_hours_or_waits_for_the_morning(
    keys: Keys, library: SpokenOnce, server: Mosquitto, tmp_path: Path
) -> None:
    dusk = Clock(EVENING.replace(hour=20, minute=55))
    async with hub(keys, tmp_path, library, server.port, dusk) as running:
        _, approved = await running.push(live(play_now=True), DUNG)
        assert approved.starts == {WARD: to_milliseconds(FIVE.replace(hour=5) + timedelta(days=1))}
        _, brief = await running.push(live(play_now=True, live=2 * MINUTES), DUNG)
        assert brief.starts[WARD] < to_milliseconds(EVENING.replace(hour=20, minute=56))


# -- approving


async def test_it_is_approved_by_another_person_and_placed_as_everything_is(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    recording, first = await running.push(draft(), DUNG)
    mine = await running.submit(live(author=EM.id))
    signed = await running.sign(mine, WARD)
    assert codes(await running.playout.approve(EM, mine, signed)) == ["BUL021"], "an approver too writes for another"
    approved = await running.playout.approve(DUNG, mine, signed)
    assert isinstance(approved, Approved)
    spoken = (await body(running, recording)).duration
    assert first.starts == {WARD: to_milliseconds(FIVE)}
    assert approved.starts == {WARD: to_milliseconds(FIVE) + spoken + GAP}
    later, after = await running.push(draft(title="Sau đó"), DUNG)
    assert after.starts[WARD] == approved.starts[WARD] + LENGTH + GAP, "nothing else is planned meanwhile"
    await eventually(lambda: "loa/1/prog/23557" in ear.frames)

    def held() -> dict[str, tuple[int, bool]]:
        meaning = ear.read("loa/1/prog/23557")
        assert isinstance(meaning, Meaning)
        assert meaning.refused == ()
        return {i.airing.bulletin: (i.airing.start, i.relay) for i in meaning.items}

    await eventually(lambda: later in held())
    assert held()[mine] == (approved.starts[WARD], True), "the real receiver takes it for a relay"
    view = await running.playout.bulletin(mine)
    assert view is not None
    assert (view.duration, view.expected, view.state) == (LENGTH, 2, State.SCHEDULED)


async def test_the_grids_relays_know_nothing_of_it(running: Hub) -> None:
    """It has one window and no line: neither the weekly grid nor its list of signatures speaks of it."""
    from audio import relays

    bulletin = await running.submit(live(play_now=True))
    now = running.clock()
    assert await running.store.read(lambda s: relays.waiting(s, now)) == ()
    await running.playout.approve(DUNG, bulletin, await running.sign(bulletin, WARD))
    assert await running.store.read(lambda s: relays.series(s, now)) == ()
    assert await running.store.read(lambda s: relays.Relays(network).on_air(s, now, now)) == frozenset()
    assert await due(running, 10.0) == {microphone_of(bulletin)}
    running.clock.skip(minutes=11)
    assert await due(running, 10.0) == frozenset(), "its window is over"


async def test_the_provinces_microphone_is_heard_everywhere_at_one_instant(running: Hub) -> None:
    busy, _ = await running.push(live(play_now=True, live=3 * MINUTES), DUNG)
    ward_free = (await starts(running, busy))[WARD] + timedelta(minutes=3, milliseconds=GAP)
    bulletin, approved = await running.push(everywhere(play_now=True))
    assert set(approved.starts) == {WARD, OTHER}
    assert await starts(running, bulletin) == {WARD: ward_free, OTHER: ward_free}
    assert approved.homeless == ()
    edited = await running.playout.edit(AN, bulletin, Edits(play_now=False))
    assert isinstance(edited, Edited), edited
    found = await starts(running, bulletin)
    assert found[WARD] == found[OTHER] >= ward_free
    refused = await running.playout.order(CHI, WARD, bulletin, busy)
    assert codes(refused) == ["BUL082"], "no commune moves what is heard elsewhere too"


async def test_a_commune_that_picks_an_offered_speech_joins_the_others_instant(running: Hub) -> None:
    bulletin, approved = await running.push(everywhere(cls=BulletinClass.NORMAL))
    assert approved.starts == {}
    assert codes(await running.playout.speeches.look(AN, bulletin)) == ["BUL095"]
    picked = await running.playout.pick(CHI, WARD, bulletin)
    assert isinstance(picked, Approved), picked
    found = await starts(running, bulletin)
    assert found == {WARD: FIVE}
    blocked, _ = await running.push(everywhere(title="Tin khác", live=5 * MINUTES, audience="commune=23560"))
    # the other commune's air at that instant is taken by now: it does not hear another part of the speech instead
    assert (await starts(running, blocked))[OTHER] == FIVE
    scene = running.playout._scene()
    taken = await running.store.read(lambda s: ledger.taken(s, OTHER, scene.now))
    assert taken == (Span(to_milliseconds(FIVE), to_milliseconds(FIVE) + 5 * MINUTES),)


def test_one_instant_is_looked_for_until_all_have_room() -> None:
    bulletin = replace(
        _composed(), valid_from=to_milliseconds(FIVE), valid_until=to_milliseconds(FIVE + timedelta(hours=1))
    )
    five, now = to_milliseconds(FIVE), to_milliseconds(EVENING)
    request, grids = Request(bulletin, 1, sessions=True), Grids(network())
    ward = (Span(five, five + 12 * MINUTES), Span(five + 25 * MINUTES, five + 30 * MINUTES))
    other = (Span(five + 10 * MINUTES, five + 20 * MINUTES),)
    found = together(grids, {WARD: ward, OTHER: other}, request, now)
    assert {unit: start.start for unit, start in found.items()} == {
        WARD: five + 30 * MINUTES + GAP,
        OTHER: five + 30 * MINUTES + GAP,
    }
    full = (Span(five, five + 55 * MINUTES),)
    alone = together(grids, {WARD: full, OTHER: other}, request, now)
    assert [(unit, start.start) for unit, start in alone.items()] == [(OTHER, five + 20 * MINUTES + GAP)]
    assert together(grids, {WARD: full}, request, now) == {}
    joined = together(grids, {WARD: (), OTHER: other}, request, now, five + 5 * MINUTES)
    assert joined == {WARD: Placement(bulletin.id, 0, five + 5 * MINUTES, five + 60 * MINUTES)}, "it has no other"
    assert together(grids, {}, request, now) == {}


spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20)).map(
        lambda at: Span(to_milliseconds(FIVE) + at[0] * MINUTES, to_milliseconds(FIVE) + (at[0] + at[1]) * MINUTES)
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(spans, spans, st.booleans())
def test_what_begins_at_one_instant_has_room_there_and_no_sooner(
    ward: list[Span], other: list[Span], sessions: bool
) -> None:
    now = to_milliseconds(EVENING)
    bulletin = replace(_composed(), valid_until=to_milliseconds(FIVE + timedelta(hours=3)))
    request, grids, taken = Request(bulletin, 1, sessions), Grids(network()), {WARD: ward, OTHER: other}
    found = together(grids, taken, request, now)
    assert len({start.start for start in found.values()}) <= 1
    for unit, start in found.items():
        whole = Span(start.start, start.start + LENGTH)
        assert all(busy.until + GAP <= whole.start or whole.until + GAP <= busy.start for busy in taken[unit])
        assert whole.until <= start.latest <= bulletin.valid_until
        (alone,) = together(grids, {unit: taken[unit]}, request, now).values()
        assert alone.start <= start.start
    if len(found) == 1:
        # whoever is left out has no room, or none any more where the other one has
        ((unit, start),) = found.items()
        left_out = {u: busy for u, busy in taken.items() if u != unit}
        assert start.start not in [p.start for p in together(grids, left_out, request, now, start.start).values()]


def _composed() -> Bulletin:
    made = compose(network(), ON, live(), None, EVENING)
    assert isinstance(made, Bulletin)
    return made


# -- editing


async def test_its_title_changes_at_once_and_its_length_with_a_new_signature(running: Hub) -> None:
    bulletin, _ = await running.push(live(), DUNG)
    renamed = await running.playout.edit(CHI, bulletin, Edits(title="Đối thoại"))
    assert isinstance(renamed, Edited), renamed
    assert (renamed.bulletin, renamed.waiting, renamed.changed) == (bulletin, False, ("title",))
    wider = await running.playout.edit(CHI, bulletin, Edits(volume=60))
    assert isinstance(wider, Edited), wider
    assert (wider.version, wider.waiting, wider.changed) == (2, True, ("volume",))
    second = await body(running, wider.bulletin)
    assert is_spoken(second)
    assert (second.duration, second.volume, second.content) == (LENGTH, 60, microphone_of(wider.bulletin))
    instead = await running.playout.edit(CHI, wider.bulletin, Edits(text="Buổi nói chuyện được hoãn."))
    assert isinstance(instead, Edited), instead
    third = await body(running, instead.bulletin)
    assert (third.kind, set(instead.changed)) == (ContentKind.SPEECH, {"text", "live"})


async def test_it_keeps_no_sound_from_being_forgotten_and_is_none_itself(running: Hub, library: SpokenOnce) -> None:
    bulletin, _ = await running.push(live(), DUNG)
    content = (await body(running, bulletin)).content
    assert library.path(content) is None
    now = running.clock()
    assert await running.store.read(lambda s: retention.unneeded(s, ["0" * 64], now, timedelta(days=1))) == {"0" * 64}


# -- speaking


async def test_its_author_and_its_units_people_speak_while_it_is_planned_or_airing(running: Hub) -> None:
    bulletin = await running.submit(live(play_now=True))
    look = running.playout.speeches.look
    assert codes(await look(CHI, bulletin)) == ["BUL095"], "not approved yet"
    approved = await running.playout.approve(DUNG, bulletin, await running.sign(bulletin, WARD))
    assert isinstance(approved, Approved)
    for person in (CHI, DUNG, EM, AN, BINH):
        found = await look(person, bulletin)
        assert isinstance(found, Speech), person
        start = approved.starts[WARD]
        assert (found.session, found.start, found.until) == (microphone_of(bulletin), start, start + LENGTH)
    assert codes(await look(GIA, bulletin)) == ["BUL093"]
    recording, _ = await running.push(draft(), DUNG)
    assert codes(await look(CHI, recording)) == ["BUL094"]
    assert codes(await look(CHI, "nobody-knows-it")) == ["BUL020"]
    await running.playout.speeches.note(CHI, bulletin, 1000)
    running.clock.skip(minutes=11)
    assert codes(await look(CHI, bulletin)) == ["BUL095"], "its window is over"


async def test_the_wards_people_do_not_speak_for_the_province(running: Hub) -> None:
    bulletin, _ = await running.push(everywhere(play_now=True))
    for person in (CHI, DUNG):
        assert codes(await running.playout.speeches.look(person, bulletin)) == ["BUL093"]


async def test_an_early_end_frees_the_air_and_the_bulletin_has_aired(running: Hub) -> None:
    bulletin, _ = await running.push(live(play_now=True), DUNG)
    ended = await running.playout.speeches.end(CHI, bulletin, 1000)
    assert isinstance(ended, Stopped)
    assert await starts(running, bulletin), "not begun: it stays planned"
    running.clock.skip(minutes=2)
    assert await due(running) == {microphone_of(bulletin)}
    assert isinstance(await running.playout.speeches.end(CHI, bulletin, 1000), Stopped)
    assert await running.state(bulletin) == State.AIRED
    assert await due(running) == frozenset()
    assert await starts(running, bulletin) == {}
    assert codes(await running.playout.speeches.end(CHI, bulletin, 1000)) == ["BUL095"], "it is over already"
    following, approved = await running.push(draft(play_now=True), DUNG)
    assert approved.starts[WARD] < running.clock.ms + 2 * MINUTES, "the programme goes on"
    acts = select(AuditRow.action, AuditRow.person).where(AuditRow.subject == bulletin).order_by(AuditRow.n)
    done = [tuple(row) for row in await running.store.read(lambda s: s.execute(acts).all())]
    assert done[-1] == ("bulletin.speech_end", "chi")
    assert following != bulletin


async def test_a_stop_by_the_operator_closes_the_microphone(running: Hub) -> None:
    bulletin, _ = await running.push(live(play_now=True), DUNG)
    running.clock.skip(minutes=1)
    await running.playout.stop(DUNG, "commune=23557", bulletin, None, "")
    assert await running.state(bulletin) == State.CANCELLED
    assert codes(await running.playout.speeches.look(CHI, bulletin)) == ["BUL095"]
    assert await due(running) == frozenset()


async def test_what_was_paused_and_stored_is_the_same_for_every_part(running: Hub) -> None:
    """The row says what the signed bytes say: once, so long, without a sound."""
    bulletin, _ = await running.push(live(), DUNG)
    row = await running.store.read(lambda s: s.get_one(BulletinRow, bulletin))
    assert (row.repeats, row.every, row.by_session) == (1, 0, False)
    airing = (await running.store.read(lambda s: ledger.airings(s, bulletin)))[0]
    assert airing.duration == LENGTH / 1000
    assert UnitId(airing.unit) == WARD
