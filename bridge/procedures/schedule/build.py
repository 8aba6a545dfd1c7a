"""Builds schedules for the procedures that are one: parameters that they share, conditions, and the result's shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bridge.analysis.capacity import COULOMB_PER_AH
from bridge.analysis.formatting import si
from drivers.errors import InvalidValue
from drivers.interfaces import Options, option

from ..common import DEFAULT_LATENCY_S
from ..context import Context
from .amounts import Amount
from .carry_out import carry_out
from .language import NEXT, Condition, Safety, Schedule, Step, Test, Then
from .voltages import ABOVE_V, BELOW_V


@dataclass(frozen=True, slots=True, kw_only=True)
class Common(Options):
    """What every one of these procedures is asked."""

    interval_s: float = option(1.0, unit="s", above=0.0, help="sampling interval")
    route: str = option("", help="route of the feedthrough to select first; none unless given")
    latency_s: float = option(
        DEFAULT_LATENCY_S, unit="s", at_least=0.0, help="from a sample to the source off, for the overshoot"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCell(Common):
    """What is known of the cell."""

    area_m2: float | None = option(None, unit="m**2", above=0.0, help="active area of the cell, such as 10 um2")
    reference_capacity_ah: float | None = option(
        None, unit="A*h", above=0.0, help="capacity that a C-rate refers to; nothing is assumed"
    )
    stray_f: float = option(0.0, unit="F", at_least=0.0, help="capacitance of the lead; its charge is told apart")
    tolerance: float = option(
        0.1, unit="1", above=0.0, help="the instrument's error and leak may be this share of the current"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WithCurrent(OfCell):
    """One of three says the current. Positive charges."""

    current_a: float | None = option(None, unit="A", help="current; positive charges, negative discharges")
    current_density_a_per_m2: float | None = option(None, unit="A/m**2", help="current by area, such as 50 uA/cm2")
    c_rate: float | None = option(None, unit="1", help="current by capacity: 1 is the reference capacity in an hour")

    @property
    def current(self) -> float:
        """In amperes, signed. Raises `InvalidValue` unless exactly one way gives one that is not zero."""
        ways = {
            "current_a": self.current_a,
            "current_density_a_per_m2": self.current_density_a_per_m2,
            "c_rate": self.c_rate,
        }
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            said = " and ".join(given) or "no current"
            raise InvalidValue(f"{said} given; exactly one of {', '.join(ways)} is accepted")
        if self.current_a is not None:
            current = self.current_a
        elif self.current_density_a_per_m2 is not None:
            if self.area_m2 is None:
                raise InvalidValue("current_density_a_per_m2 needs area_m2, such as '10 um2'")
            current = self.current_density_a_per_m2 * self.area_m2
        else:
            if self.reference_capacity_ah is None or self.c_rate is None:
                raise InvalidValue("c_rate needs reference_capacity_ah: a C-rate without a capacity is no current")
            current = self.c_rate * self.reference_capacity_ah
        if current == 0:
            raise InvalidValue(f"{given[0]} is 0; open-circuit and rest are the procedures without a current")
        return current


def charge_of(limit_c: float | None, limit_ah_per_m2: float | None, area_m2: float | None) -> float | None:
    """The charge limit in coulombs out of the two ways to give one. Raises `InvalidValue`."""
    if limit_c is not None and limit_ah_per_m2 is not None:
        raise InvalidValue("capacity_limit_c and capacity_limit_ah_per_m2 are both given; one of them is accepted")
    if limit_ah_per_m2 is None:
        return limit_c
    if area_m2 is None:
        raise InvalidValue("capacity_limit_ah_per_m2 needs area_m2, such as '10 um2'")
    return limit_ah_per_m2 * area_m2 * COULOMB_PER_AH


_UNITS = {"time": "s", "voltage": "V", "current": "A", "capacity": "C", "dv_dt": "V/s"}


def amount(value: float, unit: str) -> Amount:
    return Amount(value, False, si(value, unit, 4) if unit != "s" else f"{value:g} s")


def when(quantity: str, operator: str, value: float | None, then: Then = NEXT) -> list[Condition]:
    """A condition of one test; none where there is no value."""
    if value is None:
        return []
    return [Condition((Test(quantity, operator, amount(value, _UNITS[quantity])),), then)]


def schedule_of(
    name: str,
    steps: Iterable[Step],
    cell: OfCell | None = None,
    *,
    window_v: tuple[float | None, float | None] = (None, None),
    current_max_a: float | None = None,
) -> Schedule:
    """`window_v` are the procedure's own limits; the safety limits are a little beyond them."""
    low, high = window_v
    capacity_ah = None if cell is None else cell.reference_capacity_ah
    return Schedule(
        name=name,
        steps=tuple(steps),
        safety=Safety(
            voltage_min_v=None if low is None else low - BELOW_V,
            voltage_max_v=None if high is None else high + ABOVE_V,
            current_max=None if current_max_a is None else amount(current_max_a, "A"),
            step_time_s=1e9,
        ),
        area_m2=None if cell is None else cell.area_m2,
        capacity_c=None if capacity_ah is None else capacity_ah * COULOMB_PER_AH,
        stray_f=0.0 if cell is None else cell.stray_f,
    )


async def run_schedule(context: Context, schedule: Schedule, p: Common) -> dict[str, Any]:
    """The schedule's result under the procedure's name, without what only a written schedule has."""
    tolerance = p.tolerance if isinstance(p, OfCell) else 0.1
    result = await carry_out(
        context, schedule, schedule.name, route=p.route, tolerance=tolerance, latency_s=p.latency_s
    )
    for key in ("schedule", "counters", "parts", "cycles"):
        del result[key]
    del result["settings"]["text"]
    result["settings"]["interval_s"] = p.interval_s
    result["settings"]["route"] = p.route
    return result


def flattened(result: dict[str, Any]) -> dict[str, Any]:
    """A result of one step: what the step says beside what the run says."""
    (step,) = result["steps"]
    skipped = ("name", "kind", "cycle", "then", "number", "stopped")
    return {**result, **{key: value for key, value in step.items() if key not in skipped}}


def per_area(charge_ah: float, area_m2: float | None) -> float | None:
    return None if area_m2 is None else charge_ah / area_m2
