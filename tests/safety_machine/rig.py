"""A daemon over simulated instruments on their wires, which may be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.daemon.watch_options import WatchOptions
from bridge.demo.rig import ROUTES, Place, simulated_rig
from bridge.procedures.contact.touched import forget_contact
from drivers.interfaces import Device
from mocks.wires import Served
from mocks.wires.tcp import TcpWire
from mocks.world import World

from .line import Line
from .virtual_time import LoopClock, VirtualLoop

PLACES: Mapping[str, Place] = {
    "pstat": Place("methodscript", "pty"),
    "stage": Place("zeiss-remcon", "pty", mock={"result_delay_s": 0.02}),
    "tip": Place("newfocus-8742", "tcp"),
    "relay": Place("modbus-relay", "pty", options={"routes": ROUTES}),
    "gauge": Place("pfeiffer-tpg", "pty"),
}
DEVICES = tuple(PLACES)
REPLY_TO = "picobridge/lab/reply/machine"


@dataclass(eq=False, slots=True)
class Asked:
    """One request. `number` orders all of them; times are the loop's."""

    number: int
    method: str
    params: Mapping[str, Any]
    sender: str
    lease: str
    fence: int | None
    sent_s: float
    done_s: float | None = None
    #: order among requests and replies, of the reply
    done_number: int | None = None
    result: Any = None
    error: Mapping[str, Any] | None = None
    #: the daemon that was to answer is gone
    orphaned: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> bool:
        return self.done_s is not None or self.orphaned

    @property
    def granted(self) -> bool:
        """It was answered, and not by an error."""
        return self.done_s is not None and self.error is None


class TimedDaemon(Daemon):
    """The daemon, with its guard on the loop's time."""

    def _make_guard(self, devices: Mapping[str, Device]) -> None:
        super()._make_guard(devices)
        clock = asyncio.get_running_loop().time
        self._guard.clock = self._guard.leases._clock = self._observer._clock = clock


class Rig:
    """`sent` and `answered` are told of each request."""

    def __init__(
        self, folder: Path, loop: VirtualLoop, sent: Callable[[Asked], None], answered: Callable[[Asked], None]
    ) -> None:
        self.loop = loop
        self.world = World(seed=1, speed=1.0, flows=True, noise=False)
        self.world.happenings.clock = loop.time
        self.world.chamber.set_stage(x_m=0.07, y_m=0.07, z_m=0.02, tilt_deg=20.0, rotation_deg=90.0)
        self.served: Mapping[str, Served] = {}
        self.daemon: Daemon
        self.up_since_s: float | None = None
        self.asked: list[Asked] = []
        #: devices that are unplugged
        self.out: set[str] = set()
        self._folder = folder
        self._generations = itertools.count()
        self.state_dir = folder / "state-0"
        self._numbers = itertools.count(1)
        self._by_id: dict[str, Asked] = {}
        self._sent, self._answered = sent, answered
        self._line: Line
        self._stack = AsyncExitStack()
        self._devices: Mapping[str, Any] = {}

    def mock(self, device: str) -> Any:
        return self.served[device].instrument

    # --- life ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        forget_contact("tip")
        simulated = await self._stack.enter_async_context(simulated_rig(self.world, PLACES))
        self.served, self._devices = simulated.served, simulated.devices
        await self.start()

    async def start(self) -> None:
        self._line = Line(self._reply, REPLY_TO)
        config = Config(
            state_dir=self.state_dir,
            broker=BrokerConfig(address=Line.address),
            devices=self._devices,
            watch=replace(WatchOptions(), enabled=False),
            min_free_bytes=0,
        )
        clock = LoopClock(self.loop)
        self.daemon = TimedDaemon(
            config, clock_for=lambda _: clock, open_session=self._line, flush_s=1.0, backoff_s=(0.01, 0.05)
        )
        await self.daemon.__aenter__()
        self.up_since_s = self.loop.time()

    async def stop(self) -> None:
        """In order: it makes everything safe."""
        daemon, self.up_since_s = self.daemon, None
        await daemon.__aexit__(None, None, None)
        self._orphan()

    async def kill(self) -> None:
        """As by SIGKILL, as far as that goes within a process: what it writes from now on is not what the next one
        finds, and its wires are cut, so that nothing that it does from now on reaches an instrument."""
        self.up_since_s = None
        left = self._folder / f"state-{next(self._generations) + 1}"
        shutil.copytree(self.state_dir, left)  # at once: nothing may go on meanwhile
        plugged = [one for name, one in self.served.items() if name not in self.out]
        for one in sorted(plugged, key=lambda one: isinstance(one.wire, TcpWire)):  # which waits for its task
            await one.unplug()
        self._orphan()
        await self.daemon.__aexit__(None, None, None)
        self.state_dir = left
        for one in plugged:
            await one.replug()

    async def close(self) -> None:
        try:
            if self.up_since_s is not None:
                await self.stop()
        finally:
            await self._stack.aclose()

    def _orphan(self) -> None:
        for asked in self.asked:
            asked.orphaned = asked.orphaned or asked.done_s is None

    # --- requests --------------------------------------------------------------------------------------------------

    def ask(
        self, method: str, params: Mapping[str, Any], *, sender: str = "ann", lease: str = "", fence: int | None = None
    ) -> Asked:
        """Send a request; its answer comes later."""
        number = next(self._numbers)
        asked = Asked(number, method, params, sender, lease, fence, self.loop.time())
        body = {
            "id": f"r{number}",
            "from": sender,
            "expires_at": time.time() + 30,
            "reply_to": REPLY_TO,
            "params": params,
            **({"lease": lease} if lease else {}),
            **({} if fence is None else {"fence": fence}),
        }
        self.asked.append(asked)
        self._by_id[f"r{number}"] = asked
        self._sent(asked)
        self._line.request(self.daemon.topics.request(method), json.dumps(body).encode())
        return asked

    def _reply(self, reply: Any) -> None:
        asked = self._by_id[reply["id"]]
        if asked.orphaned:
            return
        asked.done_s = self.loop.time()
        asked.done_number = next(self._numbers)
        asked.result, asked.error = reply.get("result"), None if reply["ok"] else reply["error"]
        self._answered(asked)
        asked.answered.set()
