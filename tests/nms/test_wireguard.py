"""The hub's end of the tunnel: who is accepted for which addresses, while keys change as well."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import date

import pytest

from inventory.model import Device, DeviceId, DeviceKind, Network, UnitId
from nms.provision.wireguard import Peer, config, duplicates, handshakes, is_key, peers

ON = date(2024, 10, 1)
LONG_AGO = date(2020, 1, 1)


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def device(name: str, public_key: str = "", uplink: str | None = None, until: date | None = None) -> Device:
    kind = {"L": DeviceKind.LOUDSPEAKER, "M": DeviceKind.MODEM, "B": DeviceKind.BOARD}[name.split("-")[1][0]]
    behind = DeviceId(uplink) if uplink else None
    unit = UnitId(name.split("-")[0])
    return Device(
        DeviceId(name),
        kind,
        unit,
        None,
        "loa-receiver",
        LONG_AGO,
        out_of_service=until,
        public_key=public_key,
        uplink=behind,
    )


def network(*devices: Device) -> Network:
    return Network(UnitId("64"), "Gia Lai", None, "10", {}, {}, {}, {d.id: d for d in devices})


def made(net: Network, told: dict[str, list[str]] | None = None, last: dict[str, int] | None = None) -> list[Peer]:
    named = {DeviceId(name): keys for name, keys in (told or {}).items()}
    return list(peers(net, ON, 10, named, last or {}))


def test_devices_in_use_with_a_key_are_peers_at_their_address() -> None:
    net = network(
        device("23557-L01", key(1)),
        device("23557-L02"),
        device("23557-L03", key(3), until=date(2024, 9, 30)),
        device("23557-L04", "not a key"),
    )
    assert made(net) == [Peer(DeviceId("23557-L01"), key(1), ("10.184.10.1",))]


def test_behind_a_modem_who_has_a_tunnel_of_his_own_uses_it() -> None:
    net = network(
        device("23557-M01", key(1)),
        device("23557-L01", key(2), uplink="23557-M01"),
        device("23557-B01", uplink="23557-M01"),
    )
    assert {p.device: p.addresses for p in made(net)} == {
        "23557-L01": ("10.184.10.1",),
        "23557-M01": ("10.184.10.129", "10.184.11.1"),
    }


def test_a_new_key_gets_the_address_when_it_was_heard_last() -> None:
    net, name = network(device("23557-L01", key(1))), DeviceId("23557-L01")
    address = ("10.184.10.1",)
    told = {"23557-L01": [key(1), key(2)]}
    assert made(net, told) == [Peer(name, key(1), address), Peer(name, key(2), ())]
    assert made(net, told, {key(1): 100, key(2): 0})[0].addresses == address
    assert made(net, told, {key(1): 100, key(2): 101}) == [Peer(name, key(1), ()), Peer(name, key(2), address)]
    assert made(net, told, {key(1): 105, key(2): 101})[0].addresses == address  # it went back
    known = network(device("23557-L01", key(2)))
    assert made(known, {"23557-L01": [key(2)]}, {key(1): 105}) == [Peer(name, key(2), address)]


def test_a_key_that_is_told_takes_nobody_elses() -> None:
    net = network(device("23557-L01", key(1)), device("23557-L02", key(2)))
    told = {"23557-L01": [key(2), key(3), "rubbish"], "23557-L02": [key(3)]}
    found = made(net, told, {key(2): 1000})
    assert [(p.device, p.key) for p in found] == [
        ("23557-L01", key(1)),
        ("23557-L01", key(3)),
        ("23557-L02", key(2)),
    ]
    assert all(p.addresses for p in found if p.key != key(3))


def test_who_is_not_enrolled_cannot_tell_himself_in() -> None:
    assert made(network(device("23557-L01")), {"23557-L01": [key(1)]}) == []


def test_a_key_that_two_devices_have_is_named() -> None:
    net = network(device("23557-L01", key(1)), device("23557-L02", key(1)))
    assert duplicates(net, ON) == {key(1): ("23557-L01", "23557-L02")}
    assert [p.device for p in made(net)] == ["23557-L01"]


def test_no_address_belongs_to_two_peers() -> None:
    net = network(*(device(f"23557-L{n:02d}", key(n), uplink="23557-M01") for n in range(1, 60)))
    found = made(net, {f"23557-L{n:02d}": [key(n + 100)] for n in range(1, 60)})
    addresses = [a for p in found for a in p.addresses]
    assert len(addresses) == len(set(addresses)) == 59
    assert len({p.key for p in found}) == len(found) == 118


@pytest.mark.parametrize("text", ["", "x", "A" * 44, base64.b64encode(bytes(31)).decode(), key(1) + "\n", key(1)[:-1]])
def test_what_is_no_key(text: str) -> None:
    assert not is_key(text)


def test_the_configuration_is_what_wg_reads() -> None:
    text = config([Peer(DeviceId("a"), key(1), ("10.0.0.2", "10.0.0.3")), Peer(DeviceId("b"), key(2), ())])
    first = f"# a\n[Peer]\nPublicKey = {key(1)}\nAllowedIPs = 10.0.0.2/32, 10.0.0.3/32\n"
    assert text == f"{first}\n# b\n[Peer]\nPublicKey = {key(2)}\n"


def test_handshakes_as_wg_shows_them() -> None:
    assert handshakes(f"{key(1)}\t1795240000\n{key(2)}\t0\n") == {key(1): 1795240000, key(2): 0}
    with pytest.raises(ValueError, match="latest-handshakes"):
        handshakes("peer: x")


@pytest.mark.skipif(shutil.which("wg") is None, reason="wireguard-tools is not installed")
def test_keys_are_those_that_wg_makes() -> None:
    private = subprocess.run(["wg", "genkey"], capture_output=True, check=True).stdout
    public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, check=True).stdout
    assert is_key(public.decode().strip())
