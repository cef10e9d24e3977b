"""The hub's door to the devices: one supervised MQTT 5 connection, and a broker of its own where there is no other.

A broker that dies forgets retained messages it had acknowledged (measured with mosquitto), so every retained document
is kept here and published again on each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import shutil
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiomqtt

TOPICS: Final = "loa/1"
SUBSCRIPTIONS: Final = (f"{TOPICS}/dev/+/receipt", f"{TOPICS}/dev/+/state")
FIRST_WAIT = 0.2
LONGEST_WAIT = 15.0
IN_FLIGHT = 256
"""Publishes awaiting their acknowledgement at a time; the broker's own receive maximum may be lower."""

PATHS = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
"""Debian keeps daemons out of an ordinary user's PATH."""
START_SECONDS = 10.0

CONFIGURATION = """\
# Written by loa; loopback only, therefore without passwords. Production configures its own broker with TLS.
listener {port} 127.0.0.1
allow_anonymous true
user {user}
persistence false
log_dest file {log}
log_type error
log_type warning
log_type notice
max_queued_messages 100000
max_inflight_messages 1000
set_tcp_nodelay true
"""

Receive = Callable[[str, bytes], None]
_URGENCY = {"now": 0, "policy": 1, "prog": 2}


class Broker:
    """Publishes signed frames and hands on what devices say. ``run`` keeps the connection until it is cancelled."""

    def __init__(self, host: str, port: int, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        """``tls`` is asked at each connection, so that a renewed certificate counts; it may raise OSError."""
        self._host = host
        self._port = port
        self._tls = tls
        self._retained: dict[str, bytes] = {}
        self._others: dict[str, Receive] = {}
        self._outgoing: asyncio.Queue[tuple[str, bytes, bool]] | None = None
        self._connected = asyncio.Event()
        self.connections = 0
        self.reason = ""

    @property
    def connected(self) -> bool:
        return self._outgoing is not None

    @property
    def retained(self) -> Mapping[str, bytes]:
        """Every document the broker should hold now, by topic."""
        return self._retained

    async def wait_connected(self) -> None:
        await self._connected.wait()

    def hear(self, begin: str, receive: Receive) -> None:
        """From the next connection on, hand what comes on ``begin`` and one more level to ``receive`` alone."""
        self._others[begin] = receive

    def publish(self, topic: str, frame: bytes, *, retain: bool) -> None:
        """Send a frame, after all that was published before it.

        Without a connection a retained one goes out with the next connection; others are dropped, because whoever needs
        them asks again (receipts) or gets newer ones (time).
        """
        if retain:
            self._retained[topic] = frame
        if self._outgoing is not None:
            self._outgoing.put_nowait((topic, frame, retain))

    async def run(self, receive: Receive) -> None:
        """Connect, publish all retained documents, serve; when the connection ends, wait (with jitter) and do it again.

        ``receive`` gets topic and payload of every device message, on the event loop's thread.
        """
        wait = FIRST_WAIT
        while True:
            before = self.connections
            try:
                await self._session(receive)
            except* (aiomqtt.MqttError, OSError) as errors:
                self.reason = "; ".join(str(error) for error in errors.exceptions)
            if self.connections > before:
                wait = FIRST_WAIT
            await asyncio.sleep(random.SystemRandom().uniform(wait / 2, wait))
            wait = min(2 * wait, LONGEST_WAIT)

    async def _session(self, receive: Receive) -> None:
        client = aiomqtt.Client(
            self._host,
            self._port,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            keepalive=15,
            max_inflight_messages=IN_FLIGHT,
            tls_context=self._tls() if self._tls is not None else None,
        )
        client.pending_calls_threshold = IN_FLIGHT
        async with client:
            for topic in (*SUBSCRIPTIONS, *(f"{begin}+" for begin in self._others)):
                await client.subscribe(topic, qos=1)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_send(client, self._open()))
                    async for message in client.messages:
                        if isinstance(message.payload, bytes):
                            self._receiver(message.topic.value, receive)(message.topic.value, message.payload)
            finally:
                self._close()

    def _receiver(self, topic: str, receive: Receive) -> Receive:
        return next((other for begin, other in self._others.items() if topic.startswith(begin)), receive)

    def _open(self) -> asyncio.Queue[tuple[str, bytes, bool]]:
        outgoing: asyncio.Queue[tuple[str, bytes, bool]] = asyncio.Queue()
        for topic in sorted(self._retained, key=_urgency):
            outgoing.put_nowait((topic, self._retained[topic], True))
        self._outgoing = outgoing
        self.connections += 1
        self.reason = ""
        self._connected.set()
        return outgoing

    def _close(self) -> None:
        self._outgoing = None
        self._connected.clear()


async def _send(client: aiomqtt.Client, outgoing: asyncio.Queue[tuple[str, bytes, bool]]) -> None:
    """Start publishes in order, up to IN_FLIGHT of them unacknowledged.

    What the end of the connection leaves unsent needs no care: the next connection sends the retained again.
    """
    free = asyncio.Semaphore(IN_FLIGHT)
    async with asyncio.TaskGroup() as group:
        while True:
            topic, frame, retain = await outgoing.get()
            await free.acquire()
            task = group.create_task(_publish(client, topic, frame, retain))
            task.add_done_callback(lambda _: free.release())


async def _publish(client: aiomqtt.Client, topic: str, frame: bytes, retain: bool) -> None:
    with contextlib.suppress(aiomqtt.MqttError):
        await client.publish(topic, frame, qos=1, retain=retain)


def _urgency(topic: str) -> tuple[int, str]:
    family = topic.removeprefix(f"{TOPICS}/").partition("/")[0]
    return _URGENCY.get(family, len(_URGENCY)), topic


class Mosquitto:
    """A mosquitto of our own, on loopback only: for development, the demo and the tests.

    ``async with Mosquitto(folder, port)``: a running broker on 127.0.0.1:port, gone afterwards.

    ``start`` raises FileNotFoundError without the program, RuntimeError with the log's tail if it does not listen.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.port = port
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        program = shutil.which("mosquitto", path=PATHS)
        if program is None:
            raise FileNotFoundError("mosquitto")
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / "mosquitto.log"
        configuration = self._folder / "mosquitto.conf"
        text = CONFIGURATION.format(port=self.port, user=getpass.getuser(), log=log)
        configuration.write_text(text, encoding="utf-8")
        # the broker must not outlive a hub that was killed: its port would stay taken
        bound = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
        self._process = await asyncio.create_subprocess_exec(
            *bound,
            program,
            "-c",
            str(configuration),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await self._listening(self._process, log)

    async def _listening(self, process: asyncio.subprocess.Process, log: Path) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while process.returncode is None and asyncio.get_running_loop().time() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
        await self.stop()
        raise RuntimeError(f"mosquitto does not listen on port {self.port}: {_tail(log)}")

    async def stop(self) -> None:
        """End it in order; retained messages are gone with it."""
        await self._end("terminate")

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        await self._end("kill")

    async def _end(self, how: str) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            getattr(process, how)()
        await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-500:] if log.exists() else "no log"
