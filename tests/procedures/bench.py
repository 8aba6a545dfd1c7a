"""Devices for procedures without a wire: they act on the world of the mocks directly, and can be made to fail."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bridge.procedures.context import Answer, Question
from bridge.procedures.registry import find
from drivers.errors import CellNotOff, DeviceLost, InvalidValue, MoveFailed
from drivers.fields import parse_fields
from drivers.interfaces import (
    CurrentRange,
    Device,
    Feedthrough,
    FeedthroughCapabilities,
    Identity,
    Manipulator,
    ManipulatorCapabilities,
    ManipulatorPosition,
    Potentiostat,
    PotentiostatCapabilities,
)
from drivers.plain import dumps
from drivers.potentiostats.polling import Reading, poll
from drivers.potentiostats.staircase import set_points, step_s
from drivers.samples import Flag, SampleBlock
from drivers.techniques import (
    CurrentSequence,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
)
from drivers.transports import Transport
from drivers.transports.address import Address
from drivers.uninterrupted import to_the_end
from mocks.world import CurrentDrive, OpenDrive, VoltageDrive, World
from mocks.world.drives import Drive

NS = 1_000_000_000

#: Domain note, section 2.1.
KEITHLEY_6430 = PotentiostatCapabilities(
    techniques=frozenset(
        {
            "open_circuit",
            "galvanostatic",
            "potentiostatic",
            "cyclic_voltammetry",
            "current_sequence",
            "voltage_sequence",
        }
    ),
    current_ranges=(
        CurrentRange("1 pA", 1e-12, 1e-17, 0.01, 7e-15, settling_s=2.0),
        CurrentRange("10 pA", 1e-11, 1e-16, 0.005, 7e-15, settling_s=2.0),
        CurrentRange("100 pA", 1e-10, 1e-15, 0.0015, 30e-15, settling_s=0.05),
        CurrentRange("1 nA", 1e-9, 1e-14, 0.0005, 200e-15, settling_s=0.05),
    ),
    voltage_min_v=-200.0,
    voltage_max_v=200.0,
    input_resistance_ohm=1e16,
    interval_min_s=0.007,
    integration_s=0.1,
)
KEITHLEY_2450 = PotentiostatCapabilities(
    techniques=frozenset({"open_circuit", "galvanostatic"}),
    current_ranges=(
        CurrentRange("10 nA", 1e-8, 1e-14, 0.001, 50e-12, 5e-13, 0.001, 100e-12, noise_a_rms=0.5e-12),
        CurrentRange("100 nA", 1e-7, 1e-13, 0.001, 100e-12, 5e-12, 0.001, 150e-12),
    ),
    voltage_min_v=-200.0,
    voltage_max_v=200.0,
    input_resistance_ohm=1e10,
)


class NoWire(Transport):
    """A device in memory has no wire; nobody may ask for one."""

    def __init__(self) -> None:
        super().__init__(Address.parse("tcp:127.0.0.1:1"))

    async def _do_open(self) -> None:
        raise AssertionError("no wire")

    async def _do_close(self) -> None:
        raise AssertionError("no wire")

    async def _do_write(self, data: bytes, timeout_s: float) -> None:
        raise AssertionError("no wire")

    async def _do_read(self, timeout_s: float) -> bytes:
        raise AssertionError("no wire")

    async def _do_leftovers(self) -> bytes:
        raise AssertionError("no wire")


class BenchPotentiostat(Potentiostat):
    """Reads the world's terminals. `record` says what was done to it, in order; `before_sample(index)` may raise."""

    def __init__(
        self, world: World, capabilities: PotentiostatCapabilities = KEITHLEY_6430, *, integration_s: float = 0.1
    ) -> None:
        super().__init__(NoWire(), name="smu", clock=world.host_clock("smu"))
        self.identity = Identity("Bench", "6430", "1", "0")
        self._capabilities = capabilities
        self._world = world
        self._timeline = world.timeline("smu")
        self._terminals = world.terminals("smu")
        self._integration_ns = round(integration_s * NS)
        self._stop = asyncio.Event()
        self.record: list[str] = []
        self.on = False
        self.lost = False
        self.relay_stuck = False
        self.before_sample: Callable[[int], None] = lambda index: None
        self.change: Callable[[Reading, int], Reading] = lambda reading, index: reading

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        return self._capabilities

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        assert not isinstance(technique, Impedance)
        levels = list(_levels(technique))
        interval_s = _interval_s(technique)
        self._stop.clear()
        self.record.append(f"on {_told(technique)}")
        self.on = True
        begin, started_ns = self._timeline.now_ns, self.clock.time_ns()
        self._terminals.set_drive(begin, levels[0])
        interval = round(interval_s * NS)
        index = 0

        async def read_one() -> Reading | None:
            nonlocal index
            self.before_sample(index)
            self._check_wire()
            if len(levels) > 1:
                if index == len(levels):
                    return None
                self._terminals.set_drive(begin + index * interval, levels[index])
            integration = min(self._integration_ns, interval)
            await self._timeline.work(begin + (index + 1) * interval - integration - self._timeline.now_ns)
            start = self._timeline.now_ns
            await self._timeline.work(integration)
            seen = self._terminals.measure(start, integration)
            flags = Flag.COMPLIANCE if seen.compliance else Flag.NONE
            reading = Reading((index + 1) * interval_s, seen.voltage_v, seen.current_a, flags)
            index += 1
            return self.change(reading, index - 1)

        try:
            async for block in poll(
                technique,
                read_one,
                switch_off=self.cell_off,
                stop=self._stop,
                start_time_ns=started_ns,
                attributes={
                    "range": "10 pA",
                    "integration_s": min(self._integration_ns, interval) / NS,
                    "sampled_from_s": (interval - min(self._integration_ns, interval)) / NS,
                },
            ):
                yield block
        finally:
            if self.on:
                await to_the_end(self.cell_off())

    async def stop(self) -> None:
        self._stop.set()

    async def cell_off(self) -> None:
        self._check_wire()
        self.record.append("off")
        if self.relay_stuck:
            raise CellNotOff("the relay reads closed", device=self.name)
        self._terminals.set_drive(self._timeline.now_ns, OpenDrive(connected=False))
        self.on = False

    def _check_wire(self) -> None:
        if self.lost:
            raise DeviceLost("the cable is out", device=self.name)

    async def _connect(self) -> Identity:
        return await self.identify()

    async def identify(self) -> Identity:
        assert self.identity is not None
        return self.identity


