"""The recorder at the end of the whole path: keeps every block and everything else that a bridge publishes.

A replaceable piece: tests use `recording`, `Recorder.streams`, `Recorder.told` and `Recorder.until` and nothing of how
blocks come here. This one only listens; one that asks for what it missed (`replay`) may take its place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bridge.client.connection import Connection, Listener
from bridge.transfer.codec import decode
from bridge.transfer.mqtt import BrokerAddress, Incoming

Row = dict[str, float]


@dataclass(slots=True)
class Stream:
    """What came of one stream. `rows` are its samples by index; `indices` as they came, repetitions included."""

    device: str
    rows: dict[int, Row] = field(default_factory=dict)
    indices: list[int] = field(default_factory=list)

    @property
    def duplicated(self) -> int:
        return len(self.indices) - len(self.rows)


class Recorder:
    """`told` has the JSON of all other topics by topic, without the prefix, in order."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self.streams: dict[str, Stream] = {}
        self.told: dict[str, list[Any]] = {}
        #: set when it has come back after an outage, with its subscriptions
        self.back = asyncio.Event()
        connection.reconnected.append(self.back.set)
        self._prefix = prefix
        self._news = asyncio.Condition()

    async def serve(self, listener: Listener) -> None:
        while True:
            await listener.wait()
            while (message := listener.take()) is not None:
                self._take(message)
            async with self._news:
                self._news.notify_all()

    async def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
        """Wait until a condition on what has come holds, and return what it returned."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                return await self._news.wait_for(condition)
        except TimeoutError:
            counts = {name: len(stream.rows) for name, stream in self.streams.items()}
            raise AssertionError(f"did not come: {what}; samples {counts}, topics {sorted(self.told)}") from None

    async def newest(self, topic: str, where: Callable[[Any], Any] = lambda _: True, timeout_s: float = 10.0) -> Any:
        """The newest message of a topic for which `where` holds; waits for one."""

        def found() -> Any:
            return next((message for message in reversed(self.told.get(topic, ())) if where(message)), None)

        return await self.until(found, f"{topic}; last {self.told.get(topic, ['nothing'])[-1]}", timeout_s)

    async def now(self, topic: str, where: Callable[[Any], Any], timeout_s: float = 10.0) -> Any:
        """The last message of a topic, once `where` holds for it: for what says how things are."""

        def found() -> Any:
            last = self.told.get(topic, [None])[-1]
            return last if last is not None and where(last) else None

        return await self.until(found, f"{topic}; last {self.told.get(topic, ['nothing'])[-1]}", timeout_s)

    async def event(self, text: str, timeout_s: float = 10.0) -> Any:
        """An event whose text holds `text`."""
        return await self.newest("events", lambda event: text in event["text"], timeout_s)

    def samples(self, device: str) -> int:
        """How many different samples of a device there are."""
        return sum(len(stream.rows) for stream in self.streams.values() if stream.device == device)

    def _take(self, message: Incoming) -> None:
        topic = message.topic.removeprefix(f"{self._prefix}/")
        if topic.endswith("/samples"):
            self._keep(topic.split("/")[1], message.payload)
        elif message.payload:
            self.told.setdefault(topic, []).append(json.loads(message.payload))

    def _keep(self, device: str, payload: bytes) -> None:
        block = decode(payload)
        stream = self.streams.setdefault(block.stream, Stream(device))
        columns = {column.name: block[column.name].tolist() for column in block.columns}
        for offset in range(len(block)):
            index = block.first_index + offset
            row = {name: values[offset] for name, values in columns.items()}
            stream.indices.append(index)
            kept = stream.rows.setdefault(index, row)
            assert repr(kept) == repr(row), f"sample {index} of {block.stream} came twice and differs"


@asynccontextmanager
async def recording(address: BrokerAddress, prefix: str) -> AsyncIterator[Recorder]:
    """Record from before the bridge is there until left."""
    async with Connection(address, "faults-recorder") as connection:
        recorder = Recorder(connection, prefix)
        filters = ("status", "events", "devices/+/state", "devices/+/info", "devices/+/samples", "runs/#")
        async with connection.listen(*(f"{prefix}/{name}" for name in filters)) as listener:
            task = asyncio.create_task(recorder.serve(listener), name="faults recorder")
            try:
                yield recorder
            finally:
                task.cancel()
                results = await asyncio.gather(task, return_exceptions=True)
                if isinstance(results[0], Exception):
                    raise results[0]
