"""The live benchmark's peer: an Icecast tuned for little delay, and our own encode as its source."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import programs

COMMAND: Final = "icecast2"
MOUNT: Final = "/live.opus"
QUEUE: Final = 16_384
"""Bytes that a listener may be behind: five seconds of 24 kbit/s, as long as our pages are valid."""
STARTS: Final = 10.0
"""Seconds in which it must listen."""


def installed() -> bool:
    return shutil.which(COMMAND) is not None


def config(port: int, clients: int, password: str) -> str:
    """No burst for those who come, a small queue, no log of them."""
    root = os.getuid() == 0
    owner = "<changeowner><user>nobody</user><group>nogroup</group></changeowner>" if root else ""
    limits = f"<clients>{clients}</clients><sources>2</sources><queue-size>{QUEUE}</queue-size>"
    return f"""<icecast>
<limits>{limits}<burst-on-connect>0</burst-on-connect><burst-size>0</burst-size></limits>
<authentication><source-password>{password}</source-password><admin-password>{password}</admin-password></authentication>
<hostname>localhost</hostname>
<listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
<paths><logdir>/tmp</logdir><webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot>
</paths>
<logging><accesslog>-</accesslog><errorlog>-</errorlog><loglevel>1</loglevel></logging>
<security><chroot>0</chroot>{owner}</security>
</icecast>"""


@dataclass(frozen=True, slots=True)
class Icecast:
    """A running one: its process, and where our pages go (a ``session.Public``)."""

    pid: int
    source: Source


class Source:
    """Pages of one session, sent over the source protocol (HTTP PUT)."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._password = password
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        login = base64.b64encode(f"source:{self._password}".encode()).decode()
        head = f"PUT {MOUNT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n"
        writer.write(f"{head}Content-Type: audio/ogg\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            raise SystemExit(f"{COMMAND} takes no source: {answer!r}")
        self._writer = writer

    def begin(self, session: str, header: bytes) -> None:
        self.page(session, header)

    def page(self, session: str, ogg: bytes) -> None:
        assert self._writer is not None
        if not self._writer.is_closing():
            self._writer.write(ogg)

    def end(self, session: str) -> None:
        assert self._writer is not None
        self._writer.close()


@contextlib.asynccontextmanager
async def running(folder: Path, port: int, clients: int) -> AsyncIterator[Icecast]:
    """One on this port of loopback for so many clients, with its source connected; gone afterwards."""
    password = secrets.token_urlsafe(12)
    path = folder / "icecast.xml"
    path.touch(0o600)
    path.write_text(config(port, clients, password), encoding="utf-8")
    async with programs.running([COMMAND, "-c", str(path)], folder / "icecast.log") as pid:
        await _listening(port)
        source = Source(port, password)
        await source.connect()
        yield Icecast(pid, source)


async def _listening(port: int) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + STARTS
    while loop.time() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit(f"{COMMAND} does not start")
