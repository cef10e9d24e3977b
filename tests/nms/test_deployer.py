"""Roll-outs over a fleet of processes that go back by themselves."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId, Rollout
from nms.journal import recent
from nms.provision import deployments, facts
from nms.provision.apply_faults import fault
from nms.provision.deployments import State
from nms.provision.reach import Target
from nms.provision.values import Outcome, Result
from nms.store import Store
from tests.nms.modem_fleet import NEW, OLD, ROOT, fleet, states
from tests.nms.rollout_hub import Desk, fleet_of, job, now

TEN = Rollout(canary=1, waves=(10,))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "loa.db") as opened:
        yield opened


async def test_of_forty_of_which_every_second_would_be_lost_at_most_the_canary_is(store: Store) -> None:
    devices = fleet_of(40)
    with fleet(devices, devices[::2]) as folder:
        desk = Desk(store, folder)
        number = desk.begin(devices, TEN)
        assert await desk.run(number) is State.STOPPED
        assert desk.modems.touched == devices[:1]  # the canary, and nobody else
        assert desk.outcomes(number) == {"restored": devices[:1], "untouched": devices[1:]}
        assert set(states(folder).values()) == {OLD}
        reason = desk.read(number).reason
        assert reason is not None
        assert (reason.code, reason.fields["wave"], reason.fields["count"]) == ("PLN320", "1", "1")


async def test_a_good_canary_lets_one_wave_begin_and_who_is_lost_there_comes_back(store: Store) -> None:
    devices = fleet_of(40)
    with fleet(devices, devices[1::2]) as folder:
        desk = Desk(store, folder)
        number = desk.begin(devices, TEN)
        assert await desk.run(number) is State.STOPPED
        assert sorted(desk.modems.touched) == devices[:11]
        outcomes = desk.outcomes(number)
        assert outcomes["restored"] == devices[1:11:2]
        assert outcomes["applied"] == devices[0:11:2]
        assert outcomes["untouched"] == devices[11:]
        assert {d for d, apn in states(folder).items() if apn == NEW} == set(devices[0:11:2])
        assert all(one.result.sent for one in desk.read(number).devices[:11])


async def test_a_plan_that_is_carried_out_is_confirmed_everywhere(store: Store) -> None:
    devices = fleet_of(8)
    with fleet(devices) as folder:
        desk = Desk(store, folder, within=1.0)
        number = desk.begin(devices, Rollout(canary=1, waves=(3,)))
        assert await desk.run(number) is State.DONE
        await asyncio.sleep(1.1)
        assert set(states(folder).values()) == {NEW}  # no probation is left
        assert desk.outcomes(number) == {"applied": devices}
        kinds = [f"{e.kind.value} {e.to}" for e in store.read_sync(lambda s: recent(s, 5))]
        assert kinds == ["deploy.finished done", "deploy.started running"]


async def test_who_cannot_be_reached_is_deferred_and_brought_up_when_back(store: Store) -> None:
    devices = fleet_of(3)
    with fleet(devices) as folder:
        desk = Desk(store, folder)
        number = desk.begin(devices, TEN)
        (folder / f"{devices[1]}.sock").rename(folder / "away")
        assert await desk.run(number) is State.DONE
        assert desk.outcomes(number)["deferred"] == [devices[1]]
        (waits,) = store.read_sync(deployments.deferred)
        assert (waits.deployment, waits.device) == (number, devices[1])
        (folder / "away").rename(folder / f"{devices[1]}.sock")
        returned = {devices[1]: replace(job(devices[1]), known=None)}
        assert await desk.deployer().bring_up(number, returned, 3.0) == {devices[1]: Outcome.APPLIED}
        assert set(states(folder).values()) == {NEW}
        assert store.read_sync(deployments.deferred) == ()


async def test_a_rollout_that_stopped_leaves_those_it_put_off_as_they_are(store: Store) -> None:
    """They would get, without anybody looking on, what has just harmed others."""
    devices = fleet_of(3)
    with fleet(devices, devices[1:2]) as folder:
        desk = Desk(store, folder)
        number = desk.begin(devices, Rollout(canary=2, waves=(10,)))
        (folder / f"{devices[0]}.sock").rename(folder / "away")
        assert await desk.run(number) is State.STOPPED
        assert desk.outcomes(number) == {"restored": devices[1:2], "untouched": [devices[0], devices[2]]}
        assert store.read_sync(deployments.deferred) == ()


@pytest.mark.parametrize("state", [State.PAUSED, State.INTERRUPTED])
def test_nobody_is_brought_up_before_the_rollout_is_through(store: Store, tmp_path: Path, state: State) -> None:
    (device,) = fleet_of(1)
    number = Desk(store, tmp_path).begin([device], TEN)
    store.write_sync(lambda s: deployments.record(s, number, [Result(device, Outcome.DEFERRED)], now()))
    store.write_sync(lambda s: deployments.finish(s, number, state, None, now()))
    assert store.read_sync(deployments.deferred) == ()


async def test_a_change_that_could_not_be_confirmed_after_a_restart_is_not_called_applied(store: Store) -> None:
    devices = fleet_of(1)
    with fleet(devices) as folder:
        desk = Desk(store, folder)
        number = desk.begin(devices, TEN)
        desk.modems.confirm = partial(gone_when_confirmed, folder / f"{devices[0]}.sock")  # type: ignore[method-assign]
        (folder / f"{devices[0]}.apn").write_text(NEW)
        store.write_sync(lambda s: deployments.record(s, number, [Result(devices[0], Outcome.RUNNING)], now()))
        assert await desk.run(number) is State.DONE
        (one,) = desk.read(number).devices
        assert one.result.outcome is Outcome.DEFERRED


async def gone_when_confirmed(socket: Path, targets: Sequence[Target]) -> dict[DeviceId, Diagnostic | None]:
    await asyncio.to_thread(socket.unlink, missing_ok=True)
    return {t.device: fault("PLN308", device=t.device, reason="-") for t in targets}


async def test_who_was_changed_by_hand_since_the_plan_is_left_as_he_is(store: Store) -> None:
    devices = fleet_of(2)
    with fleet(devices) as folder:
        (folder / f"{devices[1]}.apn").write_text("tampered")
        desk = Desk(store, folder)
        number = desk.begin(devices, TEN)
        assert await desk.run(number) is State.DONE
        last = desk.read(number).devices[1]
        assert last.result.outcome is Outcome.UNTOUCHED
        assert last.result.detail is not None
        assert last.result.detail.code == "PLN313"
        assert states(folder)[devices[1]] == "tampered"


async def test_another_serial_number_is_not_touched_and_the_others_go_on(store: Store) -> None:
    devices = fleet_of(3)
    with fleet(devices) as folder:
        desk = Desk(store, folder)
        number = desk.begin(devices, TEN)
        deployment = desk.read(number)
        jobs = {d: job(d) for d in devices} | {devices[0]: replace(job(devices[0]), serial="S-1")}
        assert await desk.deployer().run(deployment, jobs, 0, 3.0, str) is State.DONE
        assert desk.outcomes(number) == {"deferred": devices[:1], "applied": devices[1:]}
        detail = desk.read(number).devices[0].result.detail
        assert detail is not None
        assert detail.code == "PLN305"


async def test_a_pause_finishes_the_wave_and_says_what_is_left(store: Store) -> None:
    devices = fleet_of(6)
    with fleet(devices) as folder:
        desk = Desk(store, folder)
        number = desk.begin(devices, Rollout(canary=1, waves=(2,)))
        running = asyncio.create_task(desk.run(number))
        await desk.modems.first.wait()
        desk.pausing = "lan"
        assert await running is State.PAUSED
        assert desk.outcomes(number) == {"applied": devices[:1], "waiting": devices[1:]}
        desk.pausing = ""
        resumed = store.write_sync(lambda s: deployments.resume(s, number, "lan", now()))
        assert not isinstance(resumed, Diagnostic)
        assert await desk.run(number) is State.DONE
        assert desk.outcomes(number) == {"applied": devices}


def test_a_device_is_in_one_rollout_at_a_time(store: Store, tmp_path: Path) -> None:
    devices = fleet_of(3)
    desk = Desk(store, tmp_path)
    number = desk.begin(devices[:2], TEN)
    refused = store.write_sync(lambda s: deployments.begin(s, {}, [devices[1:]], "nga", now()))
    assert isinstance(refused, Diagnostic)
    assert refused.code == "PLN316"
    assert (refused.fields["device"], refused.fields["person"]) == (devices[1], "lan")
    store.write_sync(lambda s: deployments.finish(s, number, State.DONE, None, now()))
    assert isinstance(store.write_sync(lambda s: deployments.begin(s, {}, [devices[1:]], "nga", now())), str)


def test_a_later_rollout_ends_a_deferral(store: Store, tmp_path: Path) -> None:
    (device,) = fleet_of(1)
    desk = Desk(store, tmp_path)
    for outcome in (Outcome.DEFERRED, Outcome.APPLIED):
        number = desk.begin([device], TEN)
        store.write_sync(lambda s: deployments.record(s, number, [Result(device, outcome)], now()))  # noqa: B023
        store.write_sync(lambda s: deployments.finish(s, number, State.DONE, None, now()))  # noqa: B023
        expected = [device] if outcome is Outcome.DEFERRED else []
        assert [d.device for d in store.read_sync(deployments.deferred)] == expected


def test_what_has_ended_cannot_go_on(store: Store, tmp_path: Path) -> None:
    number = Desk(store, tmp_path).begin(fleet_of(1), TEN)
    for wanted, given in (("PLN324", number), ("PLN317", "nonsense")):
        refused = store.write_sync(lambda s: deployments.resume(s, given, "lan", now()))  # noqa: B023
        assert isinstance(refused, Diagnostic)
        assert refused.code == wanted
    store.write_sync(lambda s: deployments.finish(s, number, State.STOPPED, fault("PLN320"), now()))
    refused = store.write_sync(lambda s: deployments.resume(s, number, "lan", now()))
    assert isinstance(refused, Diagnostic)
    assert refused.code == "PLN318"


@pytest.mark.parametrize("touched", [1, 4])
def test_a_hub_killed_in_the_middle_of_a_wave_finishes_later(tmp_path: Path, touched: int) -> None:
    devices, location = fleet_of(8), f"sqlite:///{tmp_path}/loa.db"
    with fleet(devices) as folder:
        with Store.open(location) as store:
            number = Desk(store, folder).begin(devices, Rollout(canary=1, waves=(4,)))
        hub = [sys.executable, "-m", "tests.nms.rollout_hub", location, str(folder), number]
        process = subprocess.Popen(hub, cwd=ROOT)
        until = time.monotonic() + 60
        while list(states(folder).values()).count(NEW) < touched and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert set(states(folder).values()) <= {OLD, NEW}
        with Store.open(location) as store:
            assert store.write_sync(lambda s: deployments.interrupt(s, now())) == (number,)
            desk = Desk(store, folder)
            assert desk.read(number).state is State.INTERRUPTED
            begun = store.read_sync(lambda s: deployments.unsettled(s, number))
            asyncio.run(desk.deployer().examine(number, {d: job(d) for d in begun}, desk.read(number).outcomes))
            assert not store.read_sync(lambda s: deployments.unsettled(s, number))
            resumed = store.write_sync(lambda s: deployments.resume(s, number, "lan", now()))
            assert not isinstance(resumed, Diagnostic)
            assert asyncio.run(desk.run(number)) is State.DONE
            assert desk.outcomes(number) == {"applied": devices}
            assert set(states(folder).values()) == {NEW}


async def test_what_devices_say_is_kept_and_what_is_not_known_any_more_forgotten(store: Store) -> None:
    devices = fleet_of(2)
    with fleet(devices, devices[:1]) as folder:
        desk = Desk(store, folder, limit=1)
        number = desk.begin(devices, TEN)
        assert await desk.run(number) is State.DONE
        known = store.read_sync(lambda s: facts.read(s, devices))
        restored, applied = known[devices[0]], known[devices[1]]
        assert restored.facts is not None  # it was asked when it was back
        assert restored.facts.digest == job(devices[0]).known
        assert applied.facts is None  # it is asked before the next plan
        assert now() - desk.read(number).started < timedelta(minutes=5)


def test_ids_may_be_given_by_their_end(store: Store, tmp_path: Path) -> None:
    number = Desk(store, tmp_path).begin([DeviceId("1-L01")], TEN)
    for text, found in ((number[-6:], True), ("", False), ("zz", False)):
        assert (store.read_sync(lambda s: deployments.read(s, text)) is not None) is found  # noqa: B023
