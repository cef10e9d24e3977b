"""The roles of modems: what they make of the inventory, and that modems take it, remember it and are then as wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory.model import DeviceId
from nms.monitor.snmp.usm import AuthProtocol, PrivProtocol, user
from nms.provision import manifest
from nms.provision.drivers.provisioner import CliProvisioner
from nms.provision.manifest import Given
from nms.provision.plan import changes_of
from nms.provision.roles import Roles, playbooks, read_roles
from nms.provision.values import Facts, Family, Manifest, Outcome
from nms.vault import Secret
from tests.nms.plan_kit import MODEM, ON, network
from tests.sim.cli_ssh import CliFleet

SECRETS = {
    "snmp_v3_auth_password": Secret("mật khẩu xác thực"),
    "snmp_v3_priv_password": Secret("mật khẩu mã hóa"),
}
USER = user(b"loa", AuthProtocol.SHA1, b"authentication", PrivProtocol.AES128, b"confidentiality")
GIVEN = Given(10, SECRETS, USER, hub={"snmp_port": 161, "ssh_key": ""})


@pytest.fixture(scope="module")
def roles() -> Roles:
    found = read_roles(playbooks())
    assert isinstance(found, Roles), found
    return found


def wanted(roles: Roles, profile: str, tunnel: bool = True) -> Manifest:
    found = network()
    device = replace(found.devices[MODEM], profile=profile)
    hub = found.hub if tunnel else None
    found = replace(found, devices={**found.devices, MODEM: device}, hub=hub)
    made = manifest.make(found, ON, roles, GIVEN, [device])[MODEM]
    assert isinstance(made, Manifest), made
    return made


def texts(made: Manifest) -> Mapping[str, str]:
    return {one.name: one.text for one in made.resources.values()}


def test_an_access_point_is_where_each_firmware_has_it(roles: Roles) -> None:
    assert texts(wanted(roles, "openwrt"))["network.wwan.apn"] == "v-internet"
    rutos = texts(wanted(roles, "rutos"))
    assert (rutos["network.mob1s1a1.apn"], rutos["network.mob1s1a1.auto_apn"]) == ("v-internet", "0")
    assert "network.wwan.apn" not in rutos
    assert texts(wanted(roles, "routeros"))["/interface lte apn[default=yes] apn"] == "v-internet"


def test_the_tunnel_is_the_hubs_and_its_private_key_is_nobodys(roles: Roles) -> None:
    uci, routeros = texts(wanted(roles, "openwrt")), texts(wanted(roles, "routeros"))
    assert (uci["network.loa_hub.endpoint_host"], uci["network.loa_hub.endpoint_port"]) == ("hub.example", "51820")
    assert routeros["/interface wireguard peers[comment=loa-hub] public-key"] == "cHVi"
    assert not [name for name in (*uci, *routeros) if "private" in name]
    for profile in ("openwrt", "rutos", "routeros"):
        assert not [
            name for name in texts(wanted(roles, profile, tunnel=False)) if "wireguard" in name or "_hub" in name
        ]


@pytest.mark.parametrize(("profile", "family"), [("openwrt", Family.UCI), ("routeros", Family.ROUTEROS)])
async def test_a_modem_takes_its_role_and_is_then_as_wanted(
    profile: str, family: Family, roles: Roles, tmp_path: Path
) -> None:
    async def keep(device: DeviceId, why: str, text: str) -> None:
        assert "mật khẩu" not in text

    with CliFleet(ids=[MODEM], folder=tmp_path, family=family, haste=10) as fleet:
        hub = CliProvisioner(fleet.access(), lambda: datetime.now(UTC), keep)
        target = fleet.target(MODEM, wanted(roles, profile))
        (result,) = [one async for one in hub.apply([target], 3000)]
        assert (result.outcome, result.detail) == (Outcome.APPLIED, None)
        assert await hub.confirm([target]) == {MODEM: None}
        (facts,) = [one async for one in hub.facts([target])]
        assert isinstance(facts, Facts)
        assert list(changes_of(target.manifest, facts)) == []
        assert facts.applied.keys() == target.manifest.resources.keys()
