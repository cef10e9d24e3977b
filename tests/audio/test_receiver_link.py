from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from audio.receiver.link import UNREAD, Connection, Link, Message
from tests.audio.mqtt_peer import PINGREQ, connack, packet
from tests.audio.receiver_kit import Broker, until


def hear(broker: Broker, topic: str) -> tuple[mqtt.Client, list[bytes]]:
    heard: list[bytes] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        heard.append(bytes(message.payload))

    client.on_message = on_message
    client.connect("127.0.0.1", broker.port)
    client.subscribe(topic, 1)
    client.loop_start()
    return client, heard


def test_the_link_comes_back_by_itself_and_follows_its_topics(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    inbox: SimpleQueue[Message | Connection] = SimpleQueue()
    try:
        with closing(Link("d", "127.0.0.1", broker.port, inbox.put)) as link:
            link.publish("lost", b"no connection, no error", retain=False)
            link.open("state", b"dead", frozenset({"a"}))
            assert inbox.get(timeout=60) == Connection(True)
            broker.stop()
            assert inbox.get(timeout=60) == Connection(False)
            broker.start()
            assert inbox.get(timeout=60) == Connection(True)
            link.listen(frozenset({"b"}))
            client, heard = hear(broker, "state")
            for topic in ("a", "b"):
                client.publish(topic, topic.encode(), qos=1, retain=True).wait_for_publish(5)
            message = inbox.get(timeout=60)
            if message == Message("a", b"a"):  # it may have been on its way when the topics changed
                message = inbox.get(timeout=60)
            assert message == Message("b", b"b")
            link.publish("state", b"alive", retain=True)
            until(lambda: heard == [b"alive"])
        # a goodbye is no death
        client.publish("state", b"last", qos=1).wait_for_publish(5)
        until(lambda: heard[-1] == b"last")
        assert b"dead" not in heard
        client.disconnect()
        client.loop_stop()
    finally:
        broker.stop()


def test_a_broker_that_does_not_read_loses_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its questions would have answers that wait in memory for ever."""
    sockets: list[socket.socket] = []

    def narrow(self: Any, *arguments: Any) -> socket.socket:
        made: socket.socket = create(self, *arguments)
        for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            made.setsockopt(socket.SOL_SOCKET, size, 4_096)
        sockets.append(made)
        return made

    create = mqtt.Client._create_socket_connection
    monkeypatch.setattr(mqtt.Client, "_create_socket_connection", narrow)
    inbox: SimpleQueue[Message | Connection] = SimpleQueue()
    with socket.socket() as listening:
        for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            listening.setsockopt(socket.SOL_SOCKET, size, 4_096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with closing(Link("d", "127.0.0.1", listening.getsockname()[1], inbox.put)) as link:
            link.open("state", b"dead", frozenset({"a"}))
            broker, _ = listening.accept()
            with broker:
                broker.sendall(connack())
                assert inbox.get(timeout=60) == Connection(True)
                assert asked(broker) < 100 * UNREAD
            assert inbox.get(timeout=60) == Connection(False)
            assert sockets


def asked(broker: socket.socket) -> int:
    """How often the broker can ask and read no answer, until the device hangs up."""
    for number in range(1_000):
        try:
            broker.sendall(packet(PINGREQ) * 1_000)
        except ConnectionError:
            return number * 1_000
    raise AssertionError("the device listens for ever")


def test_a_broker_that_acknowledges_nothing_does_not_fill_the_memory() -> None:
    inbox: SimpleQueue[Message | Connection] = SimpleQueue()
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        closing(Link("d", "127.0.0.1", listening.getsockname()[1], inbox.put)) as link,
    ):
        link.open("state", b"dead", frozenset({"a"}))
        broker, _ = listening.accept()
        with broker:
            broker.sendall(connack())
            assert inbox.get(timeout=60) == Connection(True)
            for _ in range(3 * UNREAD):
                link.publish("state", b"alive", retain=True)
            assert len(link._client._out_messages) <= UNREAD
