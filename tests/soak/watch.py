"""What the daemon says of itself, as any listener hears it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.client.connection import Connection, Listener
from bridge.transfer.messages import load_object
from bridge.transfer.mqtt import BrokerAddress

_PREFIX = "picobridge/lab"


class Watch:
    """`published` and `taken` are the highest counters of each stream, the oldest stream first; `killed` are those of
    daemons that were killed. `events` are counted by kind and severity."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.killed: set[str] = set()
        self.online = asyncio.Event()
        self._current: dict[str, str] = {}

    def note_kill(self) -> None:
        """The daemon is about to be killed."""
        self.killed.update(self._current.values())

    async def serve(self, listener: Listener) -> None:
        while True:
            await listener.wait()
            while (message := listener.take()) is not None:
                if message.payload:
                    self._take(message.topic, load_object(message.payload))

    def _take(self, topic: str, said: dict[str, object]) -> None:
        if topic.endswith("/status"):
            if said["status"] == "online":
                self.online.set()
            else:
                self.online.clear()
        elif topic.endswith("/events"):
            self.events[f"{said['kind']} {said['severity']}"] += 1
            error = said.get("error")
            if isinstance(error, dict):
                self.errors[str(error["error"])] += 1
                if error["error"] == "PicobridgeError":
                    self.errors[str(error["message"])[:100]] += 1
        elif "stream" in said:
            stream = str(said["stream"])
            self._current[str(said["device"])] = stream
            self.published[stream] = max(self.published[stream], int(str(said["published"])))
            self.taken[stream] = max(self.taken[stream], int(str(said["next_index"])))


@asynccontextmanager
async def watching(address: BrokerAddress) -> AsyncIterator[Watch]:
    watch = Watch()
    async with Connection(address, "soak-watch") as connection:
        filters = (f"{_PREFIX}/{name}" for name in ("status", "events", "devices/+/state"))
        async with connection.listen(*filters) as listener:
            task = asyncio.create_task(watch.serve(listener), name="soak watch")
            try:
                yield watch
            finally:
                task.cancel()
                results = await asyncio.gather(task, return_exceptions=True)
                if isinstance(results[0], Exception):
                    raise results[0]
