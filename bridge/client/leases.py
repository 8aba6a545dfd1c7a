"""A client's leases: taken when something is to move, renewed while it does, given back soon after."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import LeaseLost, PicobridgeError

LOG = logging.getLogger("picobridge.client")

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]

RENEW_S = 1.0
#: A lease that nothing was done under for so long is given back.
IDLE_S = 3.0

_LOST_IN_CONTROL = "Leave the block of `control`, look where things are, and take control again."


@dataclass(slots=True)
class Held:
    """One lease, and how many calls are under way that need it."""

    lease: str
    group: str
    devices: tuple[str, ...]
    fence: int
    users: int = 0
    #: how many blocks of `controlling` there are; while there is one, a lease that is lost is not replaced by another
    controls: int = 0
    lost: LeaseLost | None = None
    idle: asyncio.TimerHandle | None = None
    renewing: asyncio.Task[None] | None = field(default=None)


class ClientLeases:
    """`ask` asks the daemon."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._held: list[Held] = []
        self._acquiring = asyncio.Lock()
        self._releasing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def holding(self, device: str) -> AsyncIterator[Held]:
        """The device's group is ours while the block lasts. Raises `Busy` if somebody else has it, and `LeaseLost` if a
        block of `controlling` has lost it."""
        held = await self._of(device)
        held.users += 1
        if held.idle is not None:
            held.idle.cancel()
            held.idle = None
        try:
            yield held
        finally:
            held.users -= 1
            if not held.users:
                held.idle = asyncio.get_running_loop().call_later(IDLE_S, self._let_go, held)

    @asynccontextmanager
    async def controlling(self, device: str) -> AsyncIterator[Held]:
        """As `holding`, for several calls: if the lease is lost meanwhile, no other is taken before the block is left.

        Whoever took the group over may have moved it: what the block was about to do is not what it would be now.
        """
        async with self.holding(device) as held:
            held.controls += 1
            try:
                yield held
            finally:
                held.controls -= 1
                self._forget_lost(held)

    async def close(self) -> None:
        """Give all back, as far as the daemon hears it."""
        for held in list(self._held):
            self._let_go(held)
        await asyncio.gather(*self._releasing, return_exceptions=True)

    async def _of(self, device: str) -> Held:
        async with self._acquiring:
            for held in self._held:
                if device in held.devices:
                    if held.lost is not None:
                        raise LeaseLost(held.lost.message, device=device, hint=_LOST_IN_CONTROL)
                    return held
            granted = await self._ask("lease", {"device": device})
            held = Held(granted["lease"], granted["group"], tuple(granted["devices"]), granted["fence"])
            self._held.append(held)
            held.renewing = asyncio.create_task(self._renew(held), name=f"picobridge lease {held.group}")
            return held

    async def _renew(self, held: Held) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._ask("renew", {"lease": held.lease})
            except LeaseLost as error:
                LOG.warning("%s", error.message)
                held.lost = error
                self._forget_lost(held)
                return
            except PicobridgeError as error:
                LOG.debug("the lease on %s was not renewed: %s", held.group, error)

    def _forget_lost(self, held: Held) -> None:
        if held.lost is not None and not held.controls and held in self._held:
            self._held.remove(held)

    def _let_go(self, held: Held) -> None:
        if held.idle is not None:
            held.idle.cancel()
        if held not in self._held:
            return
        self._held.remove(held)
        task = asyncio.ensure_future(self._release(held))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _release(self, held: Held) -> None:
        if held.renewing is not None:
            held.renewing.cancel()
            await asyncio.gather(held.renewing, return_exceptions=True)
        with contextlib.suppress(PicobridgeError, TimeoutError):
            async with asyncio.timeout(RENEW_S):
                await self._ask("release", {"lease": held.lease})
