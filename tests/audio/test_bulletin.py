from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from audio.bulletin import (
    FOLLOWS,
    Draft,
    State,
    addressed,
    audience_of,
    checks,
    compose,
    order_kind,
)
from audio.documents import Audience, Bulletin, BulletinClass, ContentKind, NowKind, decode, encode
from inventory.diagnostics import Diagnostic
from inventory.model import PersonId, Tier, UnitId
from tests.audio.province import (
    AN,
    DISTRICT,
    DUNG,
    EVENING,
    GIA,
    ON,
    OTHER,
    PROVINCE,
    WARD,
    draft,
    emergency,
    network,
)


@dataclass(frozen=True)
class Sound:
    sha: str = "a" * 64
    size: int = 20_000
    duration_ms: int = 8_000
    kind: ContentKind = ContentKind.SPEECH


def codes(found: object) -> list[str]:
    assert isinstance(found, tuple)
    assert all(isinstance(d, Diagnostic) and d.text() and d.fix_text() for d in found)
    return [d.code for d in found]


def composed(given: Draft, sound: Sound = Sound()) -> Bulletin:
    bulletin = compose(network(), ON, given, sound, EVENING)
    assert isinstance(bulletin, Bulletin), bulletin
    return bulletin


def test_a_commune_bulletin_is_valid_for_a_week_and_has_no_siren() -> None:
    bulletin = composed(draft())
    assert bulletin.audience == Audience(units=(WARD,))
    assert bulletin.valid_until - bulletin.valid_from == 7 * 24 * 3600 * 1000
    assert (bulletin.siren, bulletin.times, bulletin.every) == (0, 1, 0)
    assert order_kind(bulletin) is None
    assert decode(Bulletin, encode(bulletin)) == bulletin


def test_an_emergency_has_a_siren_is_said_three_times_every_ten_minutes_for_an_hour() -> None:
    bulletin = composed(emergency())
    assert (bulletin.siren, bulletin.times, bulletin.every) == (3_000, 3, 600_000)
    assert bulletin.valid_until - bulletin.valid_from == 3_600_000
    assert order_kind(bulletin) is NowKind.EMERGENCY


def test_a_drill_is_never_signed_as_an_emergency() -> None:
    bulletin = composed(draft(drill=True))
    assert bulletin.cls is BulletinClass.PRIORITY
    assert order_kind(bulletin) is NowKind.DRILL


def test_rounds_of_a_long_emergency_do_not_overlap() -> None:
    bulletin = composed(emergency(), Sound(duration_ms=250_000))
    assert bulletin.every >= bulletin.round(("vi",))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"author": GIA.id}, "BUL001"),
        ({"author": DUNG.id}, "BUL001"),
        ({"author": PersonId("nobody")}, "BUL001"),
        ({"origin": PROVINCE, "tier": Tier.PROVINCE}, "BUL001"),
        ({"origin": UnitId("99999")}, "BUL002"),
        ({"tier": Tier.DISTRICT}, "BUL003"),
        ({"audience": "commune=23560"}, "BUL004"),
        ({"audience": "province=64"}, "BUL004"),
        ({"audience": "group=riverside"}, "BUL004"),
        ({"audience": "device=23560-L01"}, "BUL004"),
        ({"audience": "device=23557-B01"}, "BUL005"),
        ({"title": "  "}, "BUL006"),
        ({"title": "Họp\x1b[2J"}, "BUL017"),
        ({"authority": "số 12\nsố 13"}, "BUL017"),
        ({"supplier": "x" * 501}, "BUL017"),
        ({"valid_until": EVENING - timedelta(minutes=1)}, "BUL007"),
        ({"repeats": 0}, "BUL008"),
        ({"volume": 101}, "BUL008"),
        ({"text": ""}, "BUL011"),
        ({"audio": Path("a.wav")}, "BUL011"),
        ({"every": -1}, "BUL008"),
        ({"by_session": True, "play_now": True}, "BUL016"),
        ({"by_session": True, "every": 1}, "BUL016"),
        ({"audience": "commune=23557 status=lost"}, "BUL012"),
    ],
)
def test_what_is_wrong_with_a_draft_is_named(changes: dict[str, object], code: str) -> None:
    assert code in codes(checks(network(), ON, draft(**changes), EVENING))
    assert code in codes(compose(network(), ON, draft(**changes), Sound(), EVENING))


