"""Devices without a wire, for tests of what stands above them: they do what a test tells them and remember it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import numpy as np

from drivers.clock import Clock
from drivers.errors import DeviceLost, InvalidValue, MoveFailed
from drivers.interfaces import (
    Feedthrough,
    FeedthroughCapabilities,
    Gauge,
    GaugeStatus,
    Identity,
    Potentiostat,
    PotentiostatCapabilities,
    Pressure,
    Stage,
    StageCapabilities,
    StagePosition,
    TouchAlarm,
)
from drivers.samples import SAMPLE_COLUMNS, EndReason, SampleBlock
from drivers.techniques import Technique
from drivers.transports import Address, Transport

START_NS = 1_767_225_600_000_000_000


class FakeWire(Transport):
    """A wire with nothing on it that can be pulled and put back."""

    def __init__(self) -> None:
        super().__init__(Address("tcp", "fake:1"))
        self.there = True
        #: how often it could not be opened
        self.vain = 0

    def unplug(self, *, noticed: bool = True) -> None:
        self.there = False
        if noticed:
            self._report_lost(DeviceLost("unplugged"))

    def check(self) -> None:
        if not self.there or not self.is_open:
            raise DeviceLost("unplugged")

    async def _do_open(self) -> None:
        if not self.there:
            self.vain += 1
            raise DeviceLost("no such device")

    async def _do_close(self) -> None: ...

    async def _do_write(self, data: bytes, timeout_s: float) -> None: ...

    async def _do_read(self, timeout_s: float) -> bytes:
        return b""

    async def _do_leftovers(self) -> bytes:
        return b""


class _Fake:
    """What all fakes share. `done` is what was asked of the device, in order."""

    wire: FakeWire
    transport: Transport
    serial = "42"

    def _begin(self) -> None:
        self.done: list[str] = []

    def _did(self, what: str) -> None:
        self.wire.check()
        self.done.append(what)

    async def _connect(self) -> Identity:
        await self.transport.open()
        await self.make_safe()  # type: ignore[attr-defined]
        return await self.identify()

    async def identify(self) -> Identity:
        self._did("identify")
        return Identity("Fake", type(self).__name__, self.serial, "1.0")


class FakePotentiostat(_Fake, Potentiostat):
    """Yields the blocks of `script(technique)`; a callable among them is called (and awaited) in between."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.wire = FakeWire()
        super().__init__(self.wire, name=name, clock=clock)
        self._begin()
        self.cell_on = False
        self.script: Callable[[Technique], Iterable[Any]] = lambda technique: ramp(20, 5)
        self._stop = asyncio.Event()

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        return PotentiostatCapabilities(
            frozenset({"galvanostatic", "open_circuit"}), (), -10.0, 10.0, input_resistance_ohm=float("inf")
        )

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        self._did(f"run {technique.name}")
        self._stop.clear()
        self.cell_on = True
        try:
            for item in self.script(technique):
                if callable(item):
                    outcome = item()
                    if outcome is not None:
                        await outcome
                    continue
                self.wire.check()
                yield item
                await asyncio.sleep(0)
        finally:
            self.cell_on = False
            self.done.append("off")

    async def stop(self) -> None:
        self._did("stop")

    async def cell_off(self) -> None:
        self._did("cell_off")
        self.cell_on = False


class FakeStage(_Fake, Stage):
    """Moves to `x_m` at once, or, while `slow` is set, when `stop` is called."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.wire = FakeWire()
        super().__init__(self.wire, name=name, clock=clock)
        self._begin()
        self.x_m = 0.0
        self.slow = False
        self.moving = asyncio.Event()
        self._halt = asyncio.Event()

    @property
    def capabilities(self) -> StageCapabilities:
        return StageCapabilities({"x_m": (-0.065, 0.065)}, 1e-6, 0.1)

    async def position(self) -> StagePosition:
        self.wire.check()
        return StagePosition(self.x_m, 0.0, 0.0, 0.0, 0.0)

    async def move_to(
        self,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
        rotation_deg: float | None = None,
    ) -> StagePosition:
        if x_m is not None and abs(x_m) > 0.065:
            raise InvalidValue(f"x_m is {x_m!r}; accepted: -0.065 to 0.065")
        self._did(f"move_to {x_m!r}")
        self._halt.clear()
        self.moving.set()
        if self.slow:
            await self._halt.wait()
            self.moving.clear()
            raise MoveFailed("stopped", position=self.x_m)
        self.moving.clear()
        self.x_m = x_m if x_m is not None else self.x_m
        return await self.position()

    async def move_by(
        self,
        x_m: float = 0.0,
        y_m: float = 0.0,
        z_m: float = 0.0,
        tilt_deg: float = 0.0,
        rotation_deg: float = 0.0,
    ) -> StagePosition:
        return await self.move_to(self.x_m + x_m)

    async def stop(self) -> StagePosition:
        self._did("stop")
        self._halt.set()
        return await self.position()

    async def home(self) -> StagePosition:
        return await self.move_to(0.0)

    async def touch_alarm(self) -> TouchAlarm:
        return TouchAlarm.ARMED


class FakeFeedthrough(_Fake, Feedthrough):
    def __init__(self, name: str, clock: Clock) -> None:
        self.wire = FakeWire()
        super().__init__(self.wire, name=name, clock=clock)
        self._begin()
        self.closed = "open"

    @property
    def capabilities(self) -> FeedthroughCapabilities:
        return FeedthroughCapabilities(("open", "cell"), 0.01)

    async def route(self) -> str:
        self.wire.check()
        return self.closed

    async def select(self, route: str) -> str:
        self._did(f"select {route}")
        self.closed = route
        return route


class FakeGauge(_Fake, Gauge):
    def __init__(self, name: str, clock: Clock) -> None:
        self.wire = FakeWire()
        super().__init__(self.wire, name=name, clock=clock)
        self._begin()
        self.reading = Pressure(5e-4, True, GaugeStatus.OK)

    async def pressure(self) -> Pressure:
        self.wire.check()
        return self.reading


def ramp(samples: int, per_block: int = 1, *, end: bool = True) -> list[SampleBlock]:
    """Blocks of a technique of `samples` samples: time and voltage are the index / 100 and the index."""
    blocks = []
    for first in range(0, samples, per_block):
        index = np.arange(first, min(first + per_block, samples), dtype=np.float64)
        blocks.append(
            SampleBlock.of(
                SAMPLE_COLUMNS,
                {"time_s": index / 100, "voltage_v": index, "current_a": index * 1e-12, "flags": np.zeros(len(index))},
                first_index=first,
                start_time_ns=START_NS,
                end=EndReason.DURATION if end and first + per_block >= samples else None,
                attributes={"range": "1 nA"},
            )
        )
    return blocks
