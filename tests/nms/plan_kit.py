"""A commune with devices of every way of being set up, and roles as small as they can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from inventory.diagnostics import Diagnostic
from inventory.model import (
    BoardSize,
    Device,
    DeviceId,
    DeviceKind,
    Hub,
    Network,
    Person,
    PersonId,
    Role,
    Sim,
    Tier,
    Trust,
    Unit,
    UnitId,
    UnitType,
)
from nms.monitor.snmp.usm import AuthProtocol, PrivProtocol, user
from nms.provision import manifest
from nms.provision.manifest import Given, Made
from nms.provision.roles import Roles, read_roles
from nms.provision.values import Manifest
from nms.vault import Secret

ON = date(2024, 10, 1)
NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
CLUSTER, OTHER, BOARD = DeviceId("23557-L01"), DeviceId("23557-L02"), DeviceId("23557-B01")
MODEM, SIGN = DeviceId("23557-M01"), DeviceId("23557-B02")
ELSEWHERE = DeviceId("23617-L01")
USER = user(b"loa", AuthProtocol.SHA256, b"authentication", PrivProtocol.AES128, b"confidentiality")
GIVEN = Given(10, {"wifi": Secret("mật khẩu rất dài")}, USER, {CLUSTER: b"frame"}, {"receiver": "ab" * 32})

ROLES: Mapping[str, Mapping[str, str]] = {
    "base": {
        "manifest.yml": """\
resources:
  - {file: /etc/loa/hub, template: hub.j2, restarts: [loa.service]}
  - {package: snmpd}
  - {service: loa.service, state: "enabled running"}
""",
        "hub.j2": "address = {{ loa_hub.address }}\n",
    },
    "overlay": {"manifest.yml": "resources: []\n"},
    "firewall": {"manifest.yml": "resources: []\n"},
    "snmp": {
        "manifest.yml": "resources:\n  - {file: /etc/snmp/user, template: user.j2, mode: '0600', secret: true}\n",
        "user.j2": "{{ loa_snmp.user }} {{ loa_snmp.engine }} {{ secret.snmp_auth_key }} {{ secret.snmp_priv_key }}\n",
    },
    "receiver": {
        "manifest.yml": """\
resources:
  - {file: /etc/loa/receiver.toml, template: receiver.toml.j2, owner: "loa:loa", mode: "0640"}
  - {artifact: /opt/loa/receiver.whl, name: receiver}
  - {service: sound.service, state: "enabled running", when: "loa_kind == 'loudspeaker'"}
""",
        "receiver.toml.j2": "name = {{ loa_name | to_json }}\nvolume = {{ loa_volume.day }}\n",
    },
    "board": {
        "manifest.yml": "resources:\n  - {file: /etc/loa/board, template: board.j2}\n",
        "board.j2": "{{ loa_board.size }}\n",
    },
    "uci": {"manifest.yml": 'resources:\n  - {option: network.wwan.apn, value: "{{ loa_sim.apn }}"}\n'},
    "routeros": {"manifest.yml": "resources: []\n"},
}


def network() -> Network:
    province = Unit(UnitId("64"), "64", "Tỉnh Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)
    names = {"23557": "Phường Yên Đỗ", "23617": "Xã Tây Sơn"}
    communes = [Unit(UnitId(c), c, n, Tier.COMMUNE, UnitType.COMMUNE, province.id) for c, n in names.items()]
    sim = Sim("0849", "8984", "M2M-2GB", "Viettel", apn="v-internet")
    devices = [
        replace(_device(CLUSTER, DeviceKind.LOUDSPEAKER, "loa-receiver"), uplink=MODEM, name="Nhà rông"),
        replace(_device(OTHER, DeviceKind.LOUDSPEAKER, "loa-receiver"), sim=sim),
        replace(_device(ELSEWHERE, DeviceKind.LOUDSPEAKER, "loa-receiver"), sim=sim),
        replace(
            _device(BOARD, DeviceKind.BOARD, "loa-board"), uplink=MODEM, size=BoardSize.SMALL, resolution=(192, 96)
        ),
        replace(_device(SIGN, DeviceKind.BOARD, "ntcip-sign"), uplink=MODEM),
        replace(_device(MODEM, DeviceKind.MODEM, "rutos"), sim=sim),
    ]
    people = {
        PersonId(name): Person(PersonId(name), name.title(), name, (role,), UnitId(area))
        for name, role, area in (
            ("technician", Role.TECHNICIAN, "64"),
            ("local", Role.TECHNICIAN, "23557"),
            ("editor", Role.EDITOR, "64"),
        )
    }
    return Network(
        province.id,
        "Gia Lai",
        ON,
        "127",
        {u.id: u for u in (province, *communes)},
        {},
        {},
        {d.id: d for d in devices},
        people=people,
        trust=Trust("cm9vdA==", ()),
        hub=Hub("hub.example", "hub.example:51820", "cHVi"),
    )


def _device(name: DeviceId, kind: DeviceKind, profile: str) -> Device:
    return Device(name, kind, UnitId(name[:5]), None, profile, date(2024, 1, 1), host_key="ssh-ed25519 AAAA")


def write_roles(folder: Path, changed: Mapping[str, Mapping[str, str]] | None = None) -> Path:
    """``ROLES`` with those of ``changed`` in their place."""
    for role, files in {**ROLES, **(changed or {})}.items():
        for name, text in files.items():
            path = folder / "roles" / role / (name if name == "manifest.yml" else f"templates/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder


def roles(folder: Path, **changed: Mapping[str, str]) -> Roles:
    found = read_roles(write_roles(folder, changed))
    assert isinstance(found, Roles), found
    return found


def wrong(folder: Path, **changed: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """What is wrong with roles that cannot be read."""
    found = read_roles(write_roles(folder, changed))
    assert isinstance(found, tuple)
    return found


def made(known: Roles, given: Given = GIVEN, devices: Iterable[DeviceId] | None = None) -> Made:
    found = network()
    chosen = [found.devices[d] for d in devices] if devices is not None else found.devices.values()
    return manifest.make(found, ON, known, given, chosen)


def manifest_of(known: Roles, device: DeviceId = CLUSTER, given: Given = GIVEN) -> Manifest:
    one = made(known, given, [device])[device]
    assert isinstance(one, Manifest), one
    return one


def problem_of(known: Roles, device: DeviceId = CLUSTER, given: Given = GIVEN) -> Diagnostic:
    """The one thing that is wrong with a device's manifest."""
    one = made(known, given, [device])[device]
    assert isinstance(one, tuple)
    (problem,) = one
    return problem