def test_all_mistakes_come_at_once() -> None:
    found = codes(checks(network(), ON, draft(title="", repeats=0, author=GIA.id), EVENING))
    assert found == ["BUL001", "BUL006", "BUL008"]


def test_a_selection_that_cannot_be_read_is_the_selections_own_mistake() -> None:
    assert all(c.startswith("SEL") for c in codes(checks(network(), ON, draft(audience="comune=1"), EVENING)))


def test_an_operator_may_write_emergencies_only() -> None:
    chief = replace(AN, roles=(AN.roles[1],))
    net = replace(network(), people={chief.id: chief})
    assert checks(net, ON, emergency(), EVENING) == ()
    assert codes(checks(net, ON, emergency(cls=BulletinClass.PRIORITY), EVENING)) == ["BUL001"]


@pytest.mark.parametrize("cls", [BulletinClass.PRIORITY, BulletinClass.EMERGENCY])
def test_what_is_not_normal_names_what_it_rests_on_unless_the_province_asks_less(cls: BulletinClass) -> None:
    bare = draft(cls=cls, author=AN.id, authority="  ")
    assert codes(checks(network(), ON, bare, EVENING)) == ["BUL013"]
    assert codes(compose(network(), ON, bare, Sound(), EVENING)) == ["BUL013"]
    assert checks(replace(network(), authority_for=()), ON, bare, EVENING) == ()
    told = composed(replace(bare, authority=" CV 12/UBND ", supplier="Trạm y tế", field="y tế"))
    assert (told.authority, told.supplier, told.field) == ("CV 12/UBND", "Trạm y tế", "y tế")


def test_a_series_is_valid_as_long_as_it_lasts() -> None:
    day = 24 * 3600 * 1000
    for wanted, days in (({"every": day}, 21), ({"by_session": True}, 21), ({"every": 1000}, 7)):
        bulletin = composed(draft(repeats=20, **wanted))
        assert bulletin.valid_until - bulletin.valid_from == days * day


def test_what_is_entered_on_behalf_of_a_unit_comes_from_above_it() -> None:
    net = network()
    behalf = {"author": AN.id, "on_behalf": True}
    assert checks(net, ON, draft(**behalf), EVENING) == ()
    assert codes(checks(net, ON, draft(on_behalf=True), EVENING)) == ["BUL015"]


def test_a_district_reaches_its_communes_and_the_province_everything() -> None:
    district = {"tier": Tier.DISTRICT, "origin": DISTRICT, "author": AN.id}
    assert composed(draft(**district, audience="district=622")).audience.units == (DISTRICT,)
    assert composed(draft(**district, audience="commune=23560")).audience.units == (OTHER,)
    assert composed(emergency(audience="group=riverside")).audience.groups == ("riverside",)


def test_an_emergency_too_large_for_one_message_is_refused_before_anyone_approves_it() -> None:
    assert codes(compose(network(), ON, emergency(), Sound(size=200_000), EVENING)) == ["BUL009"]
    assert isinstance(compose(network(), ON, emergency(), Sound(size=180_000), EVENING), Bulletin)
    assert isinstance(compose(network(), ON, draft(), Sound(size=9_000_000), EVENING), Bulletin)


def test_a_bulletin_too_large_for_a_programme_is_refused() -> None:
    assert codes(compose(network(), ON, draft(text="a" * 70_000), Sound(), EVENING)) == ["BUL010"]


def test_boards_are_addressed_but_not_heard() -> None:
    audience = audience_of(network(), ON, "commune=23557")
    assert isinstance(audience, Audience)
    assert [d.id for d in addressed(network(), ON, audience)] == ["23557-L01", "23557-L02"]
    mixed = audience_of(network(), ON, "device=23557-L01,23557-B01")
    assert mixed == Audience(devices=("23557-L01",))


def test_every_state_can_be_reached_and_what_is_over_stays_over() -> None:
    reached = {State.DRAFT}
    while more := {s for r in reached for s in FOLLOWS[r]} - reached:
        reached |= more
    assert reached == set(State) == set(FOLLOWS)
    assert FOLLOWS[State.AIRED] == FOLLOWS[State.CANCELLED] == ()
