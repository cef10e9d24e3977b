"""Ten days of a province in fast time: 220 communes with their grids, 200 bulletins, emergencies, power cuts.

Everything is drawn from one seed. Each commune's programme is made as the hub makes it and played as a device plays it;
what is heard is compared with the rules, and two runs give the same log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from random import Random

import pytest

from audio import relays, schedule
from audio.documents import (
    Airing,
    Audience,
    Bulletin,
    BulletinClass,
    Ceilings,
    ContentKind,
    NowKind,
    Policy,
    Quiet,
    Span,
)
from audio.grid import Grids, airtime, exceptions, silent_windows, span_of
from audio.relays import Series
from audio.timetable import DAY, MINUTE, RESUME_WITHIN, Item, Order, Segment, is_quiet, missed, quiet_begins, what_plays
from inventory.lines import (
    AirtimeLimit,
    Grid,
    Holiday,
    QuietException,
    Relay,
    SilentWindow,
    Slot,
    When,
)
from inventory.model import (
    TIMEZONE,
    Network,
    Person,
    PersonId,
    QuietHours,
    Role,
    Session,
    Tier,
    Unit,
    UnitId,
    UnitType,
)
from nms.moments import from_milliseconds, to_milliseconds

FIRST = date(2024, 12, 27)
"""New Year's Eve, a holiday and an exam lie in the ten days from here."""
DAYS = 10
START = to_milliseconds(datetime.combine(FIRST, time(), TIMEZONE))
END = START + DAYS * DAY
PROVINCE = UnitId("64")
DISTRICTS = tuple(UnitId(str(600 + n)) for n in range(17))
COMMUNES = tuple(UnitId(str(23_000 + n)) for n in range(220))
BULLETINS = 200
EDITOR = Person(PersonId("e"), "E", "e", (Role.EDITOR,), PROVINCE)


def at(clock: str, day: int = 0) -> datetime:
    return datetime.combine(FIRST + timedelta(days=day), time.fromisoformat(clock), TIMEZONE)


def province(rng: Random) -> Network:
    units = [Unit(PROVINCE, "64", "Tỉnh", Tier.PROVINCE, UnitType.PROVINCE, None)]
    units += [Unit(d, d, f"Huyện {d}", Tier.DISTRICT, UnitType.DISTRICT, PROVINCE) for d in DISTRICTS]
    units += [
        Unit(c, c, f"Xã {c}", Tier.COMMUNE, UnitType.COMMUNE, DISTRICTS[n % len(DISTRICTS)])
        for n, c in enumerate(COMMUNES)
    ]
    names = (("sáng", 5), ("trưa", 11), ("chiều", 17))
    return Network(
        province=PROVINCE,
        name="Tỉnh",
        as_of=None,
        overlay="127",
        units={u.id: u for u in units},
        hamlets={},
        stations={},
        devices={},
        quiet_hours=(QuietHours(PROVINCE, time(21), time(5)),),
        sessions=tuple(Session(PROVINCE, name, time(hour), 3600.0) for name, hour in names),
        grid=grid(rng),
    )


def grid(rng: Random) -> Grid:
    eve, new_year = FIRST + timedelta(days=4), FIRST + timedelta(days=5)
    own = rng.sample(COMMUNES, 40)
    return Grid(
        relays=(
            Relay(PROVINCE, "VOV1", "vov1", time(5), 1800.0),
            Relay(PROVINCE, "giao thừa", "vov1", time(23, 45), 1800.0, When((), eve, new_year)),
            *(Relay(c, "chợ", "vov2", time(11, 30), 900.0, When((rng.randrange(7),))) for c in own[:20]),
        ),
        slots=(
            *(Slot(d, "huyện", Tier.DISTRICT, time(5, 30), 900.0) for d in DISTRICTS[:9]),
            *(Slot(c, "xã", Tier.COMMUNE, time(5, rng.choice((20, 45))), 600.0) for c in own[15:]),
        ),
        holidays=(Holiday(PROVINCE, "tet", "Tết", new_year, new_year + timedelta(days=1), ("trưa",)),),
        silent=tuple(SilentWindow(at("17:10", 7), at("17:40", 7), "thi", unit=c) for c in COMMUNES[:30]),
        exceptions=(QuietException(PROVINCE, at("23:30", 4), at("00:30", 5), PersonId("l"), "12/UBND"),),
        airtime=tuple(AirtimeLimit(d, 3_000.0) for d in DISTRICTS[:5]),
    )


