"""What every simulated instrument is: a device apart from its wire.

An instrument gets bytes as the wire cuts them and sends bytes when it likes; it knows nothing of ptys, sockets or USB.
Time passes on its own timeline of the world. A wire (`mocks.wires`) carries the bytes; faults are injected between.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, ClassVar, Protocol

from .world import Timeline, World


class Port(Protocol):
    """Where an instrument's bytes go."""

    def send(self, data: bytes) -> None:
        """Queue bytes (on a packet wire: one packet) for the client; lost if none is there, as on a real cable."""

    async def drain(self) -> None:
        """Wait until the client has taken enough for more to be sent without piling it up."""


class Instrument(ABC):
    """Base of the mocks. `name` is the instrument's in the world: its timeline and noise are found by it.

    Subclasses keep their state in attributes set by `reset`, which is what a power cycle does to the volatile ones.
    """

    #: the wire on which `picobridge mock` serves it unless asked otherwise: "pty", "tcp" or "usb"
    wire: ClassVar[str]

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.timeline: Timeline = world.timeline(name)
        self.port: Port | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: every command that was taken, in order, for tests to judge by: what the instrument itself says happened
        self.record: list[str] = []

    def send(self, data: bytes) -> None:
        if self.port is not None:
            self.port.send(data)

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Bytes from the client, cut anywhere (on a packet wire: one packet). Must not block."""

    @abstractmethod
    def reset(self) -> None:
        """Power-on state: volatile settings lost, relays as they are without power, nothing half received."""

    def client_connected(self) -> None:  # noqa: B027 - most instruments do not notice
        """A client opened the wire (only some instruments notice)."""

    def client_gone(self) -> None:  # noqa: B027 - most instruments do not notice
        """The client closed the wire. Most instruments do not notice and go on, which is the danger."""

    def power_cycle(self) -> None:
        """Reboot with lost settings."""
        self.cancel_work()
        self.reset()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that takes time on the instrument's timeline."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel_work(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """End everything that `spawn` started; raises what one of them raised, so that a broken mock is not silent."""
        self.cancel_work()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
