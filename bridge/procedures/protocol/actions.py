"""What picobridge does itself in the protocol, with the devices of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from bridge.analysis.formatting import area, si
from drivers.errors import Refused
from drivers.interfaces import Gauge, Manipulator, Stage

from ..context import Context, Question
from .ledger import CrossSection

if TYPE_CHECKING:
    from .protocol import NanobatteryProtocol

#: 1e-5 mbar (domain note 1.2).
VACUUM_PA = 1e-3

#: So many good readings in a row.
_READINGS = 3

_STILL, _FREE = "still in contact", "the tip is free"
_READING_S = 1.0


class Unable(Exception):
    """The device for it is not in this run, or cannot: the operator is asked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action found: `good` decides whether the protocol goes on by itself. `part` is a procedure's result."""

    good: bool
    text: str
    values: Mapping[str, Any]
    part: dict[str, Any] | None = None


class Action(Protocol):
    async def __call__(self) -> Outcome: ...


class Actions:
    """The actions by the names that `recipe.Step.action` uses. `area` is the cross-section at this moment."""

    def __init__(self, context: Context, p: NanobatteryProtocol) -> None:
        self._context = context
        self._p = p
        self.area = CrossSection(0, p.length_m, p.width_m, 0.0, "planned")
        self.contact_made = False

    def named(self, name: str) -> Action:
        return cast(Action, getattr(self, name))

    @property
    def current_a(self) -> float:
        """At the planned density, on the area as it is now."""
        return self._p.current_density_a_per_m2 * self.area.area_m2

    async def plan(self) -> Outcome:
        p = self._p
        values = {
            "current_density_a_per_m2": p.current_density_a_per_m2,
            "area_m2": self.area.area_m2,
            "capacity_ah_per_m2": p.capacity_limit_ah_per_m2,
            "voltage_min_v": p.voltage_min_v,
            "voltage_max_v": p.voltage_max_v,
            "leads": p.leads,
        }
        result = await self._context.perform("plan", values)
        return Outcome(result["verdict"] == "go", f"{result['verdict']}: {result['reason']}", {}, result)

    async def noise_cathode(self) -> Outcome:
        return await self._noise(self._p.cathode_route)

    async def noise_loop(self) -> Outcome:
        return await self._noise(self._p.loop_route)

    async def _noise(self, route: str) -> Outcome:
        p = self._p
        values = {
            "current_a": self.current_a,
            "route": route if self._context.has("feedthrough") else "",
            "duration_s": p.noise_s,
            "settle_s": p.noise_settle_s,
        }
        result = await self._context.perform("noise-test", values)
        return Outcome(result["verdict"] == "pass", f"{result['verdict']}: {result['reason']}", {}, result)

    async def vacuum(self) -> Outcome:
        """Good, fresh readings in a row; underrange is no reading."""
        if not self._context.has("gauge"):
            raise Unable
        gauge = cast(Gauge, self._context.device("gauge"))
        readings = []
        for number in range(_READINGS):
            if number:
                await gauge.clock.sleep(_READING_S)
            reading = await gauge.pressure()
            readings.append({"pressure_pa": reading.pressure_pa if reading.valid else None, "status": reading.status})
            if not (reading.valid and reading.pressure_pa <= VACUUM_PA):
                seen = si(reading.pressure_pa, "Pa") if reading.valid else f"no valid reading ({reading.status})"
                return Outcome(False, f"{seen}; {si(VACUUM_PA, 'Pa')} or less is needed", {"readings": readings})
        return Outcome(True, f"{_READINGS} readings of at most {si(VACUUM_PA, 'Pa')}", {"readings": readings})

    async def tilt_52(self) -> Outcome:
        return await self._tilt(52.0)

    async def tilt_0(self) -> Outcome:
        return await self._tilt(0.0)

    async def _tilt(self, tilt_deg: float) -> Outcome:
        stage = self._free_stage()
        reached = await stage.move_to(tilt_deg=tilt_deg)
        return Outcome(True, f"tilt is {reached.tilt_deg:g} deg", {"tilt_deg": reached.tilt_deg})

    async def rotate(self) -> Outcome:
        return await self._rotate(180.0)

    async def rotate_back(self) -> Outcome:
        return await self._rotate(-180.0)

    async def _rotate(self, by_deg: float) -> Outcome:
        stage = self._free_stage()
        reached = await stage.move_by(rotation_deg=by_deg)
        return Outcome(True, f"rotation is {reached.rotation_deg:g} deg", {"rotation_deg": reached.rotation_deg})

    def _free_stage(self) -> Stage:
        """The stage, if nothing holds the sample. Raises `Refused`, `Unable`."""
        if self.contact_made:
            raise Refused(
                "the tip is in contact with the cell or its grid: a move of the stage would break both",
                hint="Cut the tip free and draw it back, then say so.",
            )
        if not self._context.has("stage"):
            raise Unable
        return cast(Stage, self._context.device("stage"))

    async def park(self) -> Outcome:
        if not self._context.has("manipulator"):
            raise Unable
        manipulator = cast(Manipulator, self._context.device("manipulator"))
        if not manipulator.capabilities.can_insert:
            raise Unable
        position = await manipulator.insert()
        return Outcome(True, f"at park, z = {si(position.z_m, 'm')}", {"z_m": position.z_m})

    async def contact(self) -> Outcome:
        if not self._context.has("manipulator"):
            raise Unable
        if self.contact_made:  # as after a second cleaning: an approach would push a welded tip through the cell
            answer = await self._context.ask(
                Question(
                    "The tip was in contact with the cell. Is it still? Nothing is moved then.",
                    choices=(_STILL, _FREE),
                    details={"step": 28},
                )
            )
            self.contact_made = answer.choice == _STILL
            if self.contact_made:
                return Outcome(True, f"still in contact, says {answer.by}; nothing was moved", {})
        values = {
            "route": self._p.cell_route if self._context.has("feedthrough") else "",
            "threshold_v": self._p.contact_threshold_v,
            "max_travel_m": self._p.contact_travel_m,
        }
        result = await self._context.perform("make-contact", values)
        self.contact_made = result["verdict"] == "contact"
        return Outcome(self.contact_made, str(result["verdict"]), {"ocv_v": result["ocv_v"]}, result)

    async def short_test(self) -> Outcome:
        values = {
            "current_density_a_per_m2": self._p.current_density_a_per_m2,
            "area_m2": self.area.area_m2,
            "route": self._p.cell_route if self._context.has("feedthrough") else "",
        }
        result = await self._context.perform("short-test", values)
        return Outcome(result["verdict"] == "no short", f"{result['verdict']}: {result['reason']}", {}, result)

    async def cycle(self) -> Outcome:
        p = self._p
        values = {
            "current_density_a_per_m2": p.current_density_a_per_m2,
            "area_m2": self.area.area_m2,
            "capacity_limit_ah_per_m2": p.capacity_limit_ah_per_m2,
            "voltage_min_v": p.voltage_min_v,
            "voltage_max_v": p.voltage_max_v,
            "cycles": p.cycles,
            "rest_s": p.rest_s,
            "interval_s": p.interval_s,
            "route": p.cell_route if self._context.has("feedthrough") else "",
            "ask_after_short": False,  # the way back is the protocol's: it measures the new cross-section
        }
        # a title for each cross-section: what another one had saved is not this one's
        result = await self._context.perform("cycle", values, title=f"cycle on {area(self.area.area_m2)}")
        return Outcome(bool(result["completed"]), "completed" if result["completed"] else "stopped", {}, result)
