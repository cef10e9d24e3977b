"""The receiver by SNMP: its file, the program that snmpd asks, and our own profile reading a real snmpd."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTv5
from paho.mqtt.publish import single

from audio.documents import encode
from audio.receiver.snmp import ROOT, rows, serve
from audio.receiver.status import (
    STALE,
    Fault,
    State,
    Status,
    StatusFile,
    on_battery,
    read_status,
    status_path,
    temperature,
)
from inventory.model import DeviceId
from nms.monitor.profiles import Metrics, load_profiles
from nms.monitor.snmp.outcome import Reading, Target
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from tests.audio.receiver_kit import EVENING, Broker, Kit, airing, content_server, make_sound, until, write_config
from tests.sim.net_snmp import net_snmp

MIB = Path(__file__).parents[2] / "docs" / "LOA-RECEIVER-MIB.txt"
PLAYING = Status(State.PLAYING, "evening", -165, 40_960, -120, 80, 415, 3, 0, on_battery=False)
DOT = ".1.3.6.1.4.1.8072.9999.9999.7410"


@contextmanager
def asked(folder: Path, status: Path) -> Iterator[tuple[Sweeper, Target]]:
    """A real snmpd that asks our program, and the receiver's family as a target."""
    program = f"{sys.executable} -m audio.receiver.snmp {status}"
    lines = f"sysobjectid {DOT}.10.1\npass_persist {DOT} {program}\n"
    profile = load_profiles()[0]["loa-receiver"]
    sweeper = Sweeper("127.0.0.1", timeout=1.0, retries=5)
    with net_snmp(folder, lines) as port:
        try:
            yield sweeper, Target(DeviceId("23557-L01"), "127.0.0.1", port, Community(b"loa"), profile)
        finally:
            sweeper.close()


def metrics(sweeper: Sweeper, target: Target) -> Metrics:
    """What the profile reads; a starting agent refuses connections for a moment."""
    found: list[Reading] = []

    def answered() -> bool:
        outcome = sweeper.sweep([target]).outcomes[target.device]
        if isinstance(outcome, Reading):
            found.append(outcome)
        return bool(found)

    until(answered)
    assert found[0].odd == ()
    return {k: v for k, v in found[0].metrics.items() if k != "uptime_s"}


def test_snmpd_serves_what_the_receiver_wrote_and_our_profile_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(encode(PLAYING))
    with asked(tmp_path, path) as (sweeper, target):
        assert metrics(sweeper, target) == {
            "playing": True,
            "airing": "evening",
            "level_lufs": -16.5,
            "cache_bytes": 40_960 * 1024,
            "clock_error_s": -0.12,
            "volume": 80,
            "temperature_c": 41.5,
            "refused_envelopes": 3,
            "error_bits": 0,
            "on_battery": False,
        }
        path.write_bytes(encode(replace(PLAYING, on_battery=True)))
        assert metrics(sweeper, target)["on_battery"] is True
        path.write_bytes(
            encode(replace(PLAYING, state=State.IDLE, airing="", level=None, temperature=None, on_battery=None))
        )
        silent = metrics(sweeper, target)
        assert silent["playing"] is False
        assert not {"airing", "level_lufs", "temperature_c", "on_battery"} & set(silent)
        os.utime(path, (time.time() - STALE - 5,) * 2)
        assert metrics(sweeper, target) == {"playing": False, "error_bits": Fault.PROGRAM}


