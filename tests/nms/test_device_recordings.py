"""Recordings of devices, replayed over UDP to the real poll engine: every value comes out of the family's profile."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory.model import DeviceId
from nms.monitor.probe import Found, Probe, literal, probe
from nms.monitor.profiles import Metric, Profile, load_profiles
from nms.monitor.snmp.outcome import Reading, Target
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from nms.monitor.snmp.walk import Dialogue
from tests.sim.recording import COMMUNITY, Recording, read, read_snmprec, replayed

FOLDER = Path(__file__).parents[1] / "devices"
RECORDINGS = sorted(FOLDER.glob("*.yaml"))
OTHERS = os.environ.get("LOA_SNMPREC", "")
"""A folder of snmpsim recordings with a table VALUES.tsv of what they hold."""

QUANTITIES = {
    "rssi": "rssi_dbm",
    "rsrp": "rsrp_dbm",
    "rsrq": "rsrq_db",
    "sinr": "sinr_db",
    "operator": "operator",
    "conn_state": "connection",
    "net_state": "registration",
    "sim_state": "sim",
    "rat": "radio",
    "temperature": "temperature_c",
    "cell_id": "cell",
    "enb_id": "enb",
    "tx_bytes": "tx_bytes",
    "rx_bytes": "rx_bytes",
    "supply_voltage": "supply_v",
    "shortErrorStatus": "error_bits",
    "controlMode": "control",
    "msgTableSource": "message",
    "brightnessLevel": "brightness_level",
}
"""The quantities that matter, by the metric that stands for them."""

CONTROL = {"4": "central"}
"""NTCIP 1203's number for a mode of control, and our word."""


@pytest.fixture(scope="module")
def sweeper() -> Iterator[Sweeper]:
    made = Sweeper("127.0.0.1", timeout=5.0, retries=0)
    yield made
    made.close()


@dataclass(frozen=True, slots=True)
class Result:
    probed: Probe
    reading: Reading


def ask(sweeper: Sweeper, recording: Recording) -> Result:
    """What probing finds on the replayed device, and what polling it with the family found reads."""
    with replayed(recording) as port:
        with Dialogue("127.0.0.1", port, Community(COMMUNITY), timeout=5.0) as dialogue:
            probed = probe(dialogue, load_profiles()[0])
        assert isinstance(probed, Probe)
        family = probed.profile
        assert isinstance(family, Profile)
        device = DeviceId("device")
        outcome = sweeper.sweep([Target(device, "127.0.0.1", port, Community(COMMUNITY), family)]).outcomes[device]
    assert isinstance(outcome, Reading)
    return Result(probed, outcome)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: p.stem)
def test_a_recording_is_recognised_and_read_completely(sweeper: Sweeper, path: Path) -> None:
    recording = read(path)
    result = ask(sweeper, recording)
    family = result.probed.profile
    assert family is not None
    assert family.name == recording.family == path.name.partition("#")[0]
    assert dict(result.reading.metrics) == dict(recording.expect)
    assert result.reading.odd == ()
    assert {s.metric: s.value for s in result.probed.shown if s.found is Found.READ} == dict(recording.expect)
    absent = {s.metric for s in result.probed.shown if s.found is Found.ABSENT}
    assert set(recording.absent) <= absent
    assert not set(recording.absent) & set(recording.expect)


def test_every_family_has_a_recording_and_every_quantity_is_in_one() -> None:
    recordings = [read(path) for path in RECORDINGS]
    assert {r.family for r in recordings} == set(load_profiles()[0])
    assert set(QUANTITIES.values()) <= {metric for r in recordings for metric in r.expect}
    for name, family in load_profiles()[0].items():
        held = {metric for r in recordings if r.family == name for metric in (*r.expect, *r.absent)}
        assert {column.metric for column in family.columns} == held, name


def test_limits_speak_of_what_was_read(sweeper: Sweeper) -> None:
    result = ask(sweeper, read(FOLDER / "ups#online3000_1.0.yaml"))
    assert result.probed.exceeded == ("on_battery", "battery_low")


def test_interfaces_of_an_unknown_device_are_listed(sweeper: Sweeper) -> None:
    probed = ask(sweeper, read(FOLDER / "generic#printer_1.0.yaml")).probed
    assert [(i.number, i.name, i.up, i.received, i.sent) for i in probed.interfaces] == [
        (1, "lo", True, None, None),
        (3, "eth0", False, 1000, 500),
    ]
    assert probed.hidden == 0


def test_a_raw_value_is_shown_as_people_write_it() -> None:
    values = (None, -71, b'Telia "VN"', "Đặc khu".encode(), b"\x07\x00", b"\xff", b"", (1, 3, 6))
    assert [literal(v) for v in values] == [
        *("", "-71", '"Telia \\"VN\\""', '"Đặc khu"', "0x0700", "0xff", '""', "1.3.6")
    ]


def values_table() -> Iterator[tuple[str, list[dict[str, str]]]]:
    if not OTHERS:
        return
    with (Path(OTHERS) / "VALUES.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for name in dict.fromkeys(row["set"] for row in rows):
        yield name, [row for row in rows if row["set"] == name]


def agrees(quantity: str, wanted: str, metric: Metric | None) -> bool:
    """A counter that the table leaves wrapped into a negative number is the same counter."""
    if wanted == "(absent)":
        return metric is None
    if isinstance(metric, float):
        number = float(wanted)
        return metric == (number + 2**32 if quantity.endswith("_bytes") and number < 0 else number)
    return metric == (CONTROL[wanted] if quantity == "controlMode" else wanted)


@pytest.mark.skipif(not OTHERS, reason="LOA_SNMPREC names no folder of further recordings")
@pytest.mark.parametrize(("name", "rows"), list(values_table()), ids=lambda v: v if isinstance(v, str) else "")
def test_further_recordings_give_every_value_of_their_table(
    sweeper: Sweeper, name: str, rows: list[dict[str, str]]
) -> None:
    result = ask(sweeper, read_snmprec(Path(OTHERS) / f"{name}.snmprec"))
    metrics = result.reading.metrics
    assert result.reading.odd == ()
    wrong = [
        (row["quantity"], row["normalised"], metrics.get(QUANTITIES[row["quantity"]]))
        for row in rows
        if not agrees(row["quantity"], row["normalised"], metrics.get(QUANTITIES[row["quantity"]]))
    ]
    assert wrong == []


@pytest.mark.skipif(not OTHERS, reason="LOA_SNMPREC names no folder of further recordings")
def test_every_further_recording_is_read_without_a_doubt(sweeper: Sweeper) -> None:
    for path in sorted(Path(OTHERS).glob("*.snmprec")):
        assert ask(sweeper, read_snmprec(path)).reading.odd == (), path.name
