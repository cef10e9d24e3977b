"""The client's side of MQTT 5, as far as somebody who only listens needs it: for thousands of them in one process."""

from __future__ import annotations

CONNACK, SUBACK, PUBLISH = 0x20, 0x90, 0x30
FAILURE = 0x80
"""MQTT 5, 2.4: reason codes from here on."""


def text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def packet(kind: int, body: bytes) -> bytes:
    """An MQTT control packet: first byte, remaining length (MQTT 5, 1.5.5), the rest."""
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([kind]) + bytes(length) + body


def connect(name: str) -> bytes:
    return packet(0x10, text("MQTT") + bytes([5, 2]) + (600).to_bytes(2, "big") + b"\0" + text(name))


def subscribe(topic: str, qos: int = 1) -> bytes:
    return packet(0x82, (1).to_bytes(2, "big") + b"\0" + text(topic) + bytes([qos]))


class Packets:
    """Cuts what one connection brings into packets."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def of(self, data: bytes) -> list[tuple[int, bytes]]:
        """The packets that are whole with ``data``: first byte and what follows the length."""
        self._pending += data
        found = []
        while (whole := self._whole()) is not None:
            start, end = whole
            found.append((self._pending[0], bytes(self._pending[start:end])))
            del self._pending[:end]
        return found

    def _whole(self) -> tuple[int, int] | None:
        length = shift = 0
        for place in range(1, min(5, len(self._pending))):
            length |= (self._pending[place] & 0x7F) << shift
            shift += 7
            if not self._pending[place] & 0x80:
                end = place + 1 + length
                return (place + 1, end) if end <= len(self._pending) else None
        return None


def published(body: bytes, kind: int) -> tuple[str, bytes, bytes]:
    """Topic, packet id and payload of a PUBLISH."""
    size = int.from_bytes(body[:2], "big")
    at = 2 + size
    number = body[at : at + 2] if kind & 0x06 else b""
    at += len(number)
    return body[2 : 2 + size].decode(), number, body[at + 1 + body[at] :]
