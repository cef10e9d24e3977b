from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiomqtt
import pytest

from audio.broker import Broker, Mosquitto
from tests.audio.province import eventually, mosquitto


class Listener:
    """A plain client; what it got, in order."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self.ready = asyncio.Event()
        self._port = port

    async def run(self) -> None:
        async with aiomqtt.Client("127.0.0.1", self._port) as client:
            await client.subscribe("loa/#", qos=1)
            self.ready.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                self.got.append((message.topic.value, message.payload, message.retain))

    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.got]


class Running:
    """Tasks of one test, ended with it."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self, port: int) -> Listener:
        listener = Listener(port)
        self._tasks.append(asyncio.create_task(listener.run()))
        await asyncio.wait_for(listener.ready.wait(), 60)
        return listener

    async def broker(self, port: int, heard: list[tuple[str, bytes]] | None = None) -> Broker:
        broker = Broker("127.0.0.1", port)
        sink = heard if heard is not None else []
        self._tasks.append(asyncio.create_task(broker.run(lambda topic, payload: sink.append((topic, payload)))))
        await asyncio.wait_for(broker.wait_connected(), 60)
        return broker

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    tasks = Running()
    yield tasks
    await tasks.end()


async def test_frames_arrive_in_the_order_in_which_they_were_published(server: Mosquitto, running: Running) -> None:
    listener = await running.listen(server.port)
    broker = await running.broker(server.port)
    sent = [(f"loa/1/now/u/{n % 7}/64", str(n).encode()) for n in range(1_000)]
    for topic, frame in sent:
        broker.publish(topic, frame, retain=True)
    await eventually(lambda: len(listener.got) == len(sent))
    assert [(topic, frame) for topic, frame, _ in listener.got] == sent


async def test_after_a_killed_broker_every_retained_document_is_back(server: Mosquitto, running: Running) -> None:
    broker = await running.broker(server.port)
    frames = {f"loa/1/prog/{n}": b"p%d" % n for n in range(50)}
    frames |= {"loa/1/now/u/64/64": b"n", "loa/1/policy/23557-L01": b"k"}
    for topic, frame in frames.items():
        broker.publish(topic, frame, retain=True)
    broker.publish("loa/1/time", b"t", retain=False)
    assert dict(broker.retained) == frames
    await server.kill()
    assert server.pid is None
    await eventually(lambda: not broker.connected)
    broker.publish("loa/1/prog/0", b"newer", retain=True)
    broker.publish("loa/1/ack/23557-L01", b"lost", retain=False)
    await server.start()
    listener = await running.listen(server.port)
    await eventually(lambda: len(set(listener.topics())) == len(frames))
    assert {topic: frame for topic, frame, _ in listener.got} == frames | {"loa/1/prog/0": b"newer"}
    assert broker.connections == 2


async def test_urgent_documents_go_first_on_a_new_connection(server: Mosquitto, running: Running) -> None:
    listener = await running.listen(server.port)
    broker = Broker("127.0.0.1", server.port)
    for topic in ("loa/1/prog/1", "loa/1/policy/d", "loa/1/now/u/64/64"):
        broker.publish(topic, b"x", retain=True)
    task = asyncio.create_task(broker.run(lambda topic, payload: None))
    await eventually(lambda: len(listener.got) == 3)
    assert listener.topics() == ["loa/1/now/u/64/64", "loa/1/policy/d", "loa/1/prog/1"]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_hears_receipts_and_states_of_devices_and_nothing_else(server: Mosquitto, running: Running) -> None:
    heard: list[tuple[str, bytes]] = []
    await running.broker(server.port, heard)
    async with aiomqtt.Client("127.0.0.1", server.port) as device:
        await device.publish("loa/1/dev/L1/other", b"0", qos=1)
        await device.publish("loa/1/dev/L1/receipt", b"1", qos=1)
        await device.publish("loa/1/dev/L1/state", b"2", qos=1, retain=True)
        await device.publish("loa/1/dev/L1/state", b"", qos=1, retain=True)
    await eventually(lambda: len(heard) == 3)
    assert heard == [("loa/1/dev/L1/receipt", b"1"), ("loa/1/dev/L1/state", b"2"), ("loa/1/dev/L1/state", b"")]


async def test_it_goes_on_trying_until_there_is_a_broker(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker = Broker("127.0.0.1", port)
    task = asyncio.create_task(broker.run(lambda topic, payload: None))
    await eventually(lambda: broker.reason)
    assert not broker.connected
    async with Mosquitto(tmp_path, port):
        await asyncio.wait_for(broker.wait_connected(), 60)
        assert broker.reason == ""
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_our_broker_listens_on_loopback_only_and_is_gone_afterwards(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as server:
        pid = server.pid
        assert pid is not None
        listening = await asyncio.to_thread(Path("/proc/net/tcp").read_text)
        addresses = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"]
        assert [a for a in addresses if a.endswith(f":{server.port:04X}")] == [f"0100007F:{server.port:04X}"]
        everywhere = await asyncio.to_thread(Path("/proc/net/tcp6").read_text)
        assert f":{server.port:04X} " not in everywhere
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_port_that_is_taken_is_reported_with_the_brokers_own_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # bound but not listening: nobody answers there, and nobody else may
        taken.bind(("127.0.0.1", 0))
        server = Mosquitto(tmp_path, taken.getsockname()[1])
        with pytest.raises(RuntimeError, match="Address already in use"):
            await server.start()
    assert server.pid is None
