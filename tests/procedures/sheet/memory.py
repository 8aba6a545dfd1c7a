"""Channels, prober and relay board in memory, on the world of the simulated sheet; a context for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

from bridge.procedures.context import Answer, Question
from bridge.procedures.sheet import PROCEDURE
from drivers.errors import InvalidValue, PicobridgeError
from drivers.interfaces import (
    Device,
    Feedthrough,
    FeedthroughCapabilities,
    Identity,
    Potentiostat,
    PotentiostatCapabilities,
    Stage,
    StageCapabilities,
    StagePosition,
    TouchAlarm,
)
from drivers.samples import IMPEDANCE_COLUMNS, SAMPLE_COLUMNS, EndReason, SampleBlock
from drivers.techniques import Impedance, OpenCircuit, Technique
from mocks.world import OpenDrive, VoltageDrive
from mocks.world.sheet import SheetWorld, Wire
from mocks.world.sheet_cells import SheetCells
from tests.procedures.bench import NoWire

NS = 1_000_000_000


@cache
def frequencies(high_hz: float, low_hz: float, points: int) -> np.ndarray[Any, Any]:
    return np.geomspace(high_hz, low_hz, points)


class MemoryChannel(Potentiostat):
    """Open circuit and impedance, in blocks of a whole record. `before(technique)` may raise."""

    def __init__(self, world: SheetWorld, name: str) -> None:
        super().__init__(NoWire(), name=name, clock=world.host_clock(name))
        self.identity = Identity("Bench", "channel", name)
        self._timeline = world.timeline(name)
        self._terminals = world.terminals(name)
        self.before: Callable[[Technique], None] = lambda technique: None
        self.on = False
        self.swept: list[Impedance] = []
        self.techniques = frozenset({"open_circuit", "impedance"})
        self.stopped = False

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        return PotentiostatCapabilities(self.techniques, (), -10.0, 10.0)

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        self.before(technique)
        self.on = True
        try:
            if isinstance(technique, OpenCircuit):
                yield await self._open_circuit(technique)
            else:
                assert isinstance(technique, Impedance)
                self.swept.append(technique)
                yield await self._impedance(technique)
        finally:
            await self.cell_off()

    async def _open_circuit(self, technique: OpenCircuit) -> SampleBlock:
        self._terminals.set_drive(self._timeline.now_ns, OpenDrive(connected=True))
        began, interval = self._timeline.now_ns, round(technique.interval_s * NS)
        count = round(technique.duration_s / technique.interval_s)
        await self._timeline.work(count * interval)
        volts = [self._terminals.measure(began + i * interval, interval).voltage_v for i in range(count)]
        time = (np.arange(count) + 1) * technique.interval_s
        data = {"time_s": time, "voltage_v": volts, "current_a": np.zeros(count), "flags": np.zeros(count)}
        return self._block(SAMPLE_COLUMNS, data, began)

    async def _impedance(self, technique: Impedance) -> SampleBlock:
        assert technique.bias_v is not None
        began = self._timeline.now_ns
        self._terminals.set_drive(began, VoltageDrive(technique.bias_v))
        frequency = frequencies(technique.frequency_max_hz, technique.frequency_min_hz, technique.points)
        time, z = [], []
        await self._timeline.work(round(sum(0.05 + 3 / f for f in frequency) * NS))
        for f in frequency:
            time.append(self._timeline.now_ns / NS)
            z.append(self._terminals.impedance(float(f)))
        data = {
            "time_s": time,
            "frequency_hz": frequency,
            "z_real_ohm": np.real(z),
            "z_imag_ohm": np.imag(z),
            "flags": np.zeros(len(z)),
        }
        return self._block(IMPEDANCE_COLUMNS, data, began)

    def _block(self, columns: Any, data: Mapping[str, Any], began: int) -> SampleBlock:
        end = EndReason.STOPPED if self.stopped else EndReason.FINISHED
        return SampleBlock.of(columns, data, start_time_ns=began, end=end)

    async def stop(self) -> None:
        self.stopped = True

    async def cell_off(self) -> None:
        self._terminals.set_drive(self._timeline.now_ns, OpenDrive(connected=False))
        self.on = False

    async def _connect(self) -> Identity:
        return await self.identify()

    async def identify(self) -> Identity:
        assert self.identity is not None
        return self.identity


class MemoryStage(Stage):
    """Takes `start_s` and the way at `speed_m_per_s` for each move."""

    def __init__(self, world: SheetWorld, name: str, *, start_s: float = 0.3, speed_m_per_s: float = 0.02) -> None:
        own = world.head(name)
        super().__init__(NoWire(), name=name, clock=own.host_clock(name))
        self._chamber, self._timeline = own.chamber, own.timeline(name)
        self._start_s, self._speed = start_s, speed_m_per_s
        self.moves: list[StagePosition] = []
        self.stops = 0
        self.limits = {"x_m": (-1.0, 1.0), "y_m": (-1.0, 1.0), "z_m": (-0.01, 0.01)}
        self.before_move: Callable[[int], None] = lambda number: None

    @property
    def capabilities(self) -> StageCapabilities:
        return StageCapabilities(self.limits, 1e-6, 0.1)

    async def position(self) -> StagePosition:
        pose = self._chamber.stage
        return StagePosition(pose.x_m, pose.y_m, pose.z_m, pose.tilt_deg, pose.rotation_deg)

    async def move_to(
        self,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
        rotation_deg: float | None = None,
    ) -> StagePosition:
        self.before_move(len(self.moves))
        here = self._chamber.stage
        way = max(abs(to - at) for to, at in ((x_m, here.x_m), (y_m, here.y_m), (z_m, here.z_m)) if to is not None)
        await self._timeline.work(round((self._start_s + way / self._speed) * NS))
        self._chamber.set_stage(x_m, y_m, z_m, tilt_deg, rotation_deg)
        self.moves.append(await self.position())
        return self.moves[-1]

    async def move_by(
        self, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0, tilt_deg: float = 0.0, rotation_deg: float = 0.0
    ) -> StagePosition:
        raise AssertionError("not expected")

    async def stop(self) -> StagePosition:
        self.stops += 1
        return await self.position()

    async def home(self) -> StagePosition:
        raise AssertionError("not expected")

    async def touch_alarm(self) -> TouchAlarm:
        return TouchAlarm.ARMED

    async def _connect(self) -> Identity:
        return await self.identify()

    async def identify(self) -> Identity:
        return Identity("Bench", "stage", self.name)


class MemoryBoard(Feedthrough):
    """Relays of the world; `routes` are names to coils."""

    def __init__(self, world: SheetWorld, routes: Mapping[str, list[int]], switching_s: float = 0.07) -> None:
        super().__init__(NoWire(), name="board", clock=world.host_clock("board"))
        self._world, self._routes, self._s = world, {"open": [], **routes}, switching_s
        self._now = "open"
        self.selected: list[str] = []

    @property
    def capabilities(self) -> FeedthroughCapabilities:
        return FeedthroughCapabilities(tuple(self._routes), self._s)

    async def route(self) -> str:
        return self._now

    async def select(self, route: str) -> str:
        self.selected.append(route)
        for coil in self._routes[self._now]:
            self._world.wiring.set_relay(coil, False)
        await self.clock.sleep(self._s)
        for coil in self._routes[route]:
            self._world.wiring.set_relay(coil, True)
        self._now = route
        return route

    async def _connect(self) -> Identity:
        return await self.identify()

    async def identify(self) -> Identity:
        return Identity("Bench", "board")


class MemoryContext:
    """A context for procedures; `pause_after` records asks for a pause once."""

    run = "run-1"

    def __init__(self, world: SheetWorld, routes: Mapping[str, list[int]] | None = None, **stage: Any) -> None:
        self.world = world
        self.channels = {name: MemoryChannel(world, name) for name in world.channels}
        self.stages = {name: MemoryStage(world, name, **stage) for name in world._heads}
        self.board = MemoryBoard(world, routes) if routes else None
        self.steps: list[tuple[str, float | None, dict[str, Any]]] = []
        self.notes: list[str] = []
        self.headers: list[Mapping[str, Any]] = []
        self.shown: list[Mapping[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.saves = 0
        self.saved: Mapping[str, Any] = {}
        self.answers: list[str] = []
        self.asked: list[Question] = []
        self.pausing = False
        self.pauses = 0
        self.on_ask: Callable[[Question], None] = lambda question: None
        self.on_progress: Callable[[dict[str, Any]], None] = lambda values: None

    def every_device(self, role: str) -> tuple[Device, ...]:
        if role == "feedthrough":
            return () if self.board is None else (self.board,)
        found: Mapping[str, Device] = {"potentiostat": self.channels, "stage": self.stages}.get(role, {})  # type: ignore[assignment]
        return tuple(found.values())

    def device(self, role: str) -> Device:
        found = self.every_device(role)
        if not found:
            raise InvalidValue(f"no device plays {role!r} in this run")
        return found[0]

    def has(self, role: str) -> bool:
        return bool(self.every_device(role))

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        self.steps.append((step, fraction, values))
        self.on_progress(values)

    def note(self, text: str, **values: Any) -> None:
        self.notes.append(text)

    def show(self, header: Mapping[str, Any] | None = None, items: Iterable[Mapping[str, Any]] = ()) -> None:
        self.headers += [] if header is None else [header]
        self.shown += items

    async def save(self, **state: Any) -> None:
        from drivers.plain import to_plain

        self.saves += 1
        self.state = to_plain(state)
        await asyncio.sleep(0)

    async def pause_point(self) -> None:
        if self.pausing:
            self.pausing = False
            self.pauses += 1
            assert not any(channel.on for channel in self.channels.values())

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        self.on_ask(question)
        return Answer(self.answers.pop(0))

    async def perform(self, name: str, parameters: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        raise AssertionError("not expected")

    async def map(self, **parameters: Any) -> dict[str, Any]:
        """Run it, as the daemon would."""
        try:
            return await PROCEDURE.run(self, PROCEDURE.parse(parameters))  # type: ignore[arg-type]
        finally:
            assert not any(channel.on for channel in self.channels.values())


def comb(head: str, channels: list[str], **wire: Any) -> tuple[dict[str, list[Wire]], list[dict[str, Any]]]:
    """A head whose probes stand side by side in a row, one channel each: the world's wires and the sheet's sites."""
    wires = {name: [Wire(head, 0, column, **wire)] for column, name in enumerate(channels)}
    sites = [{"channel": name, "row": 0, "column": column} for column, name in enumerate(channels)]
    return wires, sites


def sheet_table(cells: SheetCells, heads: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The sheet's description for the procedure."""
    pitch = cells.pitch_m
    grid = {"rows": cells.rows, "columns": cells.columns, "pitch": [pitch, pitch]}
    return {"lot": "L1", "sheet": "S1", "grid": grid, "head": heads, **more}


__all__ = ["MemoryContext", "PicobridgeError", "comb", "sheet_table"]
