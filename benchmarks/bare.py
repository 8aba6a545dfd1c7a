"""The bare loop: paho-mqtt by itself, publisher and subscriber, each a process, through the same broker.

paho's own `loop` writes a byte to itself for every packet, so the socket is waited for here: the leanest that paho can.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

#: As long and as deep as the topic of samples.
TOPIC = "picobridge/bare0/devices/pstat/samples"
#: Unacknowledged messages, as many as the daemon's.
_WINDOW = 20


@dataclass(frozen=True, slots=True)
class Task:
    """`count` messages out of `payloads` in turn; with an interval each at its time, and that in its first bytes."""

    payloads: Sequence[bytes]
    count: int
    interval_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Received:
    """Monotonic times of the first and the last message, and what passed from `publish` to each callback."""

    first_s: float
    last_s: float
    latencies_s: Sequence[float]


def first_bytes(payload: bytes) -> tuple[float]:
    (stamp_s,) = struct.unpack("<d", payload[:8])
    return (stamp_s,)


class _Client:
    """A connected paho client that counts what it hears."""

    def __init__(self, port: int, name: str) -> None:
        self.connected = self.subscribed = False
        self.acknowledged = 0
        self.arrived: list[tuple[float, bytes]] = []
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"bare-{name}", protocol=paho.MQTTv5)
        self.paho.max_inflight_messages_set(_WINDOW)
        self.paho.on_connect = self._on_connect
        self.paho.on_subscribe = self._on_subscribe
        self.paho.on_publish = self._on_publish
        self.paho.on_message = self._on_message
        self.paho.connect("127.0.0.1", port, clean_start=True)
        self.until(lambda: self.connected)

    def until(self, done: Callable[[], bool], left_s: Callable[[], float] = lambda: 0.5) -> None:
        while not done():
            sock = self.paho.socket()
            if sock is None:
                raise RuntimeError("the broker closed the connection")
            wanted = [sock] if self.paho.want_write() else []
            readable, writable, _ = select.select([sock], wanted, [], max(0.0, left_s()))
            if readable:
                self.paho.loop_read()
            if writable:
                self.paho.loop_write()
            self.paho.loop_misc()

    def _on_connect(self, *_: Any) -> None:
        self.connected = True

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed = True

    def _on_publish(self, *_: Any) -> None:
        self.acknowledged += 1

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        self.arrived.append((time.monotonic(), bytes(message.payload)))


def publish(pipe: Connection, port: int) -> None:
    """Sends "ready", then does each `Task` with QoS 1 and says when everything was acknowledged."""
    client = _Client(port, "publisher")
    pipe.send("ready")
    while (task := pipe.recv()) is not None:
        client.acknowledged = 0
        (_publish_paced if task.interval_s else _publish_all)(client, task)
        client.until(_acknowledged(client, task.count))
        pipe.send("done")


def _acknowledged(client: _Client, count: int) -> Callable[[], bool]:
    return lambda: client.acknowledged >= count


def _arrived(client: _Client, more_than: int) -> Callable[[], bool]:
    return lambda: len(client.arrived) > more_than


def _publish_all(client: _Client, task: Task) -> None:
    for sent in range(task.count):
        client.until(_acknowledged(client, sent - _WINDOW + 1))
        client.paho.publish(TOPIC, task.payloads[sent % len(task.payloads)], qos=1)


def _publish_paced(client: _Client, task: Task) -> None:
    start_s = time.monotonic()
    for sent in range(task.count):
        due_s = start_s + sent * task.interval_s

        def left_s(due_s: float = due_s) -> float:
            return due_s - time.monotonic()

        def due(due_s: float = due_s) -> bool:
            return time.monotonic() >= due_s

        client.until(due, left_s)
        tail = task.payloads[sent % len(task.payloads)][8:]
        client.paho.publish(TOPIC, struct.pack("<d", time.monotonic()) + tail, qos=1)


def subscribe(
    pipe: Connection, port: int, topic: str = TOPIC, stamps_in: Callable[[bytes], Iterable[float]] = first_bytes
) -> None:
    """Sends "ready", then for each number of stamps that it is told a `Received`, when that many have come.

    `stamps_in` takes from a payload the times at which what is in it was handed over.
    """
    client = _Client(port, f"subscriber-{topic}")
    client.paho.subscribe(topic, qos=1)
    client.until(lambda: client.subscribed)
    pipe.send("ready")
    while (count := pipe.recv()) is not None:
        client.arrived.clear()
        latencies: list[float] = []
        pipe.send("listening")
        taken = 0
        while len(latencies) < count:
            client.until(_arrived(client, taken))
            for now_s, payload in client.arrived[taken:]:
                latencies.extend(now_s - stamp_s for stamp_s in stamps_in(payload))
            taken = len(client.arrived)
        pipe.send(Received(client.arrived[0][0], client.arrived[-1][0], latencies))
