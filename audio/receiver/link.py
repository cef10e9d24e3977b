"""The line to the broker: MQTT 5, a clean start each time, our own jittered reconnection.

The broker is not believed: frames are judged by their signatures (``trust``). Here a broker that breaks the protocol,
sends packets larger than any frame or does not read loses the connection, and nothing of it stays in memory.

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
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from audio.envelope import MAX_FRAME
from audio.receiver.identity import Identity

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 5.0
KEEPALIVE = 30
FAILURE = 0x80
"""MQTT 5, 2.4: reason codes from here on."""
LARGEST = MAX_FRAME + 4_096
"""Bytes of a packet with a frame in it: topic and properties are short."""
UNREAD = 1_000
"""So many packets may wait for a broker that does not read, and as many messages for its word that it has them."""
ABOVE_QOS_1 = 0x04
"""Of a PUBLISH packet's first byte (MQTT 5, 3.3.1.2)."""


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Connection:
    up: bool


class _Violation(Exception):
    """The broker does what no broker does."""


class _Client(mqtt.Client):
    """paho's client believes its broker: malformed packets end its thread with an exception, a packet may have 256 MB,
    messages of QoS 2 are collected until they are released, and what is not read is kept. Here they end the connection.
    """

    def guard(self, broker: tuple[str, int], broken: Callable[[Exception], float]) -> None:
        """``broken`` is called with what went wrong, and gives the seconds until the next connection."""
        self._address = broker
        self._broken = broken
        self._ending = threading.Event()

    def begin(self) -> None:
        make: Any = Properties
        limits = make(PacketTypes.CONNECT)
        limits.MaximumPacketSize = LARGEST
        self.connect_async(*self._address, KEEPALIVE, clean_start=True, properties=limits)

    def end(self) -> None:
        self._ending.set()
        self.disconnect()
        self.loop_stop()

    def loop_forever(self, *arguments: Any, **named: Any) -> Any:
        while True:
            try:
                return super().loop_forever(*arguments, **named)
            except Exception as error:  # whatever a stranger's bytes make of the library
                if self._ending.wait(self._broken(error)):
                    return mqtt.MQTT_ERR_PROTOCOL
                self.begin()  # the loop gives up the connection as it is, and makes a new one

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho has read the packet's length and asks for all of it
        if bufsize > LARGEST:
            raise _Violation(f"a packet of {bufsize} bytes")
        if len(self._out_packet) > UNREAD:
            raise _Violation("it does not read")
        received: bytes = super()._sock_recv(bufsize)
        return received

    def _handle_publish(self) -> Any:
        if self._in_packet["command"] & ABOVE_QOS_1:
            raise _Violation("a message of QoS 2")
        return super()._handle_publish()


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

    def _make(self) -> _Client:
        identity = self._identity
        name = (identity.client_id if identity else self._name) + self._suffix
        versions: Any = getattr(mqtt, "CallbackAPIVersion", None)
        kind = {} if versions is None else {"callback_api_version": versions.VERSION2}
        client = _Client(**kind, client_id=name, protocol=mqtt.MQTTv5)
        client.guard(self._broker, self._on_broken)
        client.max_queued_messages_set(UNREAD)
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
        self._client.begin()
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
        self._client.end()

    def _back_off(self) -> float:
        """The wait before the next attempt: jittered, so that a fleet does not come back in one instant."""
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        pause: Any = random.uniform(FIRST_PAUSE, self._pause)  # noqa: S311 - spreads load; paho takes fractions
        self._client.reconnect_delay_set(pause, pause)
        return float(pause)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if _failed(reason):
            log.warning("broker %s:%d refuses: %s", *self._broker, reason)
            return
        if self._up:
            raise _Violation("it welcomes twice")
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
        self._down()

    def _on_broken(self, error: Exception) -> float:
        log.warning("broker %s:%d breaks the protocol: %.200s", *self._broker, repr(error))
        self._down()
        return self._back_off()

    def _down(self) -> None:
        if self._up:
            self._up = False
            self._receive(Connection(False))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._receive(Message(message.topic, bytes(message.payload)))


def _failed(reason: Any) -> bool:
    """Of a reason code of MQTT 5, or of an error number of paho's own."""
    return reason != 0 if isinstance(reason, int) else reason.value >= FAILURE
