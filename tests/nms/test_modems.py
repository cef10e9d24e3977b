"""Modems changed over SSH: netmiko against stand-ins that behave like the devices, in what can go wrong."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.drivers.language import from_backup
from nms.provision.drivers.provisioner import DRIVERS, CliProvisioner
from nms.provision.drivers.session import Access
from nms.provision.plan import changes_of
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Family, Kind, Manifest, Outcome, Resource, Result
from tests.sim.cli_routeros import RouterOSBox
from tests.sim.cli_ssh import CliDevice, CliFleet, keypair, until
from tests.sim.cli_uci import UciBox

MODEM = DeviceId("23557-M01")
KEY = "aGnhu1tt4+dDsRXDVcx9LfQ3nQ7d2P5m4D1kq8n0vUY="
APN = {
    Family.UCI: "network.wwan.apn",
    Family.ROUTEROS: "/interface lte apn[default=yes] apn",
}
OPTIONS: Mapping[Family, Mapping[str, str]] = {
    Family.UCI: {
        "network.wwan.apn": "m-wap",
        "system.@system[0].description": "Làng Mơ Nang 2 – 'cầu' \"tràn\" $x \\",
        "system.ntp.server": "- 0.vn.pool.ntp.org\n- 1.vn.pool.ntp.org",
        "snmpd.loa": "access",
        "snmpd.loa.user": "loa",
    },
    Family.ROUTEROS: {
        APN[Family.ROUTEROS]: "m-wap",
        "/system identity name": 'Làng Mơ Nang 2 "x" $y',
        "/interface wireguard peers[comment=loa hub] endpoint-address": "hub.example.vn",
        "/interface wireguard peers[comment=loa hub] interface": "loa",
    },
}
SECRET = {
    Family.UCI: "network.loa.preshared_key",
    Family.ROUTEROS: "/interface wireguard peers[comment=loa hub] preshared-key",
}

both = pytest.mark.parametrize("family", [Family.UCI, Family.ROUTEROS])


class Bench:
    """A fleet of one family, and the hub's side of it."""

    def __init__(self, fleet: CliFleet) -> None:
        self.fleet = fleet
        self.kept: list[tuple[DeviceId, str, str]] = []
        self.hub = self.over(fleet.access())

    @property
    def device(self) -> CliDevice:
        return self.fleet[MODEM]

    def over(self, access: Access) -> CliProvisioner:
        async def keep(device: DeviceId, why: str, text: str) -> None:
            self.kept.append((device, why, text))

        return CliProvisioner(access, lambda: datetime.now(UTC), keep)

    def target(self, options: Mapping[str, str], device: DeviceId = MODEM, secret: Sequence[str] = ()) -> Target:
        found = {n: Resource(Kind.OPTION, n, t, secret=n in secret) for n, t in options.items()}
        manifest = Manifest(device, self.fleet.family, {one.key: one for one in found.values()})
        return self.fleet.target(device, manifest)

    def options(self) -> dict[str, str]:
        """What is in the device, past every network."""
        return DRIVERS[self.fleet.family].parse(self.device.box.exported())


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    opened: list[CliFleet] = []

    def make(family: Family, count: int = 1) -> Bench:
        fleet = CliFleet(count, folder=tmp_path / family, family=family, apns={"v-internet", "m-wap"}, haste=10)
        opened.append(fleet)
        return Bench(fleet.__enter__())

    yield make
    for fleet in opened:
        fleet.__exit__(None, None, None)


async def gather(answers: AsyncIterator[Facts | Unreached] | AsyncIterator[Result]) -> list[Facts | Unreached | Result]:
    return [answer async for answer in answers]


async def change(hub: CliProvisioner, target: Target, within: float = 3000.0) -> Result:
    (result,) = [one async for one in hub.apply([target], within)]
    return result


async def ask(hub: CliProvisioner, target: Target) -> Facts | Unreached:
    (answer,) = [one async for one in hub.facts([target])]
    return answer


async def comes(condition: Callable[[], bool]) -> bool:
    return await asyncio.to_thread(until, condition)


def code(problem: Diagnostic | None) -> str:
    return problem.code if problem is not None else ""


