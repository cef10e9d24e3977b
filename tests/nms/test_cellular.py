"""Bytes per SIM and month over whatever counters do; quota and forecast; how well a device hears its cell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.model import DeviceId
from nms.monitor.cellular import (
    FASTEST,
    SLACK,
    WRAP,
    Level,
    Look,
    Quota,
    Reception,
    Signal,
    Usage,
    count,
    forecast,
    grown,
    month_of,
    quota,
    reception,
    spending,
)

START = datetime(2024, 10, 5, tzinfo=UTC)
TURN = datetime(2024, 10, 31, 17, tzinfo=UTC)
"""The first moment of November 2024 in Vietnam."""
DEVICE, OTHER = DeviceId("23557-M01"), DeviceId("23557-M02")
MINUTE = timedelta(minutes=1)


def look(
    at: datetime,
    rx: int | None = None,
    tx: int = 0,
    *,
    device: DeviceId = DEVICE,
    service: bool | None = True,
    uptime: float | None = None,
) -> Look:
    return Look("s", device, at, service, None if rx is None else (rx, tx), uptime)


def begun(rx: int = 1000, tx: int = 500, at: datetime = START) -> Usage:
    return count(None, look(at, rx, tx))[0]


@pytest.mark.parametrize(
    ("before", "after", "elapsed", "uptime", "delta"),
    [
        pytest.param(100, 350, 60, None, 250, id="grown"),
        pytest.param(100, 100, 60, None, 0, id="idle"),
        pytest.param(WRAP - 100, 200, 60, 9e5, 300, id="wrapped"),
        pytest.param(WRAP - 100, 200, 60, None, 300, id="wrapped, uptime unknown"),
        pytest.param(WRAP - 100, 200, 60, 30, 200, id="restarted just before the wrap"),
        pytest.param(5_000_000, 200, 60, 30, 200, id="restarted"),
        pytest.param(5_000_000, 200, 60, 9e5, 200, id="the interface began anew: no link wraps so fast"),
        pytest.param(WRAP + 5, 200, 3600, 9e5, 200, id="a 64-bit counter does not wrap"),
        pytest.param(100, 10**12, 60, 9e5, 0, id="another counter's value"),
        pytest.param(10**12, 10**11, 60, 9e5, 0, id="another counter's value, lower"),
        pytest.param(100, 350, -3600, None, 250, id="the clock went back"),
    ],
)
def test_what_a_counter_counted(before: int, after: int, elapsed: float, uptime: float | None, delta: int) -> None:
    assert grown(before, after, elapsed, uptime) == delta


def test_the_first_look_only_begins_the_count() -> None:
    usage = begun()
    assert (usage.bytes, usage.last_rx, usage.last_tx, usage.month, usage.since) == (0, 1000, 500, "2024-10", START)
    (after,) = count(usage, look(START + MINUTE, 1600, 900))
    assert after.bytes == 1000


def test_a_look_without_counters_keeps_the_old_ones_for_the_next() -> None:
    (silent,) = count(begun(), look(START + MINUTE, service=None))
    (after,) = count(silent, look(START + 2 * MINUTE, 4000, 500))
    assert after.bytes == 3000


def test_the_card_in_another_device_is_not_counted_from_the_first_ones_counters() -> None:
    (moved,) = count(begun(), look(START + MINUTE, 900_000, 900_000, device=OTHER))
    assert (moved.bytes, moved.device, moved.last_rx) == (0, OTHER, 900_000)


def test_what_was_counted_over_the_turn_of_the_month_is_shared_by_time() -> None:
    before = begun(at=TURN - timedelta(minutes=15))
    october, november = count(before, look(TURN + timedelta(minutes=45), 1000 + 4000, 500))
    assert (october.month, october.bytes) == ("2024-10", 1000)
    assert (november.month, november.bytes, november.since) == ("2024-11", 3000, TURN)
    assert november.last_rx == 5000


def test_a_hub_that_was_away_for_months_loses_no_byte() -> None:
    usages = count(begun(), look(START + timedelta(days=70), 1_000_000, 500))
    assert [u.month for u in usages] == ["2024-10", "2024-11", "2024-12"]
    assert sum(u.bytes for u in usages) == 999_000
    assert all(u.bytes > 0 for u in usages)


def test_a_clock_set_back_neither_counts_again_nor_goes_back() -> None:
    november = begun(at=TURN + MINUTE)
    (after,) = count(november, look(TURN - timedelta(hours=1), 2000, 500))
    assert (after.month, after.bytes, after.updated) == ("2024-11", 1000, TURN + MINUTE)


@given(st.lists(st.tuples(st.integers(30, 90), st.integers(0, 500_000_000), st.one_of(st.none(), st.floats(0, 1)))))
def test_totals_only_grow_and_never_count_twice(steps: list[tuple[int, int, float | None]]) -> None:
    """A 32-bit counter of a device that may restart after a share of what it sent; without restarts no byte is lost."""
    usage, at, sent, counter, started = begun(0, 0), START, 0, 0, START - timedelta(days=9)
    for seconds, amount, restart in steps:
        at += timedelta(seconds=seconds)
        sent += amount
        if restart is None:
            counter = (counter + amount) % WRAP
        else:
            counter, started = round(amount * (1 - restart)), at - timedelta(seconds=10)
        (after,) = count(usage, look(at, counter, uptime=(at - started).total_seconds()))
        assert usage.bytes <= after.bytes <= sent
        usage = after
    if all(restart is None for _, _, restart in steps):
        assert usage.bytes == sent


@given(
    st.lists(
        st.tuples(
            st.integers(-100_000, 3_000_000),
            st.one_of(st.none(), st.tuples(st.integers(0, 1 << 63), st.integers(0, 1 << 63))),
            st.one_of(st.none(), st.floats(0, 1e8)),
            st.sampled_from([True, False, None]),
        ),
        max_size=20,
    )
)
def test_whatever_counters_say_the_month_never_shrinks_and_no_link_is_outrun(
    steps: list[tuple[int, tuple[int, int] | None, float | None, bool | None]],
) -> None:
    usage, at = begun(), START
    for seconds, counters, uptime, service in steps:
        at += timedelta(seconds=seconds)
        usages = count(usage, Look("s", DEVICE, at, service, counters, uptime))
        assert [u.month for u in usages] == sorted({u.month for u in usages})
        assert usages[0].month == usage.month
        assert usages[0].bytes >= usage.bytes
        assert usages[0].without_s >= usage.without_s
        assert all(u.bytes >= 0 for u in usages)
        gained = sum(u.bytes for u in usages) - usage.bytes
        elapsed = max((at - (usage.counted or at)).total_seconds(), 0)
        assert gained <= 2 * FASTEST * (elapsed + SLACK)
        assert usages[-1].month == month_of(usages[-1].updated)
        usage = usages[-1]


def test_time_without_service_runs_from_look_to_look() -> None:
    usage = begun()
    for minutes, service in ((1, False), (2, False), (4, True), (9, None), (10, True)):
        (usage,) = count(usage, look(START + minutes * MINUTE, service=service))
    assert usage.without_s == 180
    (gone,) = count(usage, look(START + 11 * MINUTE, service=False))
    (late,) = count(gone, look(START + timedelta(hours=9), service=True))
    assert late.without_s == 180, "nobody looked meanwhile"


# --- cost


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("3GB", Quota(3 * 10**9)),
        ("M2M-2GB", Quota(2 * 10**9)),
        ("3GB/30d", Quota(3 * 10**9, 30)),
        ("500MB/ngày", Quota(500 * 10**6, 1)),
        ("1,5 gb/tháng", Quota(1_500_000_000)),
        ("Viettel D90 (1GB/day)", Quota(10**9, 1)),
        ("", None),
        ("M2M", None),
        ("unlimited", None),
        ("2GB+3GB", None),
        ("0GB", None),
        ("3GB/0d", None),
        ("3Gbit", None),
    ],
)
def test_the_quota_a_plans_name_tells(plan: str, expected: Quota | None) -> None:
    assert quota(plan) == expected


def test_a_quota_by_days_in_a_month() -> None:
    assert Quota(3 * 10**9, 30).in_month("2024-10") == 3_100_000_000
    assert Quota(3 * 10**9).in_month("2024-10") == 3 * 10**9
    assert Quota(500, 1).in_month("2025-02") == 14_000


def month(used: int, days: int) -> Usage:
    begin = datetime(2024, 9, 30, 17, tzinfo=UTC)
    return replace(begun(at=begin), bytes=used, updated=begin + timedelta(days=days))


def test_the_forecast_is_the_rate_over_the_whole_month() -> None:
    usage = month(1_000, 10)
    assert forecast(usage, usage.updated) == 3_100
    late = replace(usage, since=usage.since + timedelta(days=5))
    assert forecast(late, late.updated) == 6_200
    assert forecast(month(1_000, 0), usage.updated) is None
    assert forecast(month(1_000, 31), usage.updated + timedelta(days=60)) == 1_000


@pytest.mark.parametrize(
    ("used", "days", "plan", "level"),
    [
        (100_000_000, 10, "2GB", Level.FINE),
        (700_000_000, 10, "2GB", Level.HEADING_OVER),
        (1_650_000_000, 30, "2GB", Level.NEAR),
        (2_000_000_000, 30, "2GB", Level.OVER),
        (2_000_000_000, 30, "M2M", Level.UNKNOWN),
    ],
)
def test_how_a_card_stands_with_its_quota(used: int, days: int, plan: str, level: Level) -> None:
    usage = month(used, days)
    found = spending(usage, plan, usage.updated)
    assert (found.used, found.level) == (used, level)


# --- signal


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"rsrp_dbm": -75.0}, Reception("Viettel", Signal.EXCELLENT, "rsrp_dbm")),
        ({"rsrp_dbm": -80.0, "rsrq_db": -10.0, "sinr_db": 20.0}, Reception("Viettel", Signal.EXCELLENT, "rsrp_dbm")),
        ({"rsrp_dbm": -75.0, "sinr_db": 5.0}, Reception("Viettel", Signal.FAIR, "sinr_db")),
        ({"rsrp_dbm": -101.0, "rsrq_db": -12.0}, Reception("Viettel", Signal.POOR, "rsrp_dbm")),
        ({"rsrp_dbm": -85.0, "operator": "VinaPhone"}, Reception("VinaPhone", Signal.GOOD, "rsrp_dbm")),
        ({"rsrp_dbm": 0.0, "sinr_db": True}, Reception("Viettel", None)),
        ({}, Reception("Viettel", None)),
    ],
)
def test_reception(metrics: dict[str, float | str | bool], expected: Reception) -> None:
    assert reception(metrics, "Viettel") == expected
