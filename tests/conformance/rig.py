"""What a conformance test needs to know of an instrument: how to make it, and what may be moved or energised."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from drivers.clock import Clock

#: where `tests/hil` puts the rigs of a configuration; otherwise the mocks of all drivers are tested
RIGS = pytest.StashKey[Sequence["Rig"]]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a test may move or energise; what is not given stays as it is.

    `moves`: parameter of `move_by` (`x_m`, `tilt_deg`) to a signed distance: moves go from where the axis is to at most
    this far, and back. A potentiostat is energised only if `current_a` (largest magnitude), `voltage_min_v`,
    `voltage_max_v` and `duration_s` (of one run) are all given. `load_ohm`: the resistor at its terminals, if it is
    one. `routes`: those that a feedthrough may select.
    """

    moves: Mapping[str, float] = field(default_factory=dict)
    current_a: float | None = None
    voltage_min_v: float | None = None
    voltage_max_v: float | None = None
    duration_s: float | None = None
    load_ohm: float | None = None
    routes: tuple[str, ...] = ()

    @property
    def may_energise(self) -> bool:
        return None not in (self.current_a, self.voltage_min_v, self.voltage_max_v, self.duration_s)

    def allow(self, what: str) -> bool:
        """`what` is "nothing", "moves", "energy" or "routes"."""
        return {
            "nothing": True,
            "moves": bool(self.moves),
            "energy": self.may_energise,
            "routes": bool(self.routes),
        }[what]


class Hooks(Protocol):
    """What only a simulated instrument lets a test do."""

    @property
    def record(self) -> list[str]:
        """Every command that the instrument says it took."""

    @property
    def faults(self) -> Any:
        """`mocks.wires.Faults`."""

    @property
    def replies(self) -> int:
        """How many replies it has sent so far."""

    @property
    def requests(self) -> Sequence[tuple[int, int]]:
        """For each request so far: how many replies had been sent and how many commands recorded when it came."""

    def truth(self) -> Any:
        """What the interface's main question should be answered with now (None where there is none)."""

    def is_safe(self) -> bool:
        """Nothing moves, and no source is connected."""

    def energised(self) -> int:
        """How often so far a source was connected, a route closed or the stage set in motion."""

    @property
    def samples_are_proven(self) -> bool:
        """Whether damage to one byte of a sample shows (a binary protocol without a checksum cannot)."""

    def disturb(self) -> None:
        """Change what the instrument sees, where there is anything to see without a command (a pressure)."""

    def pace(self, speed: float) -> None:
        """From now on so many simulated seconds take one."""

    def power_cycle(self) -> None: ...

    async def unplug(self) -> None: ...

    async def replug(self) -> None: ...


@dataclass(slots=True)
class Bench:
    """One instrument, ready to be connected. `hooks` is None where it is a real one.

    `expected` is where the call under test should lead.
    """

    device: Any
    clock: GateClock
    limits: Limits
    hooks: Hooks | None = None
    expected: dict[str, float] = field(default_factory=dict)


class Rig(Protocol):
    """One instrument that the suite is run against."""

    @property
    def name(self) -> str:
        """As tests and reports call it."""

    @property
    def driver(self) -> str:
        """Its name in the table of drivers."""

    @property
    def interface(self) -> str: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def hooked(self) -> bool:
        """Whether benches have hooks."""

    def session(self) -> AbstractAsyncContextManager[Bench]:
        """The instrument and a device for it that is not connected yet."""


class GateClock:
    """The device's clock, through which a test can hold a driver that waits: as long as `hold`, no wait ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting = asyncio.Event()
        self._go = asyncio.Event()
        self._go.set()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def time_ns(self) -> int:
        return self._clock.time_ns()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._waiting.set()
        await self._go.wait()

    def hold(self) -> None:
        self._go.clear()
        self._waiting.clear()

    def release(self) -> None:
        self._go.set()

    async def held(self, timeout_s: float = 20.0) -> None:
        """Wait until the driver is held in a wait."""
        await asyncio.wait_for(self._waiting.wait(), timeout_s)