def bulletins(rng: Random, network: Network) -> Iterator[tuple[int, int, Bulletin]]:
    """When each is approved, how often it is to be heard, and what it is."""
    for number in range(BULLETINS):
        tier = rng.choice((Tier.PROVINCE, Tier.DISTRICT, Tier.COMMUNE, Tier.COMMUNE, Tier.COMMUNE))
        origin = {Tier.PROVINCE: PROVINCE, Tier.DISTRICT: rng.choice(DISTRICTS), Tier.COMMUNE: rng.choice(COMMUNES)}
        approved = START + rng.randrange(8 * 24 * 60) * MINUTE
        priority = rng.random() < 0.4
        yield (
            approved,
            rng.choice((1, 1, 2, 3)),
            Bulletin(
                f"b{number:03}",
                1,
                BulletinClass.PRIORITY if priority else BulletinClass.NORMAL,
                ContentKind.RECORDING,
                str(tier),
                origin[tier],
                f"Bản tin {number}",
                f"{number:064x}",
                rng.randrange(20, 400) * 1000,
                Audience(units=(origin[tier],)),
                approved,
                approved + rng.choice((1, 2, 4)) * DAY,
            ),
        )


@dataclass(frozen=True)
class Commune:
    """One commune's days: what is planned, what was left out, what happens to its device."""

    unit: UnitId
    items: tuple[Item, ...]
    homeless: tuple[str, ...]
    orders: tuple[Order, ...]
    cuts: tuple[Span, ...]
    policy: Policy


def plan(network: Network, seed: int) -> list[Commune]:
    rng = Random(seed)
    grids = Grids(network)
    signed = [series(network, line, number) for number, line in enumerate(network.grid.relays)]
    wanted = sorted(bulletins(rng, network), key=lambda b: (b[0], b[2].id))
    alarms = [alarm(rng, number) for number in range(6)]
    return [commune(grids, unit, signed, wanted, alarms, Random(f"{seed}/{unit}")) for unit in COMMUNES]


def series(network: Network, line: Relay, number: int) -> Series:
    _, bulletin = relays.compose(network, line, EDITOR, "", from_milliseconds(START))
    return Series(replace(bulletin, id=f"r{number}"), b"")


def alarm(rng: Random, number: int) -> Order:
    """An emergency of an hour at the most, for the province or one district, by day or night."""
    start = START + rng.randrange(DAYS * 24 * 60) * MINUTE
    area = rng.choice((PROVINCE, *DISTRICTS))
    end = start + rng.randrange(1, 60) * MINUTE
    bulletin = Bulletin(
        f"e{number}",
        1,
        BulletinClass.EMERGENCY,
        ContentKind.RECORDING,
        "province",
        PROVINCE,
        "Lũ",
        "e" * 64,
        20_000,
        Audience(units=(area,)),
        start,
        end,
        siren=3_000,
        times=3,
        every=10 * MINUTE,
    )
    return Order(f"e{number}", NowKind.EMERGENCY, bulletin.id, start, end, bulletin)


