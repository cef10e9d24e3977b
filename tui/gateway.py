"""The only door from the faces to the hub: a client of its Unix socket, asynchronous or plain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol, TypeVar

from audio.documents import DocumentError, decode, encode
from tui.methods import MAX_LINE, PROTOCOL, Method, Problem

P = TypeVar("P")
R = TypeVar("R")


class HubError(Exception):
    """The hub said no, or could not be asked; ``problems`` say why, each with a code and a fix."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{p.code}: {p.message.format_map(p.fields)}" for p in problems))
        self.problems = problems


class Gateway(Protocol):
    """What a screen may do: ask once, or watch."""

    def ask(self, method: Method[P, R], params: P) -> Coroutine[Any, Any, R]: ...

    def watch(self, method: Method[P, R], params: P) -> AsyncGenerator[R, None]: ...


class SocketGateway:
    """One connection per question: a hub that restarts is simply there again at the next one.

    ``claim`` names another person's account; the hub accepts that from root and from its own user only.
    """

    def __init__(self, socket: Path, claim: str = "", connect_timeout: float = 5.0) -> None:
        self._socket = socket
        self._claim = claim
        self._timeout = connect_timeout

    async def ask(self, method: Method[P, R], params: P) -> R:
        async with aclosing(self._exchange(method, params)) as answers:
            return await anext(answers)

    async def watch(self, method: Method[P, R], params: P) -> AsyncGenerator[R, None]:
        async with aclosing(self._exchange(method, params)) as answers:
            async for answer in answers:
                yield answer

    async def talk(
        self, method: Method[P, R], params: P, given: Callable[[asyncio.StreamWriter], None]
    ) -> AsyncGenerator[R, None]:
        """As ``watch``; ``given`` gets what the hub goes on reading from, once the question is asked."""
        async with aclosing(self._exchange(method, params, given)) as answers:
            async for answer in answers:
                yield answer

    async def _exchange(
        self, method: Method[P, R], params: P, given: Callable[[asyncio.StreamWriter], None] | None = None
    ) -> AsyncGenerator[R, None]:
        reader, writer = await self._open()
        try:
            request = {"id": 1, "method": method.name, "as": self._claim, "params": json.loads(encode(params))}
            writer.write(json.dumps({"loa": PROTOCOL}).encode() + b"\n" + json.dumps(request).encode() + b"\n")
            await writer.drain()
            await _greeting(reader)
            if given is not None:
                given(writer)
            more = True
            while more:
                answer = await _line(reader)
                if "error" in answer:
                    raise HubError(tuple(decode(Problem, json.dumps(p)) for p in answer["error"]))
                if answer.get("end"):
                    return
                more = bool(answer.get("more"))
                yield decode(method.result, json.dumps(answer.get("result")))
        except ConnectionError:
            raise _closed() from None
        except DocumentError:
            raise _other_version() from None
        finally:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            opening = asyncio.open_unix_connection(str(self._socket), limit=MAX_LINE)
            return await asyncio.wait_for(opening, self._timeout)
        except (OSError, TimeoutError):
            message = "the hub is not running (no answer at {socket})"
            fix = "start it with: loa serve"
            raise HubError((Problem("CFG101", message, fix, {"socket": str(self._socket)}),)) from None


async def _greeting(reader: asyncio.StreamReader) -> None:
    if (await _line(reader)).get("loa") != PROTOCOL:
        raise _other_version()


async def _line(reader: asyncio.StreamReader) -> dict[str, Any]:
    """One message; half a line is what a hub leaves that was killed."""
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise _closed()
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        raise _other_version() from None
    if not isinstance(answer, dict):
        raise _other_version()
    return answer


def _other_version() -> HubError:
    message = "the hub speaks another version of the protocol"
    return HubError((Problem("CFG102", message, "use the loa command of the hub's own version", {}),))


def _closed() -> HubError:
    message = "the hub went away before it answered"
    return HubError((Problem("CFG103", message, "ask again; see the hub's log if it keeps happening", {}),))


def ask(gateway: Gateway, method: Method[P, R], params: P) -> R:
    """Ask once from a program that is not asynchronous."""
    return asyncio.run(gateway.ask(method, params))