def test_a_walk_gives_every_object_once_in_order(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(encode(PLAYING))
    with asked(tmp_path, path) as (sweeper, target):
        metrics(sweeper, target)
        command = ["snmpwalk", "-v2c", "-c", "loa", "-On", "-Oq", f"127.0.0.1:{target.port}", DOT]
        walked = subprocess.run(command, capture_output=True, text=True, check=True, env={"MIBS": "", **os.environ})
    assert [line.split()[0] for line in walked.stdout.splitlines()] == [
        f"{DOT}.1.{n}.0" for n in (1, 2, 3, 5, 6, 7, 8, 9, 10, 11)
    ]


def test_the_running_program_says_what_it_plays(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    wall = time.time()
    kit = Kit(lambda: int((time.time() - wall) * 1000) + EVENING)
    shown = time.strftime("%Y-%m-%dT%H:%M:%S+07:00", time.gmtime(EVENING // 1000 + 7 * 3600))
    (tmp_path / "content").mkdir()
    with content_server(tmp_path / "content") as server:
        sound = make_sound(tmp_path / "content", 60_000, 7)
        config = write_config(
            tmp_path, kit, broker=f"127.0.0.1:{broker.port}", content=server.base, clock=f"{shown}@{wall}"
        )
        receiver = subprocess.Popen(
            [sys.executable, "-m", "audio.receiver", "--config", str(config)], stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: list(tmp_path.rglob("status.json")))
            (path,) = tmp_path.rglob("status.json")
            with asked(tmp_path, path) as (sweeper, target):
                idle = metrics(sweeper, target)
                assert (idle["playing"], idle["volume"], idle["error_bits"]) == (False, 80, Fault.CLOCK)
                bulletin = kit.bulletin(sound)
                programme = kit.programme(
                    airing(bulletin, kit.now() + 2_000, "evening"), signed={bulletin.id: kit.signed(bulletin)}
                )
                publish(broker, "loa/1/time", kit.time())
                publish(broker, "loa/1/prog/23557", programme, retain=True)
                until(lambda: metrics(sweeper, target)["playing"])
                now = metrics(sweeper, target)
                assert (now["airing"], now["error_bits"]) == ("evening", 0)
                assert now["cache_bytes"] == sound.path.stat().st_size // 1024 * 1024
        finally:
            receiver.terminate()
            receiver.wait(10)
            broker.stop()


def publish(broker: Broker, topic: str, payload: bytes, *, retain: bool = False) -> None:
    single(topic, payload, 1, retain, "127.0.0.1", broker.port, protocol=MQTTv5)


def test_questions_of_snmpd_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(encode(PLAYING))
    questions = (
        "PING\n"
        f"get\n{DOT}.1.7.0\n"
        f"get\n{DOT}.1.4.0\n"
        f"getnext\n{DOT}\n"
        f"getnext\n{DOT}.1.11.0\n"
        "get\nnonsense\n"
        f"set\n{DOT}.1.7.0\ninteger 5\n"
        "PING\n"
    )
    answers = io.StringIO()
    serve(path, io.StringIO(questions), answers)
    assert answers.getvalue().splitlines() == [
        "PONG",
        *(f"{DOT}.1.7.0", "integer", "80"),
        "NONE",
        *(f"{DOT}.1.1.0", "integer", "2"),
        "NONE",
        "NONE",
        "not-writable",
        "PONG",
    ]


def test_every_object_is_in_the_mib() -> None:
    text = MIB.read_text(encoding="ascii")
    for oid in rows(PLAYING):
        assert oid[: len(ROOT)] == ROOT
        assert f"::= {{ loaReceiver {oid[-2]} }}" in text


@pytest.mark.skipif(shutil.which("smilint") is None, reason="smilint is not installed (Debian: smitools)")
def test_the_mib_is_clean() -> None:
    environment = os.environ | {"SMIPATH": str(Path(__file__).parent / "mibs")}
    command = ["smilint", "-c", "/dev/null", "-l", "6", str(MIB)]
    lint = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (lint.stdout + lint.stderr, lint.returncode) == ("", 0)


def test_the_file_is_written_when_a_sound_begins_and_not_at_every_step(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    file, made = StatusFile(path), []

    def make() -> Status:
        made.append(1)
        return PLAYING

    for now_playing in ("", "", "evening", "evening"):
        file.keep(now_playing, make)
    assert len(made) == 2
    assert read_status(path, time.time()) == PLAYING
    assert read_status(path, time.time() + STALE + 1) is None
    path.write_text("{}", encoding="utf-8")
    assert read_status(path, time.time()) is None


def test_a_full_disk_does_not_stop_the_sound(tmp_path: Path) -> None:
    StatusFile(tmp_path / "missing" / "status.json").keep("", lambda: PLAYING)


def test_the_file_lies_in_the_service_s_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert status_path(tmp_path) == tmp_path / "status.json"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/loa-receiver:/run/other")
    assert status_path(tmp_path) == Path("/run/loa-receiver/status.json")


def test_the_hottest_sensor_counts(tmp_path: Path) -> None:
    assert temperature(tmp_path) is None
    for n, text in enumerate(("41500\n", "broken", "38000\n")):
        (tmp_path / f"thermal_zone{n}").mkdir()
        (tmp_path / f"thermal_zone{n}" / "temp").write_text(text, encoding="ascii")
    assert temperature(tmp_path) == 415


MAINS_ON, MAINS_OFF = ("Mains", {"online": "1"}), ("Mains", {"online": "0"})
DRAINED, FULL = ("Battery", {"status": "Discharging"}), ("Battery", {"status": "Full"})


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ([], None),
        ([MAINS_ON], None),
        ([MAINS_OFF, DRAINED], True),
        ([MAINS_ON, FULL], False),
        ([MAINS_ON, DRAINED], False),
        ([MAINS_OFF, ("USB", {"online": "1"}), FULL], False),
        ([DRAINED], True),
        ([FULL], False),
        ([("UPS", {"status": "Discharging"})], True),
        ([("Battery", {"status": "Unknown"})], None),
        ([("Battery", {})], None),
        ([("Battery", {"status": "Discharging", "scope": "Device"})], None),
        ([FULL, ("Battery", {"status": "Discharging", "scope": "Device"})], False),
    ],
)
def test_what_the_machine_runs_on(
    tmp_path: Path, supplies: list[tuple[str, dict[str, str]]], expected: bool | None
) -> None:
    for n, (kind, files) in enumerate(supplies):
        folder = tmp_path / f"supply{n}"
        folder.mkdir()
        for name, text in {"type": kind, **files}.items():
            (folder / name).write_text(f"{text}\n", encoding="ascii")
    assert on_battery(tmp_path) is expected