def commune(
    grids: Grids,
    unit: UnitId,
    signed: Sequence[Series],
    wanted: Sequence[tuple[int, int, Bulletin]],
    alarms: Sequence[Order],
    rng: Random,
) -> Commune:
    """The hub's decisions, in the order in which bulletins are approved."""
    above = grids.network.chain(unit)
    items: list[Item] = []
    taken: list[Span] = []
    homeless: list[str] = []
    for approved, repeats, bulletin in wanted:
        if bulletin.origin not in above:
            continue
        request = schedule.Request(bulletin, repeats, sessions=True)
        placed = schedule.starts(grids, unit, request, taken, approved)
        if len(placed) < repeats:
            homeless.append(bulletin.id)
        for one in placed:
            airing = Airing(f"{bulletin.id}/{one.repeat}", bulletin.id, one.repeat, one.start, one.latest)
            items.append(Item(airing, bulletin))
            taken.append(Span(one.start, one.start + bulletin.duration))
    bodies = {s.bulletin.id: s.bulletin for s in signed}
    relayed = [Item(a, bodies[a.bulletin]) for a, _ in relays.airings(grids, unit, signed, START, END)]
    cuts = [Span(begin, begin + rng.randrange(1, 20) * MINUTE) for begin in (start(rng) for _ in range(2))]
    return Commune(unit, (*items, *relayed), tuple(homeless), tuple(alarms), tuple(cuts), policy(grids, above))


def start(rng: Random) -> int:
    """A power cut within a session as likely as not."""
    return START + rng.randrange(DAYS) * DAY + rng.choice((5, 11, 17)) * 60 * MINUTE + rng.randrange(60) * MINUTE


def policy(grids: Grids, above: tuple[UnitId, ...]) -> Policy:
    """As ``trust.policy`` makes it, without keys."""
    network = grids.network
    silent = tuple(span_of(w.start, w.end) for w in silent_windows(network, above))
    return Policy(
        f"{above[0]}-L01",
        above,
        (),
        (),
        (Quiet(21 * 60, 5 * 60),),
        exceptions(network, above),
        Ceilings(80, 60, 100),
        silent=silent,
        airtime=airtime(network, above),
    )


