"""The line to the broker: MQTT 5, a clean start each time, our own jittered reconnection.

Works with paho-mqtt 1.6, which Debian 12 has, and with 2: they differ in how callbacks are asked for and called.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

from audio.envelope import MAX_FRAME
from audio.receiver.identity import Identity

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 5.0
KEEPALIVE = 30
FAILURE = 0x80
"""MQTT 5, 2.4: reason codes from here on."""


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Connection:
    up: bool


class Link:
    """Calls ``receive`` with Message and Connection from its own thread; reconnects until closed."""

    def __init__(
        self,
        device: str,
        host: str,
        port: int,
        receive: Callable[[Message | Connection], None],
        identity: Identity | None = None,
        *,
        suffix: str = "",
        qos: int = 1,
    ) -> None:
        """``suffix`` of the session's name tells a second link of this device; ``qos`` is what it subscribes with."""
        self._name = device
        self._suffix = suffix
        self._qos = qos
        self._broker = (host, port)
        self._receive = receive
        self._identity = identity
        self._will: tuple[str, bytes] | None = None
        self._topics: frozenset[str] = frozenset()
        self._up = False
        self._turn = threading.Lock()
        self._closed = False
        self._pause = FIRST_PAUSE
        self._client = self._make()

    def _make(self) -> mqtt.Client:
        identity = self._identity
        name = (identity.client_id if identity else self._name) + self._suffix
        versions: Any = getattr(mqtt, "CallbackAPIVersion", None)
        kind = {} if versions is None else {"callback_api_version": versions.VERSION2}
        client = mqtt.Client(**kind, client_id=name, protocol=mqtt.MQTTv5)
        if identity is not None:
            client.tls_set_context(identity.context())
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_message = self._on_message
        return client

    def open(self, will_topic: str, will: bytes, topics: frozenset[str]) -> None:
        self._will = will_topic, will
        self._topics = topics
        self._start()

    def hear(self, topics: frozenset[str]) -> None:
        """Opens a link without a last will, which only listens."""
        self._topics = topics
        self._start()

    def _start(self) -> None:
        if self._will is not None:
            topic, will = self._will
            self._client.will_set(topic, will, qos=1, retain=True)
        self._client.connect_async(*self._broker, KEEPALIVE, clean_start=True)
        self._client.loop_start()

    def renew(self) -> None:
        """Comes back over a new connection, with the identity's newest certificate."""
        with self._turn:
            if not self._closed:
                self._end()
                self._client = self._make()
                self._start()

    def listen(self, topics: frozenset[str]) -> None:
        """Subscribes to exactly these topics from now on."""
        old, self._topics = self._topics, topics
        if self._up and topics - old:
            self._client.subscribe([(t, SubscribeOptions(qos=self._qos)) for t in sorted(topics - old)])
        if self._up and old - topics:
            self._client.unsubscribe(sorted(old - topics))

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Sends at QoS 1; without a connection nothing happens: the caller keeps what must arrive."""
        if self._up:
            self._client.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        """Says goodbye to the broker, so that it does not announce our death."""
        with self._turn:
            self._closed = True
            self._end()

    def _end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _back_off(self) -> None:
        """The wait before the next attempt: jittered, so that a fleet does not come back in one instant."""
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        pause: Any = random.uniform(FIRST_PAUSE, self._pause)  # noqa: S311 - spreads load; paho takes fractions
        self._client.reconnect_delay_set(pause, pause)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if _failed(reason):
            log.warning("broker %s:%d refuses: %s", *self._broker, reason)
            return
        self._up = True
        self._pause = FIRST_PAUSE
        client.subscribe([(t, SubscribeOptions(qos=self._qos)) for t in sorted(self._topics)])
        self._receive(Connection(True))

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        log.warning("broker %s:%d cannot be reached", *self._broker)
        self._back_off()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, *told: Any) -> None:
        reason = told[-2]  # flags come before it in paho 2 only, properties after it
        if _failed(reason):
            log.warning("broker lost: %s", mqtt.error_string(reason) if isinstance(reason, int) else reason)
        self._back_off()
        if self._up:
            self._up = False
            self._receive(Connection(False))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if len(message.payload) <= MAX_FRAME:
            self._receive(Message(message.topic, bytes(message.payload)))
        else:
            log.warning("%s: %d bytes dropped", message.topic, len(message.payload))


def _failed(reason: Any) -> bool:
    """Of a reason code of MQTT 5, or of an error number of paho's own."""
    return reason != 0 if isinstance(reason, int) else reason.value >= FAILURE