@both
async def test_a_modem_is_read_changed_confirmed_and_then_as_wanted(
    family: Family, benches: Callable[..., Bench]
) -> None:
    bench = benches(family)
    target = bench.target(OPTIONS[family])
    before = await ask(bench.hub, target)
    assert isinstance(before, Facts)
    assert before.applied == {}
    assert before.host["model"]
    result = await change(bench.hub, target)
    assert (result.outcome, result.detail) == (Outcome.APPLIED, None)
    assert result.sent > 1000
    assert result.received > 1000
    assert await comes(lambda: bench.device.box.apn() == "m-wap")
    assert await bench.hub.confirm([target]) == {MODEM: None}
    after = await ask(bench.hub, target)
    assert isinstance(after, Facts)
    assert list(changes_of(target.manifest, after)) == []
    assert after.applied == {key: one.digest for key, one in target.manifest.resources.items()}
    assert list(after.applied) == list(target.manifest.resources)
    assert (await change(bench.hub, target)).outcome is Outcome.UNCHANGED
    assert [why for _, why, _ in bench.kept] == ["before", "after"]
    assert "bí mật" not in bench.kept[0][2]


@both
async def test_what_is_wanted_no_longer_goes(family: Family, benches: Callable[..., Bench]) -> None:
    bench = benches(family)
    full, less = OPTIONS[family], dict(list(OPTIONS[family].items())[:2])
    for options in (full, less):
        target = bench.target(options)
        assert (await change(bench.hub, target)).outcome is Outcome.APPLIED
        assert await bench.hub.confirm([target]) == {MODEM: None}
    left = bench.options()
    assert not [name for name in full if name not in less and name in left]
    assert all(left[name] == text for name, text in less.items())


@both
async def test_a_hand_made_change_is_told_from_one_of_the_inventory(
    family: Family, benches: Callable[..., Bench]
) -> None:
    bench = benches(family)
    target = bench.target(OPTIONS[family])
    await change(bench.hub, target)
    await bench.hub.confirm([target])
    by_hand = bench.target({APN[family]: "v-internet"})
    current = bench.options()
    hand = replace(bench.hub, wish=lambda t, c, m: ({APN[family]: "v-internet"}, ()))
    assert (await change(hand, by_hand)).outcome is Outcome.APPLIED
    await hand.confirm([by_hand])
    assert bench.options() == current | {APN[family]: "v-internet"}
    facts = await ask(bench.hub, target)
    assert isinstance(facts, Facts)
    assert [(c.action, c.name) for c in changes_of(target.manifest, facts)] == [("drift", APN[family])]


@both
async def test_contact_lost_the_device_is_back_by_itself(family: Family, benches: Callable[..., Bench]) -> None:
    bench = benches(family)
    before = bench.options()
    target = bench.target({APN[family]: "sai-apn"})
    assert (await change(bench.hub, target, within=20)).outcome is Outcome.APPLIED
    assert await comes(lambda: not bench.device.reachable)
    lost = await bench.hub.confirm([target])
    assert code(lost[MODEM]) == "PLN400"
    assert await comes(lambda: bench.device.reachable)
    assert bench.options() == before
    assert code((await bench.hub.confirm([target]))[MODEM]) == "PLN407"


@both
async def test_a_power_cut_during_probation_ends_in_the_old_configuration(
    family: Family, benches: Callable[..., Bench]
) -> None:
    bench = benches(family)
    before = bench.options()
    target = bench.target(OPTIONS[family])
    await change(bench.hub, target, within=3000)
    assert await comes(lambda: bench.device.box.apn() == "m-wap")
    bench.device.power_cut()
    result = await change(bench.hub, target)
    assert (result.outcome, code(result.detail)) == (Outcome.DEFERRED, "PLN400")
    bench.device.boot()
    assert await comes(lambda: bench.options() == before)
    assert await comes(lambda: bench.device.box.apn() == "v-internet")


@both
async def test_a_power_cut_after_the_confirmation_changes_nothing(
    family: Family, benches: Callable[..., Bench]
) -> None:
    bench = benches(family)
    target = bench.target(OPTIONS[family])
    await change(bench.hub, target)
    assert await bench.hub.confirm([target]) == {MODEM: None}
    after = bench.options()
    bench.device.power_cut()
    bench.device.boot()
    await asyncio.sleep(0.5)  # what would go back does so after a restart
    assert bench.options() == after
    assert await comes(lambda: bench.device.box.apn() == "m-wap")