def _levels(technique: Technique) -> Iterator[Drive]:
    """What the instrument drives: one level, or one after the other at each interval."""
    points = set_points(technique)
    if isinstance(technique, CurrentSequence):
        for amperes in points or ():
            yield CurrentDrive(amperes, 10.0)
    elif points is not None:
        limit = getattr(technique, "current_limit_a", None) or math.inf
        for volts in points:
            yield VoltageDrive(volts, limit)
    elif isinstance(technique, Potentiostatic):
        yield VoltageDrive(technique.voltage_v, technique.current_limit_a or math.inf)
    elif isinstance(technique, Galvanostatic) and technique.current_a:
        yield CurrentDrive(technique.current_a, 10.0)
    else:
        yield OpenDrive(connected=True)


def _interval_s(technique: Technique) -> float:
    if isinstance(technique, OpenCircuit | Galvanostatic | Potentiostatic):
        return technique.interval_s
    assert not isinstance(technique, Impedance)
    return step_s(technique)


def _told(technique: Technique) -> str:
    if isinstance(technique, Galvanostatic):
        return f"{technique.current_a:g}"
    return f"{technique.voltage_v:g} V" if isinstance(technique, Potentiostatic) else "0"


class BenchFeedthrough(Feedthrough):
    """Switches the world's relays; `log` is shared with the potentiostat to prove the order."""

    ROUTES = ("open", "feedthrough", "stage-ground", "manipulator-ground", "cell")

    def __init__(self, world: World, log: list[str]) -> None:
        super().__init__(NoWire(), name="relays")
        self._world = world
        self._log = log

    @property
    def capabilities(self) -> FeedthroughCapabilities:
        return FeedthroughCapabilities(self.ROUTES, 0.01)

    async def route(self) -> str:
        return self._world.wiring.route

    async def select(self, route: str) -> str:
        self._log.append(f"route {route}")
        for coil in range(4):
            self._world.wiring.set_relay(coil, False)
        if route != "open":
            self._world.wiring.set_relay(self.ROUTES.index(route) - 1, True)
        return route

    async def _connect(self) -> Identity:
        return await self.identify()

    async def identify(self) -> Identity:
        return Identity("Bench", "relays")


class BenchManipulator(Manipulator):
    """Moves the world's tip. `block` makes the next moves wait for ever, as a motor that creeps."""

    def __init__(self, world: World) -> None:
        super().__init__(NoWire(), name="tip")
        self._tip = world.tip
        self.record: list[str] = []
        self.blocked = False
        self.moving = asyncio.Event()

    @property
    def capabilities(self) -> ManipulatorCapabilities:
        return ManipulatorCapabilities(limits={}, resolution_m=30e-9, speed_max_m_per_s=1e-5, closed_loop=False)

    async def position(self) -> ManipulatorPosition:
        return ManipulatorPosition(self._tip.x_m, self._tip.y_m, self._tip.z_m, closed_loop=False)

    async def move_to(
        self, x_m: float | None = None, y_m: float | None = None, z_m: float | None = None
    ) -> ManipulatorPosition:
        raise MoveFailed("only relative moves are expected of an approach")

    async def move_by(self, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0) -> ManipulatorPosition:
        self.record.append(f"move {z_m:.4g}")
        if self.blocked:
            self.moving.set()
            await asyncio.Event().wait()
        self._tip.z_m += z_m
        return await self.position()

    async def stop(self) -> ManipulatorPosition:
        self.record.append("stop")
        return await self.position()

    async def set_speed(self, speed_m_per_s: float) -> None:
        raise AssertionError("not expected")

    async def insert(self) -> ManipulatorPosition:
        raise AssertionError("not expected")

    async def retract(self) -> None:
        raise AssertionError("not expected")

    async def _connect(self) -> Identity:
        return await self.identify()

    async def identify(self) -> Identity:
        return Identity("Bench", "tip")


