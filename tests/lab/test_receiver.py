"""The receiver as a product: on bare Debian with Debian's own packages, through TLS, and with versions side by side."""

from __future__ import annotations

import array
import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from audio import trust
from audio.documents import DeviceState, Result
from audio.playout import Tried
from audio.receipts import Heard, Report
from inventory.model import DeviceId, Role
from nms.provision import deployments
from nms.provision.contact import MQTT, SSH, Contact, greeting, running, spoken
from nms.provision.deployer import Deployer, Job
from nms.provision.deployments import Deployment
from nms.provision.values import Family, Outcome
from nms.store import Store
from tests.audio.province import AN, BINH, Hub, draft
from tests.audio.receiver_kit import until
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.receiver_kit import SOUND, UNIT, another, audible, heard, mosquitto, now, playing, version
from tests.lab.town import ON, Town, wheel

FIRST, SECOND, THIRD = (DeviceId(f"23557-L{n:02d}") for n in (1, 2, 3))
BUDGET = 80 * 1024
"""KiB."""
TECHNICIAN = replace(AN, roles=(Role.TECHNICIAN,))
MAIN = "audio/receiver/__main__.py"
LINK = "audio/receiver/link.py"
PROGRAM = "/opt/loa/receiver"


@pytest.fixture(scope="module")
def town(lab_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with Lab() as lab:
        hosts = [lab.host(name) for name in (FIRST, SECOND, THIRD)]
        lab.ready()
        made = Town.of(lab, folder, hosts)
        for host in hosts:
            made.enrol(host)
        audible(made, folder)
        with mosquitto(made):
            results = made.apply(made.targets(), within=300)
            assert {r.outcome for r in results.values()} == {Outcome.APPLIED}, results
            assert set(made.confirm(made.targets()).values()) == {None}
            yield made


@asynccontextmanager
async def hub(town: Town, folder: Path) -> AsyncIterator[Hub]:
    with Store.open(folder / "loa.db") as store:
        async with playing(town, store) as made:
            await heard(made, lambda words: all(d in words and words[d].online for d in town.hosts))
            yield made


def main_process(host: Host) -> str:
    return host.exec(["systemctl", "show", "--property", "MainPID", "--value", UNIT]).stdout.strip()


def memory(host: Host) -> dict[str, int]:
    """KiB: now, the most ever, and what of it is no file's."""
    lines = host.exec(["cat", f"/proc/{main_process(host)}/status"]).stdout.splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {name: int(found[name].split()[0]) for name in ("VmRSS", "VmHWM", "RssAnon")}


def samples(host: Host) -> array.array[int]:
    sound = (host.disk / SOUND[1:]).read_bytes()
    return array.array("h", sound[: len(sound) // 2 * 2])


def test_a_programme_through_tls_on_bare_debian(town: Town, tmp_path: Path) -> None:
    host = town.hosts[FIRST]
    said = "import cryptography, paho.mqtt as p; print(cryptography.__version__, p.__version__)"
    found = host.exec(["python3", "-c", said]).stdout.split()
    assert [text.rpartition(".")[0] for text in found] == ["38.0", "1.6"]
    assert host.exec(["find", "/usr/local/lib", "-name", "*.dist-info"]).stdout == ""

    async def evening() -> tuple[Report, Tried, Tried]:
        async with hub(town, tmp_path) as running:
            bulletin, _ = await running.push(draft(play_now=True), approver=BINH)
            async with asyncio.timeout(240):
                while True:
                    report = await running.playout.report(bulletin)
                    assert isinstance(report, Report)
                    if report.counts.get(Heard.HEARD, 0) == len(town.hosts):
                        break
                    await asyncio.sleep(0.5)
            silent = await running.playout.test_tone(TECHNICIAN, FIRST, True)
            tone = await running.playout.test_tone(TECHNICIAN, FIRST, False)
            assert isinstance(silent, Tried)
            assert isinstance(tone, Tried)
            return report, silent, tone

    with town.lab.noc.entered():
        report, silent, tone = asyncio.run(evening())
    assert {o.device for o in report.outcomes if o.heard is Heard.HEARD} == set(town.hosts)
    assert (silent.result, silent.reason) == (Result.CHECKED, "")
    assert (tone.result, tone.reason) == (Result.PLAYED, "")
    played = samples(host)
    assert max(played) > 3000
    assert max(played[-96_000:]) == pytest.approx(0.5 * 32767 * town_ceiling(town) / 100, rel=0.05)
    assert "libav" not in host.exec(["cat", f"/proc/{main_process(host)}/maps"]).stdout
    used = {name: memory(host) for name, host in town.hosts.items()}
    print("memory of the receiver, KiB:", used)
    assert max(one["VmRSS"] for one in used.values()) < BUDGET


def town_ceiling(town: Town) -> int:
    assert town.network.trust is not None
    policy = trust.policy(town.network, town.network.devices[FIRST], ON, town.network.trust)
    minute = (int(now().timestamp()) // 60 + policy.utc_offset) % 1440
    return policy.ceilings.early if minute < policy.ceilings.early_until else policy.ceilings.day


# --- versions ---------------------------------------------------------------------------------------------------------


def runs(device: DeviceId, sha: str, words: Mapping[str, DeviceState]) -> bool:
    return words[device].online and words[device].version == version(sha)


async def roll_out(town: Town, running_: Hub, wanted: Mapping[DeviceId, str], within: float) -> Deployment:
    """Each device to the program with that SHA-256; what became of it."""
    store = running_.store

    sessions, ask = running_.playout.sessions, running_.playout.ask
    contact = Contact({SSH: greeting(), MQTT: spoken(sessions)}, pause=1.0, proofs={MQTT: running(sessions, ask)})
    ansible = town.provisioner()
    deployer = Deployer(store, now, {Family.LINUX: ansible}, contact, ansible.spent, grace=300)
    jobs = {}
    for device, sha in wanted.items():
        made = replace(town, given=replace(town.given, artifacts={"receiver": sha}))
        (target,) = made.targets(only=[device])
        jobs[device] = Job(target, None)
    number = await store.write(lambda s: deployments.begin(s, {"id": "x"}, [tuple(wanted)], "lan", now()))
    assert isinstance(number, str)
    begun = await store.read(lambda s: deployments.read(s, number))
    assert begun is not None
    await deployer.run(begun, jobs, len(wanted), within, str)
    ended = await store.read(lambda s: deployments.read(s, number))
    assert ended is not None
    return ended


def files(host: Host) -> set[str]:
    return set(host.exec(["ls", PROGRAM]).stdout.split())


def test_a_new_version_is_confirmed_when_it_is_heard_and_one_older_stays(town: Town, tmp_path: Path) -> None:
    first = town.store.add("receiver", wheel(), "0.1.0", "first.whl").sha256
    newer = [another(town, {"audio/receiver/LICENSE": f"version {n}\n"}) for n in (2, 3)]

    async def run() -> None:
        async with hub(town, tmp_path) as made:
            for sha in newer:
                ended = await roll_out(town, made, {FIRST: sha}, 120)
                assert ended.outcomes == {FIRST: Outcome.APPLIED}
                await heard(made, partial(runs, FIRST, sha))
                facts = await asyncio.to_thread(town.facts, town.targets(only=[FIRST]))
                assert facts[FIRST].host["receiver"] == version(sha)  # type: ignore[union-attr]
            assert files(town.hosts[FIRST]) == {f"{sha[:12]}.whl" for sha in newer}
            # back by the hub's order: the file is there already
            (town.folder / "artifacts" / newer[0]).rename(tmp_path / "away")
            assert (await roll_out(town, made, {FIRST: newer[0]}, 120)).outcomes == {FIRST: Outcome.APPLIED}
            (tmp_path / "away").rename(town.folder / "artifacts" / newer[0])
            assert (await roll_out(town, made, {FIRST: first}, 120)).outcomes == {FIRST: Outcome.APPLIED}
            assert files(town.hosts[FIRST]) == {f"{sha[:12]}.whl" for sha in (first, newer[0])}

    with town.lab.noc.entered():
        asyncio.run(run())


def test_a_version_that_crashes_hangs_or_is_not_heard_gives_way_to_the_old_one(town: Town, tmp_path: Path) -> None:
    old = town.store.add("receiver", wheel(), "0.1.0", "first.whl").sha256
    link = (Path(__file__).parents[2] / LINK).read_text()
    broken = {
        FIRST: another(town, {MAIN: "raise SystemExit('broken')\n"}),
        SECOND: another(town, {MAIN: "import time\ntime.sleep(3600)\n"}),
        THIRD: another(town, {LINK: link.replace("self._broker = (host, port)", "self._broker = (host, 1)")}),
    }

    async def run() -> Deployment:
        async with hub(town, tmp_path) as made:
            ended = await roll_out(town, made, broken, 60)
            await heard(made, lambda words: all(runs(d, old, words) for d in broken))
            return ended

    with town.lab.noc.entered():
        ended = asyncio.run(run())
    assert ended.outcomes == {FIRST: Outcome.FAILED, SECOND: Outcome.FAILED, THIRD: Outcome.RESTORED}
    for one in ended.devices:
        assert one.result.detail is not None
        print(one.device, one.result.detail.text())
    for device in broken:
        host = town.hosts[device]
        assert f"{broken[device][:12]}.whl" not in files(host)
        assert f"{old[:12]}.whl" in host.exec(["systemctl", "show", "--property", "Environment", UNIT]).stdout


def test_a_receiver_that_does_not_come_round_is_started_again(town: Town, tmp_path: Path) -> None:
    host, soon = town.hosts[SECOND], f"/etc/systemd/system/{UNIT}.d/soon.conf"
    host.write(soon, "[Service]\nWatchdogSec=4\nTimeoutStopSec=2\n")
    host.exec(["systemctl", "daemon-reload"])
    host.exec(["systemctl", "restart", UNIT])
    stuck = main_process(host)
    host.exec(["kill", "-STOP", stuck])
    until(lambda: main_process(host) not in (stuck, "0"), 120)
    host.exec(["rm", soon])
    host.exec(["systemctl", "daemon-reload"])

    async def back() -> None:
        async with hub(town, tmp_path) as made:
            await heard(made, lambda words: words[SECOND].online)

    with town.lab.noc.entered():
        asyncio.run(back())
