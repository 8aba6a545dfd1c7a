"""A schedule in TOML as a procedure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.analysis.capacity import COULOMB_PER_AH
from drivers.errors import InvalidValue
from drivers.interfaces import Options, option

from ..common import DEFAULT_LATENCY_S
from ..context import Context
from ..description import POTENTIOSTAT_AND_ROUTES, Procedure
from .carry_out import carry_out
from .language import Schedule
from .parse import parse, refuse
from .validate import check


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSchedule(Options):
    """Parameters of a schedule's run. The area and the capacity, if given, replace the schedule's own."""

    schedule: str = option(help="the schedule, as TOML text (docs/schedules.md); on the command line a file", file=True)
    area_m2: float | None = option(None, unit="m**2", above=0.0, help="active area, instead of the schedule's")
    capacity_ah: float | None = option(
        None, unit="A*h", above=0.0, help="what C-rates refer to, instead of the schedule's"
    )
    route: str = option("", help="route of the feedthrough to select first; none unless given")
    tolerance: float = option(
        0.1, unit="1", above=0.0, help="the instrument's error and leak may be this share of a set current"
    )
    latency_s: float = option(
        DEFAULT_LATENCY_S, unit="s", at_least=0.0, help="from a sample to the source off, for the overshoot"
    )

    def __post_init__(self) -> None:
        self.parsed()

    def parsed(self) -> Schedule:
        """Raises `InvalidValue` with everything that is wrong with the schedule."""
        if "\n" not in self.schedule and self.schedule.strip().endswith(".toml"):
            raise InvalidValue(
                f"schedule is {self.schedule!r}, the name of a file; the text in it is accepted",
                hint="A script reads the file itself: {'schedule': Path(name).read_text()}.",
            )
        capacity_c = None if self.capacity_ah is None else self.capacity_ah * COULOMB_PER_AH
        schedule = parse(self.schedule, area_m2=self.area_m2, capacity_c=capacity_c)
        refuse("schedule", check(schedule))
        return schedule


async def run(context: Context, parameters: RunSchedule) -> dict[str, Any]:
    """See `carry_out`."""
    return await carry_out(
        context,
        parameters.parsed(),
        "schedule",
        route=parameters.route,
        tolerance=parameters.tolerance,
        latency_s=parameters.latency_s,
    )


PROCEDURE = Procedure(
    name="schedule",
    summary="run a schedule of steps, limits and loops from a TOML file",
    parameters=RunSchedule,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "completed": "whether the schedule came to its end",
        "steps": "each step: why it ended, duration, charge, energy, voltages",
        "cycles": "each cycle: charge, discharge, efficiencies, retention",
        "estimate": "what was expected before it started",
    },
    pausable=True,
    resumable=True,
)
