"""Versions of a device's program lie side by side: one to run, one to go back to; the wanted one must be heard."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.model import DeviceId
from nms.provision.artifacts import RECEIVER_PATH
from nms.provision.contact import MQTT, Contact, running, spoken
from nms.provision.plan import changes_of, state_left, state_wanted
from nms.provision.reach import Target
from nms.provision.values import Action, Facts, Family, Kind, Manifest, Observed, Resource, digest_of
from playbooks.module_utils.loa_device import facts
from tests.nms.loa_state_kit import ME, Machine, file

PROGRAMS = [f"program {number}".encode() for number in range(5)]
SHAS = [hashlib.sha256(program).hexdigest() for program in PROGRAMS]


async def nobody(devices: Collection[DeviceId]) -> None:
    raise AssertionError(devices)


def path(number: int) -> str:
    return f"{RECEIVER_PATH}{SHAS[number][:12]}.whl"


def wanted(number: int) -> list[dict[str, Any]]:
    program = {"kind": "artifact", "name": path(number), "text": SHAS[number], "attributes": f"{ME} 0644"}
    return [program, file("/etc/loa/unit", f"runs {path(number)}\n")]


def fetch(machine: Machine, number: int) -> None:
    """What the hub would have sent."""
    folder = machine.state.folder / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SHAS[number]).write_bytes(PROGRAMS[number])


def change(machine: Machine, number: int) -> None:
    fetch(machine, number)
    machine.apply(wanted(number))


def there(machine: Machine) -> set[int]:
    names = {Path(name).stem for name in machine.tree() if name.startswith(RECEIVER_PATH[1:])}
    return {number for number, sha in enumerate(SHAS) if sha[:12] in names}


def manifest(number: int) -> Manifest:
    made = [Resource(Kind(r["kind"]), r["name"], r["text"], r["attributes"]) for r in wanted(number)]
    return Manifest(DeviceId("23557-L01"), Family.LINUX, {r.key: r for r in made})


def told(machine: Machine, number: int) -> Facts:
    """What the hub learns when it asks for a manifest's keys."""
    found = facts.facts(machine.state, manifest(number).resources)
    seen = {key: Observed(one["digest"], one.get("text")) for key, one in found["found"].items()}
    return Facts(DeviceId("23557-L01"), datetime.now(UTC), seen, found["applied"], found["host"])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "root", monkeypatch)


def test_the_version_before_stays_and_the_one_before_that_goes(machine: Machine) -> None:
    for number, expected in enumerate([{0}, {0, 1}, {1, 2}, {2, 3}]):
        change(machine, number)
        machine.confirm()
        assert there(machine) == expected
        assert list(changes_of(manifest(number), told(machine, number))) == []
        assert state_left(told(machine, number)) == state_wanted(manifest(number))


def test_going_back_needs_no_download_and_keeps_what_was_left(machine: Machine) -> None:
    for number in (0, 1):
        change(machine, number)
        machine.confirm()
    machine.apply(wanted(0))
    machine.confirm()
    assert there(machine) == {0, 1}
    change(machine, 2)
    machine.confirm()
    assert there(machine) == {0, 2}


def test_an_unconfirmed_version_leaves_all_as_it_was(machine: Machine) -> None:
    for number in (0, 1):
        change(machine, number)
        machine.confirm()
    before = machine.tree()
    change(machine, 2)
    assert there(machine) == {1, 2}
    machine.expire()
    assert machine.tree() == before
    change(machine, 3)
    machine.confirm()
    assert there(machine) == {1, 3}


def test_another_change_touches_no_version(machine: Machine) -> None:
    for number in (0, 1):
        change(machine, number)
        machine.confirm()
    machine.apply([*wanted(1), file("/etc/x", "1\n")])
    machine.confirm()
    machine.apply(wanted(1))
    machine.confirm()
    assert there(machine) == {0, 1}


def test_without_any_version_wanted_all_go(machine: Machine) -> None:
    for number in (0, 1):
        change(machine, number)
        machine.confirm()
    machine.apply([file("/etc/x", "1\n")])
    machine.confirm()
    assert there(machine) == set()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=8))
