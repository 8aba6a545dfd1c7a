"""Every bridge on a broker at once, as a script sees them: those that are there, and those that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.transfer.messages import load_object
from bridge.transfer.mqtt import Incoming
from bridge.transfer.topics import any_status
from drivers.errors import BridgeUnreachable, InvalidValue, PicobridgeError

from .connection import Connection, Listener
from .finding import SETTLED_S, found_at
from .following import follow
from .lab import Lab

LOG = logging.getLogger("picobridge.client")

#: What became of something that was asked of every bridge: its daemon's answer, or why there is none.
Outcomes = dict[str, dict[str, Any] | PicobridgeError]


@dataclass(frozen=True, slots=True)
class Change:
    """A bridge came (or came back), or went."""

    bridge: str
    online: bool
    lab: Lab


class Labs(Mapping[str, Lab]):
    """A `Lab` for each bridge by its name, for as long as `connect_all` lasts. Made by `connect_all`.

    A bridge that goes offline stays, and its `Lab` works again when it is back. `statuses` is what each bridge last
    said of itself, also of those that were offline from the start, which have no `Lab`. `problems` says by name why a
    bridge cannot be used, or what it did not answer.
    """

    def __init__(self, connection: Connection, root: str, label: str, *, ask_devices: bool) -> None:
        self.statuses: dict[str, Mapping[str, Any]] = {}
        self.problems: dict[str, PicobridgeError] = {}
        self._connection = connection
        self._root = root
        self._label = label
        self._ask_devices = ask_devices
        self._labs: dict[str, Lab] = {}
        self._stack = contextlib.AsyncExitStack()
        self._following: set[asyncio.Task[None]] = set()
        self._followers: set[asyncio.Queue[Change]] = set()

    def __getitem__(self, bridge: str) -> Lab:
        """Raises `InvalidValue` if there was no such bridge, `BridgeUnreachable` if it has been offline so far."""
        if bridge in self._labs:
            return self._labs[bridge]
        if bridge in self.problems:
            raise self.problems[bridge]
        if bridge in self.statuses:
            raise BridgeUnreachable(f"the daemon of {self._root}/{bridge} is offline")
        raise InvalidValue(f"bridge {bridge!r} is not known; accepted: {', '.join(self._labs) or 'none'}")

    def __contains__(self, bridge: object) -> bool:
        return bridge in self._labs

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._labs))

    def __len__(self) -> int:
        return len(self._labs)

    @property
    def online(self) -> list[str]:
        """The bridges whose daemons are there now."""
        return [bridge for bridge in self if self.statuses[bridge].get("status") == "online"]

    async def changes(self) -> AsyncIterator[Change]:
        """The bridges that are online, then each one that comes or goes."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        for bridge in self.online:
            queue.put_nowait(Change(bridge, True, self._labs[bridge]))
        self._followers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.discard(queue)

    async def stop(self) -> Outcomes:
        """Everything on every bridge to its safe state, now and at the same time. One that does not answer, or cannot
        be asked, holds back no other: its outcome is the error."""
        return await self._every("stop")

    async def emergency_stop(self) -> Outcomes:
        """As `stop`; and on no bridge does anything move or energise until somebody has acknowledged its fault."""
        return await self._every("emergency_stop")

    async def _every(self, method: str) -> Outcomes:
        outcomes: Outcomes = {bridge: error for bridge, error in self.problems.items() if bridge not in self._labs}
        for bridge, status in self.statuses.items():
            if bridge not in self._labs and status.get("status") == "online":
                outcomes.setdefault(bridge, BridgeUnreachable(f"{bridge} is online, and could not be asked in time"))
        labs = dict(self._labs)
        answers = await asyncio.gather(*(lab.request(method) for lab in labs.values()), return_exceptions=True)
        for bridge, answer in zip(labs, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, PicobridgeError):
                raise answer
            outcomes[bridge] = answer
        return outcomes

    # --- for `labs_on` -----------------------------------------------------------------------------------------

    async def serve(self, listener: Listener, first: asyncio.Event) -> None:
        """Take in who is there, until cancelled. `first` is set when nothing more comes at the beginning."""
        while True:
            message = listener.take()
            if message is not None:
                self._take_in(message)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLED_S if self.statuses and not first.is_set() else None):
                    await listener.wait()
                    continue
            first.set()

    async def followed(self) -> None:
        """Until there is a `Lab` of each bridge that is known by now."""
        if self._following:
            await asyncio.wait(self._following)

    async def close(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self._stack.aclose()

    def _take_in(self, message: Incoming) -> None:
        bridge = message.topic.removeprefix(f"{self._root}/").removesuffix("/status")
        try:
            status = load_object(message.payload)
        except PicobridgeError:
            return
        was_online = self.statuses.get(bridge, {}).get("status") == "online"
        self.statuses[bridge] = status
        if (online := status.get("status") == "online") == was_online:
            return
        if not online:
            self._tell(bridge, online=False)
            return
        task = asyncio.create_task(self._follow(bridge, status), name=f"picobridge-labs {bridge}")
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _follow(self, bridge: str, status: Mapping[str, Any]) -> None:
        """A bridge is there: from now on there is a `Lab` of it, or it is said why not."""
        self.problems.pop(bridge, None)
        try:
            if bridge not in self._labs:
                following = follow(self._connection, found_at(f"{self._root}/{bridge}", status), self._label)
                self._labs[bridge] = await self._stack.enter_async_context(following)
            if self._ask_devices:
                await self._labs[bridge].refresh()
        except PicobridgeError as error:
            self.problems[bridge] = error
            LOG.warning("bridge %s: %s", bridge, error)
        self._tell(bridge, online=True)

    def _tell(self, bridge: str, *, online: bool) -> None:
        if bridge in self._labs:
            for queue in self._followers:
                queue.put_nowait(Change(bridge, online, self._labs[bridge]))


@contextlib.asynccontextmanager
async def labs_on(
    connection: Connection, root: str, label: str, find_s: float, *, ask_devices: bool
) -> AsyncIterator[Labs]:
    """The bridges that are there are known when the block begins."""
    labs = Labs(connection, root, label, ask_devices=ask_devices)
    first = asyncio.Event()
    try:
        async with connection.listen(any_status(root)) as listener:
            serving = asyncio.create_task(labs.serve(listener, first), name="picobridge-labs")
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(find_s):
                        await first.wait()
                        await labs.followed()
                yield labs
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
    finally:
        await labs.close()
