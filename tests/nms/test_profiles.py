"""Device families as data: the ones we ship, what they read, and what is said of a broken one."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.diagnostics import has_errors
from nms.monitor.profiles import (
    METRICS,
    Column,
    Identity,
    Kind,
    Limit,
    Metric,
    check_files,
    load_profiles,
    recognise,
)
from nms.monitor.readings import Reader
from nms.monitor.snmp.asn1 import Oid, Value, parse_oid

NET_SNMP = (1, 3, 6, 1, 4, 1, 8072, 3, 2, 10)
RUTOS_SERIAL = (1, 3, 6, 1, 4, 1, 48690, 1, 1, 0)
RUTOS_FLAT = (1, 3, 6, 1, 4, 1, 48690, 2, 4, 0)
UPS_STATUS = (1, 3, 6, 1, 2, 1, 33, 1, 2, 1, 0)
MOST_OIDS = 20
"""Each OID costs a device behind a SIM some 50 bytes a poll."""


def read(profile: str, **values: Value) -> tuple[dict[str, Metric], tuple[str, ...]]:
    """What the family's reader makes of these raw values; every other OID is absent."""
    family = load_profiles()[0][profile]
    metrics, odd = Reader(family).read([values.get(column.metric) for column in family.columns])
    return dict(metrics), odd


def test_the_families_we_ship_are_without_mistakes() -> None:
    profiles, diagnostics = load_profiles()
    assert diagnostics == ()
    assert {"loa-receiver", "loa-board", "rutos", "routeros", "ntcip-sign", "generic"} <= set(profiles)
    for profile in profiles.values():
        assert len(profile.columns) <= MOST_OIDS
        assert profile.recognise
        assert set(profile.limits) <= {c.metric for c in profile.columns} <= set(METRICS)


@pytest.mark.parametrize("raw", [-87, b"-87", b"-87 dBm", b" -87dBm\x00"])
def test_a_signal_level_is_read_in_every_form_firmware_gives_it(raw: Value) -> None:
    assert read("rutos", rsrp_dbm=raw) == ({"rsrp_dbm": -87.0}, ())


@pytest.mark.parametrize("raw", [0, -9999, b"0", b"n/a", b"N/A", b"", None])
def test_sentinels_mean_absent(raw: Value) -> None:
    assert read("rutos", rsrp_dbm=raw) == ({}, ())


@pytest.mark.parametrize("raw", [b"-87 mW", b"strong", b"\xff\xfe", b"1e9", b"--3", (1, 3, 6)])
def test_what_is_not_understood_is_no_reading_and_is_named(raw: Value) -> None:
    assert read("rutos", rsrp_dbm=raw) == ({}, ("rsrp_dbm",))


def test_scales_lead_to_common_units() -> None:
    metrics, odd = read("rutos", uptime_s=3_297_302, temperature_c=420, sinr_db=b"6.7", cell=b"37238027")
    assert odd == ()
    assert metrics == {"uptime_s": 32973.02, "temperature_c": 42.0, "sinr_db": 6.7, "cell": "37238027"}


def test_a_counter_wrapped_into_a_signed_integer_is_unwrapped_where_the_family_does_that() -> None:
    assert read("rutos", tx_bytes=-1_183_791_572) == ({"tx_bytes": float(2**32 - 1_183_791_572)}, ())
    assert read("routeros", tx_bytes=-5) == ({}, ("tx_bytes",))
    assert read("routeros", tx_bytes=2**63) == ({"tx_bytes": float(2**63)}, ())


def test_flags_text_and_hex() -> None:
    assert read("loa-receiver", playing=2, cell=4889601) == ({"playing": True, "cell": "4889601"}, ())
    assert read("loa-receiver", playing=1, airing=b"", cell=b"4294967295") == ({"playing": False}, ())
    assert read("ntcip-sign", message=b"\x07\x00\x00\x00\x00") == ({"message": "0700000000"}, ())


