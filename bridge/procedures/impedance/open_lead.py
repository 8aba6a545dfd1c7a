"""The procedure `open-lead`: what the lead itself has, so that it can be taken off a spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivers.interfaces import option

from ..context import Context
from ..description import POTENTIOSTAT_AND_ROUTES, Procedure
from .parameters import SweepOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOpenLead(SweepOptions):
    """Parameters: those of a sweep, over fewer frequencies: a capacitance is the same at all of them."""

    frequency_min_hz: float = option(0.1, unit="Hz", above=0.0, help="lowest frequency; the leakage shows there")
    points_per_decade: int = option(3, at_least=1, at_most=100, help="points a decade, both ends included")


async def _run(context: Context, parameters: MeasureOpenLead) -> dict[str, Any]:
    from .measuring import measure_open_lead  # scipy: not when the command line only lists its commands

    return await measure_open_lead(context, parameters)


PROCEDURE = Procedure(
    name="open-lead",
    summary="capacitance and leakage of a lead with nothing at its end, for spectra through the same route",
    parameters=MeasureOpenLead,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=_run,
    produces={
        "capacitance_f": "of the lead on this route, with its conductance and error",
        "reason": "the same in words",
    },
)
