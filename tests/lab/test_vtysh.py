"""A second command line that is real, FRR's vtysh: read, changed, confirmed; refused and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory.model import DeviceId
from nms.provision.drivers.provisioner import CliProvisioner
from nms.provision.drivers.session import Access
from nms.provision.plan import changes_of
from nms.provision.reach import Target
from nms.provision.values import Facts, Family, Kind, Manifest, Outcome, Resource, Result
from tests.lab.host import Host
from tests.lab.lab import ROUTER, Lab

DEVICE = DeviceId("24112-M09")
OPTIONS = {
    "ip route 10.1.0.0/16": "Null0",
    "interface lo / description": 'Buôn Chư Tê – "cầu tràn"',
    "interface lo / ip address": "192.0.2.1/32\n192.0.2.2/32",
}


class Kept:
    """Configurations that were kept."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []

    async def __call__(self, device: DeviceId, why: str, text: str) -> None:
        self.texts.append((why, text))


@pytest.fixture(scope="module")
def lab(lab_image: Path) -> Iterator[Lab]:
    with Lab() as made:
        made.router("router-1", address="10.9.9.9")
        made.ready()
        yield made


@pytest.fixture
def router(lab: Lab) -> Host:
    return lab.hosts[0]


def target(router: Host, **changed: str) -> Target:
    options = OPTIONS | changed
    found = {f"option:{name}": Resource(Kind.OPTION, name, text) for name, text in options.items()}
    kind, key = router.host_key.split()[:2]
    return Target(DEVICE, router.address, ROUTER, f"{kind} {key}", Manifest(DEVICE, Family.VTYSH, found))


def hub(lab: Lab, kept: Kept) -> CliProvisioner:
    return CliProvisioner(Access(lab.key, lambda _: None), lambda: datetime.now(UTC), kept)


async def asked(hub: CliProvisioner, target: Target) -> Facts:
    (answer,) = [one async for one in hub.facts([target])]
    assert isinstance(answer, Facts), answer
    return answer


async def changed(hub: CliProvisioner, target: Target) -> Result:
    (result,) = [one async for one in hub.apply([target], 60)]
    return result


def test_a_router_is_read_changed_and_its_configuration_saved_when_confirmed(lab: Lab, router: Host) -> None:
    kept = Kept()

    async def run() -> None:
        one, wanted = hub(lab, kept), target(router)
        before = await asked(one, wanted)
        assert before.found == {}
        result = await changed(one, wanted)
        assert (result.outcome, result.detail) == (Outcome.APPLIED, None)
        assert "ip route 10.1.0.0/16 Null0" not in router.read("/etc/frr/frr.conf")  # a restart would end it
        assert await one.confirm([wanted]) == {DEVICE: None}
        assert list(changes_of(wanted.manifest, await asked(one, wanted))) == []
        assert (await changed(one, wanted)).outcome is Outcome.UNCHANGED

    with lab.noc.entered():
        asyncio.run(run())
    saved = router.read("/etc/frr/frr.conf")
    assert "ip route 10.1.0.0/16 Null0" in saved
    assert "Buôn Chư Tê" in saved
    assert [why for why, _ in kept.texts] == ["before", "after"]


def test_a_line_that_the_router_refuses_takes_back_those_before_it(lab: Lab, router: Host) -> None:
    async def run() -> None:
        one, wanted = hub(lab, Kept()), target(router, **{"ip route 10.2.0.0/16": "Null0", "no such": "command"})
        before = await asked(one, wanted)
        result = await changed(one, wanted)
        assert result.outcome is Outcome.FAILED
        assert result.detail is not None
        assert result.detail.code == "PLN404"
        after = await asked(one, wanted)
        assert {key: one.text for key, one in after.found.items()} == {k: o.text for k, o in before.found.items()}

    with lab.noc.entered():
        asyncio.run(run())
