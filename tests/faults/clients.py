"""A client in a process of its own, which can be frozen and killed, and the daemon's clock for leases, which can be set
on."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .rig import Rig

#: holds a lease and begins to move; then, for each line that it reads, sends another move under that same lease
_PROGRAM = """
import asyncio, json, sys
from bridge.client import connect
from drivers.errors import PicobridgeError

async def main():
    async with connect(sys.argv[1], bridge="lab", name="hand") as lab, lab.control("stage"):
        (held,) = lab._leases._held
        tell = lambda **said: print(json.dumps(said), flush=True)
        move = {"device": "stage", "method": "move_by", "arguments": {"x_m": 0.05}}
        moving = asyncio.ensure_future(lab._request("call", move, lease=held.lease, fence=held.fence))
        moving.add_done_callback(lambda done: done.exception())
        tell(lease=held.lease, fence=held.fence)
        while await asyncio.to_thread(sys.stdin.readline):
            try:
                await lab._request("call", move, lease=held.lease, fence=held.fence)
            except PicobridgeError as error:
                tell(error=error.to_dict())

asyncio.run(main())
"""


class Hand:
    """`lease` and `fence` are those that it moves under."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lease = ""
        self.fence = 0

    async def said(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(await asyncio.wait_for(self.process.stdout.readline(), 20))

    def move_again(self) -> None:
        """Heard when it is not frozen."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"again\n")


@asynccontextmanager
async def moving_by_hand(rig: Rig) -> AsyncIterator[Hand]:
    """Somebody's program holds the stage and moves it, by the mock's own record."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, str(rig.mosquitto.address)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    hand = Hand(process)
    try:
        known = await hand.said()
        hand.lease, hand.fence = known["lease"], known["fence"]
        async with asyncio.timeout(10):
            while not rig.witness.is_moving("stage"):  # noqa: ASYNC110  # the mock has no events
                await asyncio.sleep(0.005)
        yield hand
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class LeaseClock:
    """The clock by which the daemon judges leases; `pass_by` is what nobody has to wait for."""

    def __init__(self, rig: Rig) -> None:
        self._ahead_s = 0.0
        rig.daemon._guard.leases._clock = lambda: time.monotonic() + self._ahead_s

    def pass_by(self, seconds: float) -> None:
        self._ahead_s += seconds