def test_limits_name_the_metric_that_exceeds_them() -> None:
    profile = load_profiles()[0]["rutos"]
    assert profile.exceeded({"rsrp_dbm": -116.0, "temperature_c": 76.0}) == ("rsrp_dbm", "temperature_c")
    assert profile.exceeded({"rsrp_dbm": -115.0}) == ()
    assert profile.exceeded({}) == ()
    assert not Limit(low=0).exceeded("text")


LINUX = "1.3.6.1.4.1.8072.3.2.10"


@pytest.mark.parametrize(
    ("object_id", "description", "present", "name"),
    [
        ("1.3.6.1.4.1.14988.1", "", (), "routeros"),
        ("1.3.6.1.4.1.8072.9999.9999.7410.10.1", "", (), "loa-receiver"),
        ("1.3.6.1.4.1.1206.4.2.3", "", (), "ntcip-sign"),
        (LINUX, "Linux hub 6.1.0-28-amd64 #1 SMP PREEMPT_DYNAMIC x86_64", (), "linux"),
        (LINUX, "Linux loa 6.6.31+rpt-rpi-v8 #1 SMP PREEMPT aarch64", (), "raspberry-pi"),
        (LINUX, "Linux loa 4.19.97+ #1294 Thu Jan 30 13:10:54 GMT 2020 armv6l", (), "raspberry-pi"),
        (LINUX, "Linux gw 5.4.137 #0 SMP Sat Jul 31 17:21:01 2021 armv7l", (), "openwrt"),
        (LINUX, "Linux gw 5.4.137 #0 SMP Sat Jul 31 17:21:01 2021 armv7l", (RUTOS_SERIAL,), "rutos"),
        (LINUX, "", (RUTOS_FLAT,), "rutos-flat"),
        (LINUX, "", (RUTOS_FLAT, RUTOS_SERIAL), "rutos"),
        (LINUX, "", (UPS_STATUS,), "linux"),
        ("1.3.6.1.4.1.99999.1", "", (UPS_STATUS,), "ups"),
        ("1.3.6.1.4.1.14988", "", (), "generic"),
        ("0.0", "", (), "generic"),
    ],
)
def test_a_family_is_recognised_by_its_object_id_and_what_only_it_has(
    object_id: str, description: str, present: tuple[Oid, ...], name: str
) -> None:
    oid = parse_oid(object_id)
    assert oid is not None
    profiles = list(load_profiles()[0].values())
    for order in (profiles, profiles[::-1]):
        found = recognise(order, Identity(oid, description, present))
        assert found is not None
        assert found.name == name


def test_nothing_is_recognised_without_families() -> None:
    assert recognise((), Identity((1, 3, 6))) is None


def test_words_stand_for_the_values_a_family_numbers() -> None:
    assert read("routeros", radio=7) == ({"radio": "LTE"}, ())
    assert read("routeros", radio=-1) == ({}, ())
    assert read("routeros", radio=99) == ({}, ("radio",))
    assert read("ntcip-sign", control=4) == ({"control": "central"}, ())


GOOD = "profile: x\nrecognise: {sys_object_id: 1.3.6.1.4.1.1}\nmetrics:\n  cell: {oid: 1.3.6.1.4.1.1.1.0, kind: text}\n"


def diagnose(folder: Path, text: str, name: str = "x.yaml") -> list[tuple[str, str]]:
    (folder / name).write_text(text, encoding="utf-8")
    profiles, diagnostics = load_profiles(folder)
    assert has_errors(diagnostics) == (name.removesuffix(".yaml") not in profiles)
    assert all(d.text() and d.fix_text() for d in diagnostics)
    return [(d.code, str(d.place)) for d in diagnostics]