class Bench:
    """A context with devices in memory, and everything that the procedure said.

    `answers` are what the operator will say, in order: a choice, or a choice and the values typed in. `saved` is what
    an interrupted run left; `kept` is what this one saved, each time. Set `pausing` (and give a step `STOPPED` by
    `smu.stop()`) to have it paused: `on_pause` is called at the pause point, and the run goes on.
    """

    run = "run-1"

    def __init__(self, world: World, capabilities: PotentiostatCapabilities = KEITHLEY_6430) -> None:
        self.world = world
        self.smu = BenchPotentiostat(world, capabilities)
        self.relays = BenchFeedthrough(world, self.smu.record)
        self.tip = BenchManipulator(world)
        self.devices: dict[str, Device] = {
            "potentiostat": self.smu,
            "feedthrough": self.relays,
            "manipulator": self.tip,
        }
        #: roles that several devices play
        self.several: dict[str, tuple[Device, ...]] = {}
        self.steps: list[tuple[str, float | None, dict[str, Any]]] = []
        self.notes: list[str] = []
        #: what the health watch was told
        self.sample: dict[str, float | None] = {}
        self.questions: list[Question] = []
        self.shown_header: dict[str, Any] = {}
        self.shown: list[dict[str, Any]] = []
        self.answers: deque[str | tuple[str, dict[str, Any]]] = deque()
        self.saved: dict[str, Any] = {}
        self.kept: list[dict[str, Any]] = []
        self.performed: list[tuple[str, dict[str, Any]]] = []
        self.pausing = False
        self.on_progress: Callable[[str], None] = lambda step: None
        self.on_pause: Callable[[], None] = lambda: None

    def device(self, role: str) -> Device:
        if role not in self.devices:
            raise InvalidValue(f"no device plays {role!r} in this run")
        return self.devices[role]

    def every_device(self, role: str) -> tuple[Device, ...]:
        return self.several.get(role) or ((self.devices[role],) if role in self.devices else ())

    def has(self, role: str) -> bool:
        return bool(self.every_device(role))

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        self.steps.append((step, fraction, values))
        self.on_progress(step)

    def note(self, text: str, **values: Any) -> None:
        self.notes.append(text)

    def witnessed(self, device: str, quantity: str, value: Any, by: str) -> None:
        """There are no interlocks here."""

    def show(self, header: Mapping[str, Any] | None = None, items: Iterable[Mapping[str, Any]] = ()) -> None:
        if header is not None:
            self.shown_header = json.loads(dumps(header))
        self.shown += json.loads(dumps(list(items)))

    def describe_sample(self, **known: float | None) -> None:
        self.sample.update(known)

    async def save(self, **state: Any) -> None:
        self.kept.append(json.loads(dumps(state)))

    async def pause_point(self) -> None:
        if self.pausing:
            self.pausing = False
            assert not self.smu.on, "a pause with the source on"
            self.on_pause()

    async def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        assert self.answers, f"nobody is there to answer {question.text!r}"
        answer = self.answers.popleft()
        choice, values = (answer, {}) if isinstance(answer, str) else answer
        if choice not in question.choices:
            raise AssertionError(f"{choice!r} is none of {question.choices}")
        parsed = None
        if question.fields is not None and (values or choice == question.choices[0]):
            parsed = parse_fields(question.fields, values, noun="value")
        return Answer(choice, parsed, by="bench", at_ns=self.smu.clock.time_ns())

    async def perform(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        title: str = "",
        share: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        self.performed.append((name, dict(parameters)))
        procedure = find(name)
        return await procedure.run(_Part(self, title or name), procedure.parse(parameters))

    @property
    def step_names(self) -> list[str]:
        """Steps in order, each once in a row."""
        return [name for i, (name, *_) in enumerate(self.steps) if i == 0 or self.steps[i - 1][0] != name]


class _Part:
    """The context of a performed procedure: the bench's, with its own place for what it saves."""

    def __init__(self, whole: Any, title: str) -> None:
        self._whole = whole
        self._title = title
        self.saved: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        self._whole.progress(f"{self._title}: {step}", fraction, **values)

    async def save(self, **state: Any) -> None:
        dumps(state)


def limited(capabilities: PotentiostatCapabilities, **changes: Any) -> PotentiostatCapabilities:
    return replace(capabilities, **changes)