def play(one: Commune) -> list[Segment]:
    """What the device plays: it asks when it is told to, and its history is its only memory."""
    history: list[Segment] = []
    now, ends = START, 0
    while now < END:
        cut = next((c for c in one.cuts if c.start <= now < c.until), None)
        if cut is not None:
            close(history, now, cut=True)
            now = cut.until
            continue
        if history and history[-1].ended is None and now >= ends:
            close(history, ends, cut=False)
        items = [i for i in one.items if now - DAY < i.airing.start < now + DAY]
        recent = [s for s in history[-80:] if s.ended is None or s.ended > now - DAY]
        decision = what_plays(items, one.orders, recent, now, one.policy)
        running = history[-1] if history and history[-1].ended is None else None
        chosen = decision.play
        if running and (chosen is None or (chosen.airing, chosen.repeat) != (running.airing, running.repeat)):
            close(history, now, cut=decision.reason.startswith("emergency"))
            running = None
        if chosen is not None and running is None:
            history.append(Segment(chosen.airing, chosen.repeat, now, chosen.offset))
            ends = chosen.ends
        now = min([decision.until, END, now + DAY // 2, *(c.start for c in one.cuts if c.start > now)])
    close(history, now, cut=False)
    return history


def close(history: list[Segment], now: int, *, cut: bool) -> None:
    if history and history[-1].ended is None:
        history[-1] = replace(history[-1], ended=now, cut=cut)


# --- what must hold ---------------------------------------------------------------------------------------------------


def ended(segment: Segment) -> int:
    assert segment.ended is not None
    return segment.ended


def check_sound(one: Commune, heard: Sequence[Segment]) -> None:
    """Never two at once; quiet hours and silent windows; emergencies win."""
    alarms = {o.entry: o for o in one.orders}
    mine = [o for o in one.orders if o.bulletin is not None and set(o.bulletin.audience.units) & set(one.policy.units)]
    for before, after in pairwise(heard):
        assert ended(before) <= after.began
    for segment in heard:
        if segment.airing not in alarms:
            assert ended(segment) <= quiet_begins(segment.began, one.policy)
            assert not any(o.start < ended(segment) and segment.began < o.until for o in mine)
    for order in mine:
        dark = any(c.start < order.start + 2 * MINUTE and order.start < c.until for c in one.cuts)
        earlier = any(o.start <= order.start < o.until for o in mine if o is not order)
        if not dark and not earlier and order.start + 2 * MINUTE < END:
            assert any(s.airing == order.entry and s.began == order.start for s in heard)


def check_items(one: Commune, heard: Sequence[Segment]) -> None:
    """Once per repeat, remainders by the rule, relays at their instants, slots kept, all heard or told."""
    parts: dict[tuple[str, int], list[Segment]] = {}
    for segment in heard:
        parts.setdefault((segment.airing, segment.repeat), []).append(segment)
    told = {i.airing.airing for i in missed(one.items, heard, END + DAY, one.policy)}
    for item in one.items:
        mine = parts.get((item.airing.airing, item.airing.repeat), [])
        assert bool(mine) != (item.airing.airing in told)
        for segment in mine:
            assert item.airing.start <= segment.began
            assert ended(segment) <= item.airing.latest
            assert not item.relay or segment.offset == segment.began - item.airing.start
        for before, after in pairwise(mine):
            assert before.cut
            if not item.relay:
                assert after.began - ended(before) <= RESUME_WITHIN
                assert after.offset == before.offset + ended(before) - before.began


def check_days(one: Commune, heard: Sequence[Segment]) -> None:
    """The day's airtime, and a programme that was placed within it."""
    if not one.policy.airtime:
        return
    scheduled = {i.airing.airing for i in one.items}
    for day in range(START, END, DAY):
        parts = [
            min(ended(s), day + DAY) - max(s.began, day)
            for s in heard
            if s.airing in scheduled and s.began < day + DAY and ended(s) > day
        ]
        assert sum(parts) <= one.policy.airtime


def check_plan(one: Commune, wanted: Sequence[tuple[int, int, Bulletin]]) -> None:
    """Nothing planned meets, or lies in the quiet hours; each bulletin has its starts or is reported."""
    spans = sorted(
        (Span(i.airing.start, i.airing.start + i.bulletin.duration) for i in one.items), key=lambda s: s.start
    )
    for before, after in pairwise(spans):
        assert before.until <= after.start
    for item in one.items:
        if not item.relay:
            assert not is_quiet(item.airing.start, one.policy)
            assert quiet_begins(item.airing.start, one.policy) >= item.airing.start + item.bulletin.duration
            assert item.airing.start + item.bulletin.duration <= item.bulletin.valid_until
    for _, repeats, bulletin in wanted:
        if bulletin.origin in one.policy.units and bulletin.id not in one.homeless:
            assert sum(i.bulletin.id == bulletin.id for i in one.items) == repeats


def log(communes: Sequence[Commune], heard: Sequence[Sequence[Segment]]) -> str:
    return "\n".join(
        f"{one.unit} {s.airing} {s.repeat} {s.began} {s.offset} {s.ended} {s.cut}"
        for one, segments in zip(communes, heard, strict=True)
        for s in segments
    )


@pytest.mark.slow
def test_ten_days_of_a_province_keep_every_rule_and_are_the_same_twice() -> None:
    network = province(Random(1))
    wanted = list(bulletins(Random(7), network))
    assert len(wanted) == BULLETINS
    communes = plan(network, 7)
    heard = [play(one) for one in communes]
    for one, segments in zip(communes, heard, strict=True):
        check_plan(one, wanted)
        check_sound(one, segments)
        check_items(one, segments)
        check_days(one, segments)
    assert sum(s.cut for segments in heard for s in segments) > 100  # something was interrupted, and went on or not
    assert any(one.homeless for one in communes)
    again = plan(province(Random(1)), 7)
    assert again == communes
    assert log(again, [play(one) for one in again]) == log(communes, heard)