def test_a_small_good_profile(tmp_path: Path) -> None:
    assert diagnose(tmp_path, GOOD) == []
    column = load_profiles(tmp_path)[0]["x"].columns[0]
    assert column == Column("cell", (1, 3, 6, 1, 4, 1, 1, 1, 0), Kind.TEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("MON001", "x.yaml")]),
        ("a: [", [("MON001", "x.yaml")]),
        ("just text", [("MON002", "x.yaml:1:1"), *[("MON004", "x.yaml:1:1")] * 3]),
        (GOOD + "colour: red\n", [("MON003", "x.yaml:5:1")]),
        (GOOD + "title: a\ntitle: b\n", [("MON003", "x.yaml:6:1")]),
        (GOOD.replace("kind: text", "kind: colour"), [("MON005", "x.yaml:4:40")]),
        (GOOD.replace("1.3.6.1.4.1.1}", "1.3.6.1.4.1.1, describes: 'a('}"), [("MON005", "x.yaml:2:54")]),
        (GOOD.replace("sys_object_id: 1.3.6.1.4.1.1", "describes: a"), [("MON004", "x.yaml:2:12")]),
        (GOOD.replace("kind: text", "kind: text, words: [a]"), [("MON002", "x.yaml:4:53")]),
        (GOOD.replace("1.3.6.1.4.1.1.1.0", "sysUpTime"), [("MON005", "x.yaml:4:15")]),
        (GOOD.replace("cell:", "shape:"), [("MON006", "x.yaml:4:10")]),
        (GOOD.replace("oid: 1.3.6.1.4.1.1.1.0, ", ""), [("MON004", "x.yaml:4:9")]),
        (GOOD.replace("profile: x", "profile: y"), [("MON007", "x.yaml:1:10")]),
        (GOOD + "  operator: {oid: 1.3.6.1.4.1.1.1.0, kind: text}\n", [("MON007", "x.yaml:5:13")]),
        (GOOD + "limits:\n  rsrp_dbm: {min: -1}\n", [("MON003", "x.yaml:6:3")]),
        (GOOD + "limits:\n  cell: {min: low}\n", [("MON005", "x.yaml:6:15")]),
        *((GOOD + f"interval: {text}\n", [("MON005", "x.yaml:5:11")]) for text in ("90", "0s", "2h", "1.5m", "[30s]")),
    ],
)
def test_mistakes_in_a_profile_are_named_with_their_place(
    tmp_path: Path, text: str, expected: list[tuple[str, str]]
) -> None:
    assert diagnose(tmp_path, text) == expected


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("1s", 1.0), ("15m", 900.0), ("1h", 3600.0)])
def test_how_often_a_family_is_asked(tmp_path: Path, text: str, seconds: float | None) -> None:
    assert diagnose(tmp_path, GOOD + (f"interval: {text}\n" if text else "")) == []
    assert load_profiles(tmp_path)[0]["x"].interval == seconds


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert [d.code for d in load_profiles(tmp_path)[1]] == ["MON001"]


def test_two_families_that_could_not_be_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "y.yaml").write_text(GOOD.replace("profile: x", "profile: y"), encoding="utf-8")
    assert [(d.code, str(d.place)) for d in load_profiles(tmp_path)[1]] == [("MON008", "y.yaml")]


def test_files_are_checked_beside_the_families_we_ship(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(GOOD.replace("1.3.6.1.4.1.1}", "1.3.6.1.4.1.14988.1}"), encoding="utf-8")
    profiles, found = check_files([tmp_path / "x.yaml"])
    assert [(d.code, d.place.file, d.fields) for d in found] == [
        ("MON008", str(tmp_path / "x.yaml"), {"first": "routeros"})
    ]
    (tmp_path / "routeros.yaml").write_text(GOOD.replace(": x", ": routeros"), encoding="utf-8")
    profiles, found = check_files([tmp_path / "routeros.yaml"])
    assert (set(profiles), found) == ({"routeros"}, ())


def test_a_mistake_shows_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(GOOD.replace("kind: text", "kind: colour"), encoding="utf-8")
    (found,) = check_files([tmp_path / "x.yaml"])[1]
    assert found.source == "  cell: {oid: 1.3.6.1.4.1.1.1.0, kind: colour}"
