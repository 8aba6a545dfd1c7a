"""The supervisors of all devices: each added with its task, its samples and its heartbeat, and taken out with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.interfaces import Device

from .config import DeviceConfig
from .events import Events
from .guard import Guard
from .heartbeat import Heartbeat, Heartbeats
from .observing import Observer
from .streams import Streams
from .supervisor import DeviceSupervisor

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Supervision:
    """`devices` is what all others look in, by name. `spawn` starts a task that the daemon ends."""

    def __init__(
        self,
        devices: dict[str, DeviceSupervisor],
        uplink: Uplink,
        topics: Topics,
        events: Events,
        guard: Guard,
        observer: Observer,
        streams: Streams,
        heartbeats: Heartbeats,
        spawn: Spawn,
        queue_bytes: int,
    ) -> None:
        self.devices = devices
        self._uplink = uplink
        self._topics = topics
        self._events = events
        self._guard = guard
        self._observer = observer
        self._streams = streams
        self._heartbeats = heartbeats
        self._spawn = spawn
        self._queue_bytes = queue_bytes
        self._tasks: dict[str, tuple[asyncio.Task[None], Heartbeat]] = {}

    def add(self, config: DeviceConfig, device: Device) -> None:
        """It is connected in the background, which makes it safe. Its samples are a stream of their own."""
        name = config.name
        heartbeat = self._heartbeats.add(name)
        supervisor = DeviceSupervisor(
            config,
            device,
            self._uplink,
            self._topics,
            self._events,
            self._guard,
            self._observer,
            stream=f"{name}-{time.time_ns():x}",
            queue_bytes=self._queue_bytes,
            spool=self._streams.spool,
            heartbeat=heartbeat,
        )
        if supervisor.pump is not None:
            self._streams.attach(supervisor.pump)
        self.devices[name] = supervisor
        self._tasks[name] = self._spawn(supervisor.connection.supervise(), f"supervise {name}"), heartbeat

    def retire(self, name: str) -> DeviceSupervisor:
        """Nothing is begun with it from now on; `close` it then."""
        supervisor = self.devices.pop(name)
        supervisor.retire()
        return supervisor

    async def close(self, supervisor: DeviceSupervisor, *, comes_back: bool = False) -> None:
        """Make it safe and let it go. Samples of it that wait for a broker go out nevertheless. Never raises; takes as
        long as making it safe does.

        With `comes_back` another one of its name is added next: what was wrong is not over before that one was read.
        """
        name = supervisor.name
        task, heartbeat = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await supervisor.close()
        supervisor.topics.forget()
        self._heartbeats.remove(heartbeat)
        if supervisor.pump is not None:
            self._streams.detach(supervisor.pump)
            self._uplink.detach(supervisor.pump)
        self._observer.forget(name)
        await self._guard.close()  # what closing it may have latched
        if comes_back:
            self._guard.faults.must_be_read(name)
        else:
            self._guard.faults.was_read(name)
            await self._guard.forget(name)
