"""The roles that Loa ships set up every device of the sample province, and show no secret."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from inventory.load import load
from inventory.model import Hub, Network
from nms.monitor.snmp.usm import AuthProtocol, Community, PrivProtocol, Security, User, user
from nms.provision import manifest, plan
from nms.provision.families import SETUPS
from nms.provision.manifest import Given, Made
from nms.provision.roles import Roles, playbooks, read_roles
from nms.provision.values import Action, Facts, Manifest, Observed
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


def test_a_sound_card_that_comes_is_one_line_of_the_plan_and_its_library() -> None:
    network, _ = load(SAMPLE)
    assert network is not None
    on = network.on(date(2024, 10, 1))
    network = replace(network, hub=Hub("hub.example", "hub.example:51820", "cHVibGlj"))
    device = next(d for d in network.devices_on(on) if d.profile == "loa-receiver")
    without, played = (_alone(replace(network, devices={device.id: replace(device, sound=s)})) for s in ("none", None))
    found = {r.key: Observed(r.digest, r.text) for r in without.resources.values()}
    applied = {r.key: r.digest for r in without.resources.values()}
    changes = list(plan.changes_of(played, Facts(device.id, datetime(2024, 10, 1, tzinfo=UTC), found, applied)))
    assert {(c.action, c.name) for c in changes} == {
        (Action.CREATE, "libasound2"),
        (Action.CHANGE, "/etc/loa-receiver/receiver.toml"),
    }
    (lines,) = [c.diff for c in changes if c.action is Action.CHANGE]
    told = [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert told == ['-output = "null"', '+output = "alsa:default"']


def _alone(network: Network) -> Manifest:
    """The manifest of the network's one device."""
    roles = read_roles(playbooks())
    assert isinstance(roles, Roles), roles
    (device,) = network.devices.values()
    hub = {"ca": "PEM", "content_port": 8443, "mqtt_port": 8883, "snmp_port": 161, "trap_port": 162, "ssh_key": "ssh"}
    given = Given(10, WORDS, USER, {device.id: b"policy"}, {"receiver": "ab" * 32}, hub)
    (made,) = manifest.make(network, device.in_service, roles, given, [device]).values()
    assert isinstance(made, Manifest), made
    return made


def test_every_role_that_a_family_names_is_there() -> None:
    roles = read_roles(playbooks())
    assert isinstance(roles, Roles), roles
    assert {role for setup in SETUPS.values() for role in setup.roles} <= roles.specs.keys()
