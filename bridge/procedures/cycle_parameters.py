"""What galvanostatic cycling is asked, and the current that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from bridge.analysis.capacity import COULOMB_PER_AH, ah
from bridge.analysis.corrected_capacity import Known
from bridge.analysis.energy_density import parse_layers
from bridge.analysis.formatting import area, si
from bridge.analysis.geometry import effective_area_m2
from drivers.errors import InvalidValue, Refused
from drivers.interfaces import Options, option

from .common import DEFAULT_LATENCY_S, choose, not_negative, positive
from .cycle_geometry import AreaEntry, parse_history, valid_at
from .planner.leads import worst

#: Above this an absolute current and an area hardly belong together: the field's highest is 1.25 mA/cm2 (12.5 A/m2).
_ODD_DENSITY_A_PER_M2 = 50.0

#: What 80 nm of silicon can hold as Li15Si4, 65.3 uAh/cm2: more than that is lithium plating, or leakage.
_ANODE_AH_PER_M2 = 0.653

CHARGE_MODES = ("cc", "cc-cv", "cv")

#: A constant voltage ends at this share of the current (domain note, section 3).
_TAPER_SHARE = 1.0 / 20.0

#: The stray capacitance is seldom known better than this.
_STRAY_DOUBT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle(Options):
    """Parameters of cycling. One of `current_a`, `current_density_a_per_m2` and `c_rate` says the current."""

    current_a: float | None = option(None, unit="A", help="current of both directions, unsigned")
    current_density_a_per_m2: float | None = option(None, unit="A/m**2", help="current by area, such as 50 uA/cm2")
    c_rate: float | None = option(None, unit="1", help="current by capacity: 1 is the reference capacity in an hour")
    area_m2: float | None = option(None, unit="m**2", help="active area of the cell, such as 10 um2")
    reference_capacity_ah: float | None = option(None, unit="A*h", help="capacity that the C-rate refers to")
    voltage_min_v: float = option(2.0, unit="V", help="discharge ends here")
    voltage_max_v: float = option(4.2, unit="V", help="charge ends here")
    capacity_limit_c: float | None = option(None, unit="C", help="a step ends at this charge, such as 1.25 pAh")
    capacity_limit_ah_per_m2: float | None = option(None, unit="A*h/m**2", help="the same by area")
    time_limit_s: float = option(172_800.0, unit="s", help="a step ends after this time")
    current_limit_a: float | None = option(None, unit="A", help="refused if the current comes out above this")
    rest_s: float = option(10.0, unit="s", help="rest after each step, with the cell disconnected")
    cycles: int = option(1, help="how many times charge and discharge")
    start_with: str = option("charge", help="charge or discharge")
    interval_s: float = option(0.1, unit="s", help="sampling interval")
    charge_mode: str = option(
        "cc",
        choices=CHARGE_MODES,
        help="cc: constant current; cc-cv: then voltage_max_v until the taper; cv: voltage_max_v from the start",
    )
    taper_current_a: float | None = option(
        None, unit="A", above=0, help="a constant voltage ends here; a twentieth of the current unless given"
    )
    cv_current_limit_a: float | None = option(
        None, unit="A", above=0, help="most that the source may give at constant voltage; its own limit unless given"
    )
    length_m: float | None = option(None, unit="m", above=0, help="length of the cross-section, instead of the area")
    width_m: float | None = option(None, unit="m", above=0, help="width of the cross-section, instead of the area")
    damage_depth_m: float = option(
        0.0, unit="m", at_least=0, help="dead layer that the ion beam left on each surface (up to 25 nm at 30 kV)"
    )
    area_history: str = option(
        "", help="areas by date, the latest counts: '2026-11-20 = 5 um x 2 um; 2026-11-21 = 4.6 um x 1.8 um'"
    )
    leads: str = option(
        "", help="leads in the circuit by name, such as feedthrough,manipulator: their floor is checked"
    )
    stack: str = option("", help="layers for the energy density: 'steel 10 um, LiCoO2 10 um, LiPON 1.8 um'")
    plating: bool = option(False, help="the anode is plated lithium: the charged stack is thicker")
    route: str = option("", help="route of the feedthrough to select first; none unless given")
    route_floor_a: float | None = option(None, unit="A", help="least current that the route passed its noise test at")
    tolerance: float = option(0.1, unit="1", help="the instrument's error and leak may be this share of the current")
    anode_capacity_ah_per_m2: float = option(
        _ANODE_AH_PER_M2, unit="A*h/m**2", help="what the anode can hold; more is noted (80 nm Si: 65 uAh/cm2)"
    )
    stray_f: float = option(
        0.0, unit="F", help="capacitance of the lead; its charge is taken off the cell's, beside raw"
    )
    stray_uncertainty_f: float | None = option(
        None, unit="F", at_least=0, help="standard uncertainty of stray_f; a fifth of it unless given"
    )
    leak_a: float = option(
        0.0, unit="A", help="leak that discharges the cell, by leak-or-trap; taken off the charge, beside raw"
    )
    leak_uncertainty_a: float | None = option(
        None, unit="A", at_least=0, help="what the leak check leaves open (95 %); without it no efficiency has digits"
    )
    resistance_delay_s: float = option(1.0, unit="s", above=0, help="from an edge to the voltage of its resistance")
    ask_after_short: bool = option(
        True, help="after a stop for a short ask the operator what next; false: the run fails, as a script wants it"
    )
    latency_s: float = option(DEFAULT_LATENCY_S, unit="s", help="from a sample to the source off, for the overshoot")

    def __post_init__(self) -> None:
        choose("start_with", self.start_with, ("charge", "discharge"))
        positive(
            current_a=self.current_a,
            current_density_a_per_m2=self.current_density_a_per_m2,
            c_rate=self.c_rate,
            area_m2=self.area_m2,
            reference_capacity_ah=self.reference_capacity_ah,
            capacity_limit_c=self.capacity_limit_c,
            capacity_limit_ah_per_m2=self.capacity_limit_ah_per_m2,
            time_limit_s=self.time_limit_s,
            current_limit_a=self.current_limit_a,
            interval_s=self.interval_s,
            route_floor_a=self.route_floor_a,
            tolerance=self.tolerance,
            anode_capacity_ah_per_m2=self.anode_capacity_ah_per_m2,
        )
        not_negative(rest_s=self.rest_s, latency_s=self.latency_s, stray_f=self.stray_f)
        if self.cycles < 1:
            raise InvalidValue(f"cycles is {self.cycles}; at least 1 is accepted")
        if self.voltage_min_v >= self.voltage_max_v:
            raise InvalidValue(
                f"voltage_min_v is {self.voltage_min_v:g} V, not below voltage_max_v, {self.voltage_max_v:g} V"
            )
        self._check_area()
        self._check_current()
        if self.leads:
            worst(self.lead_names)
        if self.stack:
            parse_layers(self.stack)
        if self.capacity_limit_c is not None and self.capacity_limit_ah_per_m2 is not None:
            raise InvalidValue("capacity_limit_c and capacity_limit_ah_per_m2 are both given; one of them is accepted")
        if self.capacity_limit_ah_per_m2 is not None and not self._has_area:
            raise InvalidValue("capacity_limit_ah_per_m2 needs area_m2, such as '10 um2'")

    @property
    def _has_area(self) -> bool:
        return self.area_m2 is not None or self.length_m is not None or bool(self.area_history)

    @property
    def lead_names(self) -> list[str]:
        return [name.strip() for name in self.leads.split(",") if name.strip()]

    def _check_area(self) -> None:
        if (self.length_m is None) != (self.width_m is None):
            raise InvalidValue("length_m and width_m belong together: give both, such as '5 um' and '2 um', or area_m2")
        ways = {"area_m2": self.area_m2, "length_m and width_m": self.length_m, "area_history": self.area_history}
        given = [name for name, value in ways.items() if value]
        if len(given) > 1:
            raise InvalidValue(f"{' and '.join(given)} given; one of {', '.join(ways)} is accepted")
        if self.length_m is not None and self.width_m is not None:
            effective_area_m2(self.length_m, self.width_m, self.damage_depth_m)
        if self.area_history:
            parse_history(self.area_history, self.damage_depth_m)

    def areas(self) -> tuple[AreaEntry, ...]:
        """What was said of the area, by date; empty if nothing was."""
        if self.area_history:
            return parse_history(self.area_history, self.damage_depth_m)
        if self.length_m is not None and self.width_m is not None:
            return (AreaEntry(0, effective_area_m2(self.length_m, self.width_m, self.damage_depth_m)),)
        return () if self.area_m2 is None else (AreaEntry(0, self.area_m2),)

    def at(self, now_ns: int) -> Cycle:
        """These parameters with the area that is valid at `now_ns` as `area_m2`. Raises `InvalidValue` if none is."""
        areas = self.areas()
        if not areas:
            return self
        entry = valid_at(areas, now_ns)
        return replace(self, area_m2=entry.area_m2, length_m=None, width_m=None, area_history="")

    def cut_again(self, area_m2: float | None, current_a: float | None) -> Cycle:
        """After the cross-section was cleaned again: what goes by area follows by itself, the rest is scaled."""
        changed: dict[str, Any] = {}
        if self.current_a is not None and current_a is not None:
            changed["current_a"] = current_a
        if area_m2 is not None:
            changed["area_m2"] = area_m2
            if self.area_m2 is not None:
                share = area_m2 / self.area_m2
                for name in ("reference_capacity_ah", "capacity_limit_c"):
                    if getattr(self, name) is not None:
                        changed[name] = getattr(self, name) * share
        return replace(self, **changed)

    @property
    def taper_a(self) -> float:
        return self.taper_current_a if self.taper_current_a is not None else _TAPER_SHARE * self.current

    @property
    def known(self) -> Known:
        """Of lead and leak, for the corrected capacity."""
        doubt = self.stray_uncertainty_f if self.stray_uncertainty_f is not None else _STRAY_DOUBT * self.stray_f
        return Known(
            stray_f=self.stray_f,
            stray_uncertainty_f=doubt,
            leak_a=self.leak_a,
            leak_uncertainty_a=self.leak_uncertainty_a,
        )

    def _check_current(self) -> None:
        ways = {
            "current_a": self.current_a,
            "current_density_a_per_m2": self.current_density_a_per_m2,
            "c_rate": self.c_rate,
        }
        given = [name for name, value in ways.items() if value is not None]
        if self.current_density_a_per_m2 is not None and not self._has_area:
            raise InvalidValue("current_density_a_per_m2 needs area_m2, such as '10 um2'")
        if self.c_rate is not None and self.reference_capacity_ah is None:
            raise InvalidValue("c_rate needs reference_capacity_ah: a C-rate without a capacity is no current")
        if len(given) == 1:
            return
        message = (
            f"{' and '.join(given) if given else 'no current'} given; exactly one of {', '.join(ways)} is accepted"
        )
        if self.current_a is not None and self.current_density_a_per_m2 is not None and self.area_m2 is not None:
            by_density = self.current_density_a_per_m2 * self.area_m2
            message += (
                f"; {si(self.current_density_a_per_m2, 'A/m2')} on {area(self.area_m2)} is {si(by_density, 'A')}, "
                f"{self.current_a / by_density:.3g} times less than current_a"
                if self.current_a > by_density
                else f"; the density and the area make {si(by_density, 'A')}"
            )
        raise InvalidValue(message)

    @property
    def current(self) -> float:
        """The current in amperes, unsigned."""
        if self.current_a is not None:
            return self.current_a
        if self.current_density_a_per_m2 is not None and self.area_m2 is not None:
            return self.current_density_a_per_m2 * self.area_m2
        if self.c_rate is None or self.reference_capacity_ah is None:
            raise InvalidValue("no current is given")
        return self.c_rate * self.reference_capacity_ah

    @property
    def charge_limit_c(self) -> float | None:
        if self.capacity_limit_ah_per_m2 is not None and self.area_m2 is not None:
            return self.capacity_limit_ah_per_m2 * self.area_m2 * COULOMB_PER_AH
        return self.capacity_limit_c

    def per_area(self, value: float | None) -> float | None:
        return None if value is None or self.area_m2 is None else value / self.area_m2

    def describe(self) -> dict[str, Any]:
        """What was asked and what follows, for the result."""
        return {
            "current_a": self.current,
            "current_density_a_per_m2": self.per_area(self.current),
            "area_m2": self.area_m2,
            "c_rate": self.c_rate,
            "reference_capacity_ah": self.reference_capacity_ah,
            "voltage_window_v": [self.voltage_min_v, self.voltage_max_v],
            "capacity_limit_c": self.charge_limit_c,
            "time_limit_s": self.time_limit_s,
            "rest_s": self.rest_s,
            "cycles_asked": self.cycles,
            "start_with": self.start_with,
            "interval_s": self.interval_s,
            "charge_mode": self.charge_mode,
            "taper_current_a": None if self.charge_mode == "cc" else self.taper_a,
            "stray_f": self.stray_f,
            "leak_a": self.leak_a,
            "leak_uncertainty_a": self.leak_uncertainty_a,
            "route": self.route,
        }


def check_plan(p: Cycle) -> list[str]:
    """What a person should know of the plan. Raises `Refused` where it cannot work, with the numbers and a remedy."""
    current = p.current
    if p.current_limit_a is not None and current > p.current_limit_a:
        raise Refused(
            f"the current comes out as {si(current, 'A')}, above current_limit_a, {si(p.current_limit_a, 'A')}",
            hint="Check the area and the density, or raise the limit.",
        )
    if p.route_floor_a is not None and current < p.route_floor_a:
        raise Refused(
            f"{si(current, 'A')} is below what the route {p.route or '(not named)'} is quiet enough for, "
            f"{si(p.route_floor_a, 'A')}",
            hint=_floor_remedy(p),
        )
    notes = []
    density = p.per_area(current)
    if density is not None and density > _ODD_DENSITY_A_PER_M2:
        notes.append(
            f"{si(current, 'A')} on {area(p.area_m2 or math.nan)} is {si(density, 'A/m2')}; thin-film cells are cycled "
            "at tens of uA/cm2 to a few mA/cm2: check the area and the current"
        )
    limit = p.per_area(p.charge_limit_c)
    if limit is not None and ah(limit) > p.anode_capacity_ah_per_m2:
        notes.append(over_anode(ah(limit), p.anode_capacity_ah_per_m2, "the capacity limit"))
    return notes


def over_anode(charge_ah_per_m2: float, anode_ah_per_m2: float, what: str) -> str:
    return (
        f"{what} of {si(charge_ah_per_m2, 'Ah/m2')} is more than the anode's {si(anode_ah_per_m2, 'Ah/m2')} "
        f"(N/P {anode_ah_per_m2 / charge_ah_per_m2:.2f}): lithium plates, some of the charge is leakage, or the cell "
        "is not the nominal one"
    )


def _floor_remedy(p: Cycle) -> str:
    density = p.per_area(p.current)
    if density is None or p.route_floor_a is None:
        return "Use a quieter route or a larger current."
    return (
        f"At {si(density, 'A/m2')} an area of {area(p.route_floor_a / density)} or more makes enough current; "
        "or use a quieter route."
    )
