"""The hub's Unix socket: JSON lines in, answers out, and who is asking by the peer's operating-system user."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pwd
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio.documents import DocumentError, decode, encode
from inventory.diagnostics import Diagnostic
from inventory.model import Network, Person
from tui.methods import MAX_LINE, PROTOCOL, Method, Problem

log = logging.getLogger("loa.hub")


class Refusal(Exception):
    """A request that cannot be done, with what the person needs to know."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(p.code for p in problems))
        self.problems = problems


def refuse(diagnostics: tuple[Diagnostic, ...]) -> Refusal:
    return Refusal(*(Problem(d.code, d.message, d.fix, dict(d.fields), str(d.place)) for d in diagnostics))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the operating-system account and, if the inventory knows it, the person."""

    uid: int
    user: str
    person: Person | None

    def known(self) -> Person:
        """The person, or a refusal: reading is free, acting needs a name and a role."""
        if self.person is None:
            message = "the account '{user}' belongs to nobody in people.yaml"
            raise Refusal(
                Problem("CFG104", message, "add a person with this user, a role and an area", {"user": self.user})
            )
        return self.person


Answer = Callable[[Caller, Any], Awaitable[Any]]
Stream = Callable[[Caller, Any], AsyncIterator[Any]]
Talk = Callable[[Caller, Any, asyncio.StreamReader], AsyncGenerator[Any, None]]
"""A stream of answers during which the asker goes on sending: what comes is the handler's to read."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One of the three: an answer, a stream of them, or a talk, which is the last that a connection is there for."""

    method: Method[Any, Any]
    answer: Answer | None = None
    stream: Stream | None = None
    talk: Talk | None = None


class HubSocket:
    """Serves ``handlers`` on a socket that only its owner and group may open.

    Identity is the peer's uid (SO_PEERCRED). A request may claim another account (``as``), which is accepted from root
    and from the hub's own user: they could act as anyone anyway.
    """

    def __init__(self, path: Path, handlers: Mapping[str, Handler], network: Callable[[], Network]) -> None:
        self._path = path
        self._handlers = handlers
        self._network = network

    async def run(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, str(self._path), limit=MAX_LINE)
        self._path.chmod(0o660)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = _peer_uid(writer)
        try:
            await _send(writer, {"loa": PROTOCOL})
            if _json(await reader.readline()).get("loa") != PROTOCOL:
                return
            while line := await reader.readline():
                await self._request(uid, _json(line), reader, writer)
        except (ConnectionError, asyncio.LimitOverrunError, ValueError):
            pass
        except asyncio.CancelledError:
            pass  # the hub ends, and so does this task; asyncio's own callback would log it as an error
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _request(
        self, uid: int, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        number = request.get("id")
        try:
            handler = self._handlers.get(str(request.get("method")))
            if handler is None:
                raise Refusal(Problem("CFG102", "the hub does not know this request", "use the hub's own version", {}))
            caller = self._caller(uid, str(request.get("as") or ""))
            params = decode(handler.method.params, json.dumps(request.get("params", {})))
            if handler.answer is not None:
                await _send(writer, {"id": number, "result": json.loads(encode(await handler.answer(caller, params)))})
            elif handler.stream is not None:
                await _stream(handler.stream(caller, params), number, writer)
            elif handler.talk is not None:
                async with aclosing(handler.talk(caller, params, reader)) as results:
                    await _stream(results, number, writer)
        except Refusal as refusal:
            problems = [json.loads(encode(p)) for p in refusal.problems]
            await _send(writer, {"id": number, "error": problems})
        except DocumentError as error:
            problem = Problem(
                "CFG102", "the request does not fit: {detail}", "use the hub's own version", {"detail": str(error)}
            )
            await _send(writer, {"id": number, "error": [json.loads(encode(problem))]})
        except ConnectionError:
            raise
        except Exception:
            log.exception("request failed")
            problem = Problem("CFG105", "the hub failed while answering", "see the hub's log", {})
            await _send(writer, {"id": number, "error": [json.loads(encode(problem))]})

    def _caller(self, uid: int, claim: str) -> Caller:
        user = _user(uid)
        if claim and claim != user:
            if uid not in (0, os.getuid()):
                message = "'{user}' may not act as '{claim}'"
                raise Refusal(Problem("CFG106", message, "log in as that person", {"user": user, "claim": claim}))
            user = claim
        people = self._network().people.values()
        return Caller(uid, user, next((p for p in people if p.user == user), None))


async def _stream(results: AsyncIterator[Any], number: Any, writer: asyncio.StreamWriter) -> None:
    async for result in results:
        await _send(writer, {"id": number, "result": json.loads(encode(result)), "more": True})
    await _send(writer, {"id": number, "end": True})


async def _send(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    writer.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
    await writer.drain()


def _json(line: bytes) -> dict[str, Any]:
    """The object in a line. Raises ValueError if it is not JSON, however it is not."""
    try:
        value = json.loads(line or b"{}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value if isinstance(value, dict) else {}


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
