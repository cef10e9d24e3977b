"""Addresses are derived from ids and lead back to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.model import DeviceId, Network
from inventory.overlay import address, device_id, encodable


@pytest.mark.parametrize(
    ("device", "octet", "expected"),
    [
        # 23557 = 0b101110000000101: shifted by nine bits it is 0xb80a00.
        ("23557-L01", 10, "10.184.10.1"),
        ("23557-M01", 10, "10.184.10.129"),
        ("23557-B01", 127, "127.184.11.1"),
        ("622-B01", 10, "10.4.221.1"),
        ("32767-B127", 10, "10.255.255.127"),
    ],
)
def test_address(device: str, octet: int, expected: str) -> None:
    assert address(DeviceId(device), octet) == expected
    assert device_id(expected) == device


@given(code=st.integers(100, 32767), kind=st.sampled_from("LMB"), number=st.integers(1, 127), octet=st.integers(1, 223))
def test_round_trip(code: int, kind: str, number: int, octet: int) -> None:
    digits = 3 if code < 1000 else 5
    device = DeviceId(f"{code:0{digits}d}-{kind}{number:02d}")
    assert device_id(address(device, octet)) == device


@pytest.mark.parametrize(
    "device", ["32768-L01", "23557-L128", "23557-L00", "23557-L001", "23557-X01", "23557L01", "", "L1"]
)
def test_ids_without_an_address(device: str) -> None:
    assert not encodable(device)
    with pytest.raises(ValueError, match="no address"):
        address(DeviceId(device), 10)


@pytest.mark.parametrize(
    "text", ["10.184.10.0", "10.184.11.129", "10.184.10", "10.184.10.256", "a.b.c.d", "", "10.1.1.²", "10.1.1.-1"]
)
def test_addresses_of_nobody(text: str) -> None:
    assert device_id(text) is None


def test_no_two_devices_of_a_province_share_an_address(network: Network) -> None:
    addresses = {address(device, int(network.overlay)) for device in network.devices}
    assert len(addresses) == len(network.devices)
    assert {device_id(one) for one in addresses} == set(network.devices)