async def test_power_fails_in_the_middle_of_an_openwrt_change(benches: Callable[..., Bench]) -> None:
    bench = benches(Family.UCI)
    before = bench.options()
    box = bench.device.box
    assert isinstance(box, UciBox)
    uci, reached = box.folder / "bin/uci", box.folder / "run/reached"
    real = uci.read_text()
    half = f'[ "$1" = batch ] && {{ sed "/wwan.apn/q" | {uci}.real batch; touch {reached}; sleep 6000; }}\n'
    (box.folder / "bin/uci.real").write_text(real)
    (box.folder / "bin/uci.real").chmod(0o755)
    uci.write_text(f'#!/bin/sh\n{half}exec {uci}.real "$@"\n')
    changing = asyncio.create_task(change(bench.hub, bench.target(OPTIONS[Family.UCI])))
    assert await comes(reached.exists)
    bench.device.power_cut()
    assert (await changing).outcome is Outcome.APPLIED  # nobody can say yet: the confirmation finds out
    uci.write_text(real)
    bench.device.boot()
    assert bench.options() == before
    assert code((await bench.hub.confirm([bench.target(OPTIONS[Family.UCI])]))[MODEM]) == "PLN407"


async def test_power_fails_in_the_middle_of_a_routeros_change(benches: Callable[..., Bench]) -> None:
    bench = benches(Family.ROUTEROS)
    before = bench.options()
    box = bench.device.box
    assert isinstance(box, RouterOSBox)
    run, cut = box.run, threading.Event()

    def dying(command: str) -> str:
        if "lte apn set" in command and not cut.is_set():
            cut.set()
            bench.device.power_cut()
            return ""
        return run(command)

    box.run = dying  # type: ignore[method-assign]
    assert (await change(bench.hub, bench.target(OPTIONS[Family.ROUTEROS]))).outcome is Outcome.APPLIED
    assert cut.is_set()
    assert bench.options() != before
    bench.device.boot()
    assert await comes(lambda: bench.options() == before)


@both
async def test_a_refused_command_is_taken_back_at_once(family: Family, benches: Callable[..., Bench]) -> None:
    bench = benches(family)
    before = bench.options()
    wrong = {Family.UCI: "network.nowhere.apn", Family.ROUTEROS: "/interface lte apn[default=yes] colour"}[family]
    target = bench.target({**OPTIONS[family], wrong: KEY}, secret=[wrong])
    result = await change(bench.hub, target, within=3000)
    assert (result.outcome, code(result.detail)) == (Outcome.FAILED, "PLN404")
    assert result.detail is not None
    assert KEY not in result.detail.text()
    assert await comes(lambda: bench.options() == before)
    assert await comes(lambda: bench.device.reachable)
    fine = bench.target(OPTIONS[family])
    assert (await change(bench.hub, fine)).outcome is Outcome.APPLIED


async def test_a_full_disk_changes_nothing(benches: Callable[..., Bench]) -> None:
    bench = benches(Family.UCI)
    before = bench.options()
    box = bench.device.box
    assert isinstance(box, UciBox)
    (box.folder / "bin/cp").write_text("#!/bin/sh\necho 'cp: write error: No space left on device' >&2; exit 1\n")
    (box.folder / "bin/cp").chmod(0o755)
    result = await change(bench.hub, bench.target(OPTIONS[Family.UCI]))
    assert (result.outcome, code(result.detail)) == (Outcome.FAILED, "PLN404")
    assert result.detail is not None
    assert "No space left" in result.detail.text()
    assert bench.options() == before


@both
async def test_one_change_at_a_time(family: Family, benches: Callable[..., Bench]) -> None:
    bench = benches(family)
    first = bench.target(OPTIONS[family])
    await change(bench.hub, first)
    second = bench.target({APN[family]: "v-internet"})
    result = await change(bench.hub, second)
    assert (result.outcome, code(result.detail)) == (Outcome.FAILED, "PLN404")
    assert await bench.hub.confirm([first]) == {MODEM: None}


@both
async def test_a_device_with_another_configuration_is_not_confirmed(
    family: Family, benches: Callable[..., Bench]
) -> None:
    bench = benches(family)
    await change(bench.hub, bench.target(OPTIONS[family]))
    other = bench.target({**OPTIONS[family], APN[family]: "v-internet"})
    problem = (await bench.hub.confirm([other]))[MODEM]
    assert code(problem) == "PLN406"
    assert problem is not None
    assert APN[family] in problem.text()


