"""A cell on the terminals of one instrument, driven as a cycler drives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mocks.world import CurrentDrive, Drive, Reading, Terminals, VoltageDrive, World
from mocks.world.wiring import CELL

NS = 1_000_000_000
AREA_M2 = 1e-11
AREA_CM2 = 1e-7


@dataclass
class Step:
    """What a constant-current step did: `voltage_v` by time at the end of each sample, and why it is over."""

    voltage_v: dict[float, float]
    seconds: float
    charge_c: float

    @property
    def uah_per_cm2(self) -> float:
        return abs(self.charge_c) / 3600.0 / AREA_CM2 * 1e6

    @property
    def last_v(self) -> float:
        return list(self.voltage_v.values())[-1]


class Rig:
    """The full circuit, in contact. Without noise and with a guarded lead (1e-14 F) unless asked otherwise: the note's
    expected figures are the cell's alone."""

    def __init__(self, cell: str, *, precharge: bool = False, **options: Any) -> None:
        self.world = World(cell=cell, **{"noise": False, "stray_f": 1e-14, "area_m2": AREA_M2, **options})
        self.terminals: Terminals = self.world.terminals("smu")
        self.now_ns = 0
        self.world.wiring.set_relay(CELL, True)
        if precharge:
            self.drive(VoltageDrive(self.world.cell.open_circuit_voltage_v))
            self.sample(0.001)
        self.world.tip.touch()
        if precharge:
            self.drive(CurrentDrive(0.0))

    def drive(self, drive: Drive) -> None:
        self.terminals.set_drive(self.now_ns, drive)

    def sample(self, seconds: float = 1.0) -> Reading:
        reading = self.terminals.measure(self.now_ns, round(seconds * NS))
        self.now_ns += round(seconds * NS)
        return reading

    def samples(self, count: int, seconds: float) -> Iterator[Reading]:
        for _ in range(count):
            yield self.sample(seconds)

    def constant_current(
        self,
        ua_per_cm2: float,
        *,
        seconds: float = 1e9,
        until_above_v: float = 1e9,
        until_below_v: float = -1e9,
        dt: float = 1.0,
    ) -> Step:
        current_a = ua_per_cm2 * 1e-6 * AREA_CM2
        self.drive(CurrentDrive(current_a, 10.0))
        begun_ns = self.now_ns
        voltages: dict[float, float] = {}
        while (self.now_ns - begun_ns) / NS < seconds - 1e-9:
            reading = self.sample(dt)
            voltages[round((self.now_ns - begun_ns) / NS, 6)] = reading.voltage_end_v
            if reading.voltage_end_v >= until_above_v or reading.voltage_end_v <= until_below_v:
                break
        lived = (self.now_ns - begun_ns) / NS
        return Step(voltages, lived, current_a * lived)
