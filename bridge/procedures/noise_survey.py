"""The noise test over every route in turn, compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bridge.analysis.noise_advice import compare
from drivers.errors import InvalidValue
from drivers.interfaces import Options, option
from drivers.quantities import quantity

from .common import check_route, instrument, potentiostat_of
from .context import Context
from .description import Procedure, Role
from .noise_test import NoiseTest


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSurvey(Options):
    """Parameters. Those of the noise test hold for every route."""

    routes: str = option(
        "feedthrough=1pA, manipulator-ground=10pA",
        help="routes with the current of each, such as feedthrough=1pA, stage-ground=1pA",
    )
    duration_s: float = option(300.0, unit="s", above=0, help="time that is judged on each route, after settling")
    settle_s: float = option(60.0, unit="s", at_least=0, help="time that is discarded at the start")
    interval_s: float = option(0.1, unit="s", above=0, help="sampling interval")
    criterion: str = option("bounded", help="seed, bounded or strict", choices=("seed", "bounded", "strict"))
    mains_hz: float = option(50.0, unit="Hz", above=0, help="frequency of the local mains")

    def __post_init__(self) -> None:
        self.currents()

    def currents(self) -> dict[str, float]:
        """Current (A) by route, in the order given. Raises `InvalidValue`."""
        currents: dict[str, float] = {}
        for entry in self.routes.split(","):
            route, found, text = entry.strip().partition("=")
            if not route or not found:
                raise InvalidValue(f"routes has {entry.strip()!r}; accepted: ROUTE=CURRENT, such as feedthrough=1pA")
            if route in currents:
                raise InvalidValue(f"routes has {route!r} twice")
            currents[route] = quantity(text, "A", field=f"the current of {route}")
        return currents


async def run(context: Context, parameters: NoiseSurvey) -> dict[str, Any]:
    """One noise test a route. All routes are checked before the first is closed."""
    currents = parameters.currents()
    for route in currents:
        check_route(context, route)
    results = {}
    for route, current_a in currents.items():
        test = NoiseTest(
            current_a=current_a,
            route=route,
            duration_s=parameters.duration_s,
            settle_s=parameters.settle_s,
            interval_s=parameters.interval_s,
            criterion=parameters.criterion,
            mains_hz=parameters.mains_hz,
            burst="always",  # a route is compared with the others by its mains, whether it passes or not
        )
        results[route] = await context.perform("noise-test", asdict(test), title=f"through {route}")
    verdicts = {str(result["verdict"]) for result in results.values()}
    worst = next(v for v in ("fail", "inconclusive", "pass") if v in verdicts)
    quiet = [route for route, result in results.items() if result["verdict"] == "pass"]
    return {
        "procedure": "noise-survey",
        "verdict": worst,
        "reason": f"quiet enough: {', '.join(quiet) or 'no route'}; "
        f"not: {', '.join(route for route in results if route not in quiet) or 'none'}",
        "comparison": [_row(route, result) for route, result in results.items()],
        "advice": [asdict(one) for one in compare({route: _mains(result) for route, result in results.items()})],
        "instrument": instrument(potentiostat_of(context)),
        "parts": [
            {"procedure": "noise-test", "title": f"through {route}", "result": result}
            for route, result in results.items()
        ],
    }


def _row(route: str, result: dict[str, Any]) -> dict[str, Any]:
    names = ("set_current_a", "verdict", "decided_by", "mean_a", "std_a", "std_upper_a", "drift_over_test_a")
    mains = {f"{frequency_hz:g} Hz": amplitude for frequency_hz, amplitude in _mains(result).items()}
    overloaded = bool(result["burst"] and result["burst"]["overloaded"])
    return {"route": route, **{name: result[name] for name in names}, "mains_a_rms": mains, "beyond_range": overloaded}


def _mains(result: dict[str, Any]) -> dict[float, float]:
    """What was found of the mains on a route, A rms by frequency: from the burst where there was one."""
    lines = (result["burst"] or result["spectrum"])["lines"]
    return {line["frequency_hz"]: line["amplitude_a_rms"] for line in lines if line["found"]}


PROCEDURE = Procedure(
    name="noise-survey",
    summary="the noise test over every route in turn, with a comparison and advice",
    parameters=NoiseSurvey,
    roles={"potentiostat": Role("potentiostat"), "feedthrough": Role("feedthrough")},
    run=run,
    produces={
        "verdict": "the worst of the routes' verdicts",
        "comparison": "each route with its current, verdict, mean, standard deviation, drift and mains",
        "advice": "what the routes together show",
        "parts": "the noise test of each route, whole",
    },
)
