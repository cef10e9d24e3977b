"""The line to the broker: MQTT 5, a clean start each time, our own jittered reconnection."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from audio.envelope import MAX_FRAME

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 5.0
KEEPALIVE = 30


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Connection:
    up: bool


class Link:
    """Calls ``receive`` with Message and Connection from its own thread; reconnects until closed."""

    def __init__(self, device: str, host: str, port: int, receive: Callable[[Message | Connection], None]) -> None:
        self._host = host
        self._port = port
        self._receive = receive
        self._topics: frozenset[str] = frozenset()
        self._up = False
        self._closing = False
        self._over = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=device, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def open(self, will_topic: str, will: bytes, topics: frozenset[str]) -> None:
        self._client.will_set(will_topic, will, qos=1, retain=True)
        self._topics = topics
        self._thread.start()

    def listen(self, topics: frozenset[str]) -> None:
        """Subscribes to exactly these topics from now on."""
        old, self._topics = self._topics, topics
        if self._up and topics - old:
            self._client.subscribe([(t, SubscribeOptions(qos=1)) for t in sorted(topics - old)])
        if self._up and old - topics:
            self._client.unsubscribe(sorted(old - topics))

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Sends at QoS 1; without a connection nothing happens: the caller keeps what must arrive."""
        if self._up:
            self._client.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        """Says goodbye to the broker, so that it does not announce our death."""
        self._closing = True
        self._client.disconnect()
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing:
            was_up = self._connect()
            pause = FIRST_PAUSE if was_up else min(pause * 2, LONGEST_PAUSE)
            self._over.clear()
            if not self._closing:
                self._over.wait(random.uniform(FIRST_PAUSE, max(pause, FIRST_PAUSE * 2)))  # noqa: S311 - spreads load

    def _connect(self) -> bool:
        """One connection from beginning to end; whether the broker took us."""
        self._over.clear()
        try:
            self._client.connect(self._host, self._port, KEEPALIVE, clean_start=True)
            self._client.loop_start()
            self._over.wait()
            self._client.loop_stop()
        except OSError as error:
            log.warning("broker %s:%d: %s", self._host, self._port, error)
        was, self._up = self._up, False
        if was:
            self._receive(Connection(False))
        return was

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("broker %s:%d refuses: %s", self._host, self._port, reason)
            return
        self._up = True
        client.subscribe([(t, SubscribeOptions(qos=1)) for t in sorted(self._topics)])
        self._receive(Connection(True))

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._closing:
            log.warning("broker lost: %s", reason)
        self._over.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if len(message.payload) <= MAX_FRAME:
            self._receive(Message(message.topic, bytes(message.payload)))
        else:
            log.warning("%s: %d bytes dropped", message.topic, len(message.payload))