def test_there_is_always_the_confirmed_one_and_at_most_one_more(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, steps: Sequence[tuple[int, bool]]
) -> None:
    machine = Machine(tmp_path_factory.mktemp("device") / "root", monkeypatch)
    current: int | None = None
    for number, good in steps:
        fetch(machine, number)
        if not machine.apply(wanted(number)):
            assert number == current
            continue
        assert {number, *([] if current is None else [current])} <= there(machine)
        machine.confirm() if good else machine.expire()
        current = number if good else current
        assert ({current} if current is not None else set()) <= there(machine)
        assert len(there(machine)) <= 2


# --- at the hub -------------------------------------------------------------------------------------------------------


def test_a_new_version_is_shown_as_one_new_file() -> None:
    before = manifest(0)
    found = {key: Observed(one.digest) for key, one in before.resources.items()}
    known = Facts(before.device, datetime.now(UTC), found, {key: one.digest for key, one in before.resources.items()})
    changes = [(c.action, c.name) for c in changes_of(manifest(1), known)]
    assert changes == [(Action.CREATE, path(1)), (Action.CHANGE, "/etc/loa/unit")]
    removed = Manifest(before.device, Family.LINUX, {})
    assert (Action.REMOVE, path(0)) in [(c.action, c.name) for c in changes_of(removed, known)]
    assert digest_of(SHAS[0], f"{ME} 0644") == found[f"artifact:{path(0)}"].digest


@pytest.mark.parametrize(
    ("says", "before", "after"),
    [
        ({}, False, False),
        ({"23557-L01": "0.1.0"}, True, False),
        ({"23557-L01": f"0.1.0+{SHAS[0][:12]}"}, True, False),
        ({"23557-L01": f"0.1.0+{SHAS[1][:12]}"}, True, True),
        ({"23557-L02": f"0.1.0+{SHAS[1][:12]}"}, False, False),
    ],
)
def test_after_a_change_only_the_wanted_version_is_contact(says: Mapping[str, str], before: bool, after: bool) -> None:
    now = datetime.now(UTC)

    async def sessions() -> Mapping[str, tuple[str, datetime]]:
        return {device: (version, now + timedelta(seconds=1)) for device, version in says.items()}

    target = Target(DeviceId("23557-L01"), "127.0.0.1", "root", "", manifest(1))
    contact = Contact({MQTT: spoken(sessions)}, proofs={MQTT: running(sessions, nobody)})
    had = asyncio.run(contact.before([target], now))[target.device]
    has = asyncio.run(contact.ways([target], now))[target.device]
    assert (MQTT in had, MQTT in has) == (before, after)


async def test_where_no_program_is_wanted_any_will_do() -> None:
    now = datetime.now(UTC)

    async def sessions() -> Mapping[str, tuple[str, datetime]]:
        return {"23557-L01": ("", now)}

    target = Target(DeviceId("23557-L01"), "127.0.0.1", "root", "", Manifest(DeviceId("23557-L01"), Family.LINUX, {}))
    assert await running(sessions, nobody)([target], now - timedelta(seconds=1)) == {target.device}


async def test_a_session_that_has_not_spoken_since_the_change_is_asked_and_proves_nothing() -> None:
    """Its broker does not know yet that the change has cut it off."""
    now = datetime.now(UTC)
    spoke = {"23557-L01": ("", now - timedelta(seconds=1)), "23557-L02": ("", now + timedelta(seconds=1))}
    asked: list[frozenset[DeviceId]] = []

    async def sessions() -> Mapping[str, tuple[str, datetime]]:
        return spoke

    async def ask(devices: Collection[DeviceId]) -> None:
        asked.append(frozenset(devices))

    names = [DeviceId(f"23557-L0{n}") for n in (1, 2, 3)]
    targets = [Target(d, "127.0.0.1", "root", "", Manifest(d, Family.LINUX, {})) for d in names]
    check = running(sessions, ask)
    assert await check(targets, now) == {names[1]}
    spoke[names[0]] = ("", now + timedelta(seconds=2))
    assert await check(targets, now) == {names[0], names[1]}
    assert asked == [frozenset({names[0]})]
