"""Management addresses, derived from device ids and never typed.

The first octet, then 24 bits: code (15), kind (2: loudspeaker 0, modem 1, board 2), number (7).
"""

from __future__ import annotations

import re

from inventory.model import DeviceId

_ID = re.compile(r"([0-9]{3,5})-([LMB])([0-9]{2,3})").fullmatch
_KINDS = "LMB"
_MAX_CODE = (1 << 15) - 1
_MAX_NUMBER = (1 << 7) - 1


def _bits(device: str) -> int | None:
    match = _ID(device)
    if match is None:
        return None
    code, number = int(match[1]), int(match[3])
    if code > _MAX_CODE or not 1 <= number <= _MAX_NUMBER or match[3] != f"{number:02d}":
        return None
    return code << 9 | _KINDS.index(match[2]) << 7 | number


def encodable(device: str) -> bool:
    """Whether the id has an address: a known form, code at most 32767, number 01 to 127 without extra zeros."""
    return _bits(device) is not None


def address(device_id: DeviceId, octet: int) -> str:
    """The device's address in ``octet``/8. Raises ValueError for an id that is not ``encodable``."""
    bits = _bits(device_id)
    if bits is None:
        raise ValueError(f"{device_id!r} has no address in the overlay")
    return f"{octet}.{bits >> 16}.{bits >> 8 & 255}.{bits & 255}"


def hub_address(octet: int) -> str:
    """The hub's own address in ``octet``/8: no unit has the code 0."""
    return f"{octet}.0.0.1"


def device_id(address: str) -> DeviceId | None:
    """The id behind an address, whatever its first octet; None if it is nobody's.

    The code is written with the digits of its tier, three for a district and five for a commune, so communes with
    codes below 01000 (there are such only in Hà Nội) come back in the district's form.
    """
    parts = address.split(".")
    if len(parts) != 4 or not all(p.isascii() and p.isdigit() and len(p) <= 3 and int(p) <= 255 for p in parts):
        return None
    bits = int(parts[1]) << 16 | int(parts[2]) << 8 | int(parts[3])
    code, kind, number = bits >> 9, bits >> 7 & 3, bits & _MAX_NUMBER
    if kind >= len(_KINDS) or number == 0:
        return None
    return DeviceId(f"{code:0{3 if code < 1000 else 5}d}-{_KINDS[kind]}{number:02d}")
