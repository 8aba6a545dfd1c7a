"""What a schedule counts while it runs: cycles, capacities of the cycle and in total, and the user's own counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Registers:
    """Charges in coulombs, unsigned. `cycle` is the number of the cycle under way, from 1; what is called `last_` is of
    the last completed cycle, `first_discharge_c` of the first one that discharged."""

    cycle: int = 1
    steps: int = 0
    total_time_s: float = 0.0
    cycle_time_s: float = 0.0
    cycle_charge_c: float = 0.0
    cycle_discharge_c: float = 0.0
    total_charge_c: float = 0.0
    total_discharge_c: float = 0.0
    last_charge_c: float | None = None
    last_discharge_c: float | None = None
    first_discharge_c: float | None = None
    counters: dict[str, float] = field(default_factory=dict)
    loops: dict[str, int] = field(default_factory=dict)

    def add(self, duration_s: float, charge_c: float, discharge_c: float) -> None:
        """A step has ended, or a part of it."""
        self.total_time_s += duration_s
        self.cycle_time_s += duration_s
        self.cycle_charge_c += charge_c
        self.cycle_discharge_c += discharge_c
        self.total_charge_c += charge_c
        self.total_discharge_c += discharge_c

    def with_live(self, duration_s: float, charge_c: float, discharge_c: float) -> Registers:
        """What they would be if the step under way ended now."""
        live = Registers(**{f.name: getattr(self, f.name) for f in fields(self)})
        live.add(duration_s, charge_c, discharge_c)
        return live

    def complete_capacities(self) -> None:
        """A cycle's charge and discharge are complete: they become the last ones."""
        self.last_charge_c, self.last_discharge_c = self.cycle_charge_c, self.cycle_discharge_c
        if self.first_discharge_c is None and self.cycle_discharge_c > 0:
            self.first_discharge_c = self.cycle_discharge_c

    def next_cycle(self) -> None:
        self.cycle += 1
        self.cycle_time_s = self.cycle_charge_c = self.cycle_discharge_c = 0.0

    def value(self, name: str) -> float | None:
        """A register or counter by its name in the language; None where it has no value yet. Raises `KeyError`."""
        if name in self.counters:
            return self.counters[name]
        ratio = {
            "retention": (self.last_discharge_c, self.first_discharge_c),
            "efficiency": (self.last_discharge_c, self.last_charge_c),
        }.get(name)
        if ratio is not None:
            part, whole = ratio
            return None if part is None or not whole else part / whole
        known: dict[str, float | None] = {
            "cycle": self.cycle,
            "steps": self.steps,
            "total_time": self.total_time_s,
            "cycle_time": self.cycle_time_s,
            "charge_capacity": self.cycle_charge_c,
            "discharge_capacity": self.cycle_discharge_c,
            "total_charge": self.total_charge_c,
            "total_discharge": self.total_discharge_c,
            "net_capacity": self.total_charge_c - self.total_discharge_c,
            "last_charge_capacity": self.last_charge_c,
            "last_discharge_capacity": self.last_discharge_c,
            "first_discharge_capacity": self.first_discharge_c,
        }
        return known[name]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Registers:
        return Registers(**values)
