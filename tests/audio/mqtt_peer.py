"""A broker of our own that breaks the protocol as it is told, one connection after the other. MQTT 5 by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = (
    kind << 4 for kind in (2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15)
)
CONNECT, SUBSCRIBE, UNSUBSCRIBE = 1 << 4, 8 << 4, 10 << 4
MOST_LENGTH = 268_435_455
"""The longest packet that the protocol can announce (MQTT 5, 1.5.5)."""


def varint(number: int) -> bytes:
    """A Variable Byte Integer."""
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def packet(first: int, body: bytes = b"", length: int | None = None) -> bytes:
    """``length``: what is announced, where that is not the truth."""
    return bytes([first]) + varint(len(body) if length is None else length) + body


def connack(reason: int = 0) -> bytes:
    return packet(CONNACK, bytes([0, reason, 0]))


def publish(topic: str | bytes, payload: bytes, qos: int = 1, number: int = 1, properties: bytes = b"\0") -> bytes:
    name = topic.encode() if isinstance(topic, str) else topic
    mid = number.to_bytes(2, "big") if qos else b""
    return packet(PUBLISH | qos << 1, len(name).to_bytes(2, "big") + name + mid + properties + payload)


@dataclass
class Session:
    """One connection of the device."""

    peer: Peer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def packet(self) -> tuple[int, bytes]:
        """The next packet that the device sends: its first byte and the rest."""
        first = (await self.reader.readexactly(1))[0]
        length, shift = 0, 0
        while True:
            digit = (await self.reader.readexactly(1))[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return first, await self.reader.readexactly(length)

    async def say(self, *packets: bytes) -> None:
        for one in packets:
            self.writer.write(one)
            await self.writer.drain()

    async def welcome(self) -> None:
        """The beginning as it should be, until the device has subscribed."""
        assert (await self.packet())[0] & 0xF0 == CONNECT
        await self.say(connack())
        while True:
            first, body = await self.packet()
            await self.answer(first, body)
            if first & 0xF0 == SUBSCRIBE:
                return

    async def serve(self) -> None:
        """An honest broker, until the device goes."""
        while True:
            await self.answer(*await self.packet())

    async def answer(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        if kind == PUBLISH:
            size = int.from_bytes(body[:2], "big")
            topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
            self.peer.heard.append((topic, rest[3:]))  # packet id, no properties
            await self.say(packet(PUBACK, rest[:2]))
        elif kind == SUBSCRIBE:
            self.peer.subscriptions += 1
            await self.say(packet(SUBACK, body[:2] + b"\0" + b"\1" * 16))
        elif kind == UNSUBSCRIBE:
            await self.say(packet(UNSUBACK, body[:2] + b"\0" + b"\0"))
        elif kind == PINGREQ:
            await self.say(packet(PINGRESP))

    async def until_gone(self, seconds: float) -> None:
        """Reads and answers nothing until the device has hung up, or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.reader.read(65_536):
                    pass


Script = Callable[[Session], Awaitable[None]]


@dataclass
class Peer:
    """Each connection gets the next of ``scripts``, and ``last`` when there are no more."""

    last: Script
    scripts: list[Script] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    """Names of the scripts that have come to their end, by themselves or because the device hung up."""
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    subscriptions: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _sessions: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Peer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._sessions:
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def then(self, scripts: Iterable[Script]) -> None:
        """These scripts from the next connection on; the one there is ends now."""
        self.scripts = list(scripts)
        for task in self._sessions:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        script = self.scripts.pop(0) if self.scripts else self.last
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(Session(self, reader, writer))
        except asyncio.CancelledError:
            pass  # told to end, which is no failure of this connection
        finally:
            self._sessions.discard(task)
            self.done.append(getattr(script, "__name__", ""))
            writer.close()