@both
async def test_who_may_come_in(family: Family, benches: Callable[..., Bench], tmp_path: Path) -> None:
    bench = benches(family)
    target = bench.target(OPTIONS[family])
    bench.device.password = "mật khẩu của máy"  # noqa: S105
    stranger = tmp_path / "stranger"
    stranger.write_text(keypair()[0])
    fleet = bench.fleet
    cases = {
        "right password": (fleet.by_password({MODEM: bench.device.password}), target, ""),
        "wrong password": (fleet.by_password({MODEM: "admin"}), target, "PLN403"),
        "no password": (fleet.by_password({}), target, "PLN403"),
        "wrong key": (replace(fleet.access(), key=stranger), target, "PLN403"),
        "other host key": (fleet.access(), replace(target, host_key=keypair()[1]), "PLN401"),
        "no host key": (fleet.access(), replace(target, host_key=""), "PLN402"),
        "nobody there": (fleet.access(), replace(target, address="127.99.99.99"), "PLN400"),
    }
    for name, (access, asked, expected) in cases.items():
        answer = await ask(bench.over(access), asked)
        assert code(answer.problem if isinstance(answer, Unreached) else None) == expected, name
        if expected:
            result = await change(bench.over(access), asked)
            assert (result.outcome, code(result.detail)) == (Outcome.DEFERRED, expected), name


async def test_vietnamese_arrives_whole_byte_by_byte(benches: Callable[..., Bench]) -> None:
    bench = benches(Family.UCI)
    box = bench.device.box
    assert isinstance(box, UciBox)
    box.trickle = 1
    name = "system.@system[0].description"
    facts = await ask(bench.hub, bench.target({name: ""}))
    assert isinstance(facts, Facts)
    assert facts.found[f"option:{name}"].text == "Buôn Chư Tê, xã Ia Rsai – 'cầu tràn'"


@both
async def test_secrets_are_in_no_log_fact_backup_or_process(
    family: Family, benches: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    bench = benches(family)
    caplog.set_level(logging.DEBUG)
    target = bench.target({**OPTIONS[family], SECRET[family]: KEY}, secret=[SECRET[family]])
    seen: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_text(errors="replace"))
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        assert (await change(bench.hub, target)).outcome is Outcome.APPLIED
        assert await bench.hub.confirm([target]) == {MODEM: None}
        facts = await ask(bench.hub, target)
    finally:
        ended.set()
        watcher.join()
    assert bench.options()[SECRET[family]] == KEY
    assert isinstance(facts, Facts)
    assert facts.found[f"option:{SECRET[family]}"].text is None
    assert KEY not in repr(facts)
    assert KEY not in "".join(text for _, _, text in bench.kept)
    assert KEY not in caplog.text
    assert not [line for line in seen if KEY in line]


@both
async def test_a_backup_can_be_put_back(family: Family, benches: Callable[..., Bench]) -> None:
    bench = benches(family)
    before = bench.options()
    target = bench.target(OPTIONS[family])
    await change(bench.hub, target)
    await bench.hub.confirm([target])
    assert bench.options() != before
    backup = DRIVERS[family].parse(bench.kept[0][2])
    restoring = replace(bench.hub, wish=lambda t, current, memory: (from_backup(backup, current), ()))
    assert (await change(restoring, target)).outcome is Outcome.APPLIED
    assert await restoring.confirm([target]) == {MODEM: None}
    assert bench.options() == before


async def test_forty_modems_at_once_of_which_every_second_is_lost_and_comes_back(benches: Callable[..., Bench]) -> None:
    bench = benches(Family.UCI, 40)
    lost = {name for n, name in enumerate(bench.fleet.devices) if n % 2}
    for name in lost:
        bench.fleet[name].apns.discard("m-wap")
    targets = {name: bench.target({"network.wwan.apn": "m-wap"}, name) for name in bench.fleet.devices}
    results = [one async for one in bench.hub.apply([targets[n] for n in targets if n not in lost], 6000.0)]
    results += [one async for one in bench.hub.apply([targets[n] for n in lost], 30.0)]
    assert {r.outcome for r in results} == {Outcome.APPLIED}
    assert await comes(lambda: all(one.box.apn() == "m-wap" for n, one in bench.fleet.devices.items() if n not in lost))
    problems = await bench.hub.confirm(list(targets.values()))
    assert {d for d, problem in problems.items() if problem is not None} == lost
    assert await comes(lambda: all(one.reachable for one in bench.fleet.devices.values()))
    assert {n for n, one in bench.fleet.devices.items() if one.box.apn() == "m-wap"} == targets.keys() - lost
