from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audio.documents import Result
from audio.receipts import Heard, Planned, aired, percentile, report
from tests.audio.province import receipt

START = 1_727_776_800_000


def test_every_addressed_device_has_one_outcome() -> None:
    receipts = [
        receipt("L1", "b", "a1", START + 120),
        receipt("L2", "b", "a1", START + 80, result=Result.PARTIAL, reason="emergency"),
        receipt("L3", "b", "a1", START, result=Result.MISSED, reason="no content"),
        receipt("L4", "b", "a1", START, result=Result.REFUSED, reason="ENV004"),
    ]
    found = report("b", ["L5", "L4", "L3", "L2", "L1"], [Planned("a1", START)], receipts)
    assert [(o.device, o.heard, o.latency, o.reason) for o in found.outcomes] == [
        ("L1", Heard.HEARD, 120, ""),
        ("L2", Heard.PARTIAL, 80, "emergency"),
        ("L3", Heard.MISSED, None, "no content"),
        ("L4", Heard.REFUSED, None, "ENV004"),
        ("L5", Heard.WAITING, None, ""),
    ]
    assert found.addressed == 5
    assert found.counts == {kind: int(kind is not Heard.SILENCED) for kind in Heard}
    assert (found.p50, found.p99) == (80, 120)
    assert found.aired == 8_000


def test_an_interrupted_device_that_played_the_rest_has_heard_it_and_started_once() -> None:
    receipts = [
        receipt("L1", "b", "a1", START + 9_000, offset=4_000),
        receipt("L1", "b", "a1", START + 100, result=Result.PARTIAL, reason="emergency"),
    ]
    (outcome,) = report("b", ["L1"], [Planned("a1", START)], receipts).outcomes
    assert (outcome.heard, outcome.at, outcome.latency) == (Heard.HEARD, START + 100, 100)


def test_a_siren_alone_is_heard_in_part_until_its_message_has_been_said() -> None:
    siren = receipt("L1", "b", "e1", START + 60, result=Result.PARTIAL, reason="no content")
    words = receipt("L1", "b", "e1", START + 300_000, offset=4_000)
    for told, heard, reason in (((siren,), Heard.PARTIAL, "no content"), ((siren, words), Heard.HEARD, "")):
        (outcome,) = report("b", ["L1"], [Planned("e1", START)], told).outcomes
        assert (outcome.heard, outcome.latency, outcome.reason) == (heard, 60, reason)


def test_who_was_silenced_is_told_so_unless_it_was_heard() -> None:
    receipts = [
        receipt("L1", "b", "a1", START),
        receipt("L2", "b", "a1", START, result=Result.MISSED, reason="silenced"),
    ]
    found = report("b", ["L1", "L2", "L3", "L4"], [Planned("a1", START)], receipts, {"L1", "L2", "L3"})
    told = [(o.device, o.heard) for o in found.outcomes]
    assert told == [("L1", Heard.HEARD), ("L2", Heard.SILENCED), ("L3", Heard.SILENCED), ("L4", Heard.WAITING)]


def test_a_later_round_of_an_emergency_is_measured_against_its_own_start() -> None:
    late = receipt("L1", "b", "e1", START + 1_200_050, repeat=2)
    (outcome,) = report("b", ["L1"], [Planned("e1", START, 600_000)], [late]).outcomes
    assert outcome.latency == 50


def test_a_remainder_or_an_unknown_airing_has_no_latency() -> None:
    receipts = [receipt("L1", "b", "a1", START, offset=500), receipt("L2", "b", "unknown", START)]
    found = report("b", ["L1", "L2"], [Planned("a1", START)], receipts)
    assert [o.latency for o in found.outcomes] == [None, None]
    assert found.p50 is None


def test_devices_that_were_not_addressed_are_no_outcome() -> None:
    assert report("b", [], [], [receipt("L9", "b", "a1", START)]).outcomes == ()


def test_refusals_and_misses_are_no_sound() -> None:
    silent = [receipt("L1", "b", "a", START, result=r) for r in (Result.MISSED, Result.REFUSED)]
    assert aired([*silent, receipt("L1", "b", "a", START)]) == 4_000


@given(st.lists(st.integers(-1000, 10_000), min_size=1), st.integers(1, 100))
def test_a_percentile_is_a_value_that_enough_do_not_exceed(values: list[int], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert found is not None
    assert sum(v <= found for v in values) * 100 >= percent * len(values)
    assert all(sum(v <= lower for v in values) * 100 < percent * len(values) for lower in values if lower < found)


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 50) is None
