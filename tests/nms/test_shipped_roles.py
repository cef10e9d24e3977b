"""The roles that Loa ships set up every device of the sample province, and show no secret."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date

import pytest

from inventory.load import load
from inventory.model import Hub
from nms.monitor.snmp.usm import AuthProtocol, Community, PrivProtocol, Security, User, user
from nms.provision import manifest
from nms.provision.families import SETUPS
from nms.provision.manifest import Given, Made
from nms.provision.roles import Roles, playbooks, read_roles
from nms.provision.values import Manifest
from nms.settings import SAMPLE
from nms.vault import Secret
from tests.nms.plan_kit import USER

WORDS = {f"snmp_v3_{kind}_password": Secret(f"{kind} of the vault") for kind in ("auth", "priv")}
OLD = user(b"loa", AuthProtocol.SHA1, b"auth of the vault", PrivProtocol.AES128, b"priv of the vault")


@pytest.fixture(scope="module", params=[USER, OLD, Community(b"public of the vault")])
def security(request: pytest.FixtureRequest) -> Security:
    found: Security = request.param
    return found


@pytest.fixture(scope="module")
def made(security: Security) -> Made:
    network, _ = load(SAMPLE)
    assert network is not None
    on = network.on(date(2024, 10, 1))
    roles = read_roles(playbooks())
    assert isinstance(roles, Roles), roles
    network = replace(network, hub=Hub("hub.example", "hub.example:51820", "cHVibGlj"))
    devices = list(network.devices_on(on))
    given = Given(
        10,
        WORDS,
        security,
        {d.id: b"policy" for d in devices},
        {"receiver": "ab" * 32},
        {"ca": "PEM", "content_port": 8443, "mqtt_port": 8883, "snmp_port": 161, "trap_port": 162, "ssh_key": "ssh"},
    )
    return manifest.make(network, on, roles, given, devices)


def test_every_device_has_a_manifest_or_is_only_watched(made: Made) -> None:
    problems = Counter((d.code, d.text()) for one in made.values() if isinstance(one, tuple) for d in one)
    assert {code for code, _ in problems} <= {"PLN207"}, problems
    assert len([one for one in made.values() if isinstance(one, Manifest)]) > 1500


def test_secrets_are_in_secret_resources_only(made: Made, security: Security) -> None:
    every = [(device, r) for device, one in made.items() if isinstance(one, Manifest) for r in one.resources.values()]
    assert not [r.key for _, r in every if "of the vault" in r.text and not r.secret]
    if isinstance(security, User):
        keys = {device: [key.hex() for key in security.keys(manifest.engine_id(device))] for device, _ in every}
        holding = [(device, r) for device, r in every if any(key in r.text for key in keys[device])]
        assert all(r.secret for _, r in holding)
        assert len({r.digest for _, r in holding}) == len(holding) > 1500  # each device has its own


def test_every_role_that_a_family_names_is_there() -> None:
    roles = read_roles(playbooks())
    assert isinstance(roles, Roles), roles
    assert {role for setup in SETUPS.values() for role in setup.roles} <= roles.specs.keys()
