"""Galvanostatic intermittent titration: pulses and rests; relaxed voltages, resistance, diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.analysis.capacity import ah
from bridge.analysis.pulse import diffusion_time
from drivers.errors import InvalidValue
from drivers.interfaces import option

from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .schedule.build import WithCurrent, amount, run_schedule, schedule_of, when
from .schedule.language import Loop, OpenCircuit, Pulse, Then

_METHOD = {
    "resistance_ohm": "change of voltage at the pulse's edge after the delay, over the current; the voltage before is "
    "carried on as a straight line",
    "slope_v_per_sqrt_s": "least squares of the voltage in the pulse against the square root of time, its first tenth "
    "left out",
    "diffusion_time_s": "L^2/D = pi tau/4 (dEt/dEs)^2, Weppner and Huggins 1977; holds for a pulse much shorter than "
    "it and a small change of voltage",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Titrate(WithCurrent):
    """Parameters of GITT."""

    pulse_s: float = option(600.0, unit="s", above=0.0, help="length of a pulse")
    rest_s: float = option(3600.0, unit="s", above=0.0, help="rest after each pulse, at most")
    dv_dt_v_per_s: float | None = option(
        None, unit="V/s", above=0.0, help="a rest ends earlier once |dV/dt| is below this, such as 1 mV/h"
    )
    dv_dt_window_s: float = option(60.0, unit="s", above=0.0, help="stretch over which that slope is fitted")
    before_s: float = option(20.0, unit="s", above=0.0, help="open circuit just before a pulse, for its baseline")
    pulses: int = option(20, at_least=1, help="so many pulses at most")
    voltage_min_v: float = option(2.0, unit="V", help="a discharging pulse and the titration end here")
    voltage_max_v: float = option(4.2, unit="V", help="a charging pulse and the titration end here")
    delay_s: float = option(1.0, unit="s", above=0.0, help="delay after the edge at which the resistance is taken")
    thickness_m: float | None = option(
        None, unit="m", above=0.0, help="thickness of the electrode that diffusion is in; gives D besides L^2/D"
    )

    def __post_init__(self) -> None:
        _ = self.current
        if self.delay_s < self.interval_s or self.delay_s > self.pulse_s:
            raise InvalidValue(
                f"delay_s is {self.delay_s:g} s; from interval_s, {self.interval_s:g} s, to pulse_s, "
                f"{self.pulse_s:g} s, is accepted: it needs samples before and after it"
            )


async def run(context: Context, p: Titrate) -> dict[str, Any]:
    """A row for each pulse."""
    current = p.current
    over = when(
        "voltage",
        ">=" if current > 0 else "<=",
        p.voltage_max_v if current > 0 else p.voltage_min_v,
        Then("stop"),
    )
    pulse = Pulse(
        name="pulse",
        number=1,
        interval_s=p.interval_s,
        until=tuple(over),
        current=amount(current, "A"),
        duration_s=p.pulse_s,
        before_s=p.before_s,
        after_s=0.0,
        delays_s=(p.delay_s,),
    )
    relax = OpenCircuit(
        name="relax",
        number=2,
        interval_s=p.interval_s,
        dv_dt_window_s=p.dv_dt_window_s,
        until=(*when("dv_dt", "<", p.dv_dt_v_per_s), *when("time", ">=", p.rest_s)),
    )
    again = Loop(name="again", number=3, to="pulse", times=p.pulses, counts_cycles=True)
    schedule = schedule_of("gitt", [pulse, relax, again], p, window_v=(p.voltage_min_v, p.voltage_max_v))
    result = await run_schedule(context, schedule, p)
    rows = titration(result["steps"], p.pulse_s, p.thickness_m)
    return {
        **result,
        "current_a": current,
        "pulse_s": p.pulse_s,
        "delay_s": p.delay_s,
        "thickness_m": p.thickness_m,
        "pulses": rows,
        "method": {**result["method"], **_METHOD},
    }


def titration(steps: list[dict[str, Any]], pulse_s: float, thickness_m: float | None) -> list[dict[str, Any]]:
    """One row for each pulse, out of the records of pulses and rests in turn."""
    rows: list[dict[str, Any]] = []
    passed_c = 0.0
    for place, record in enumerate(steps):
        if record["kind"] != "pulse":
            continue
        passed_c += (record["charge_ah"] - record["discharge_ah"]) * 3600
        relax = steps[place + 1] if place + 1 < len(steps) and steps[place + 1]["kind"] == "open_circuit" else None
        at = record["resistances"][0] if record["resistances"] else None
        before, relaxed = record["voltage_before_v"], None if relax is None else relax["voltage_end_v"]
        rows.append(
            {
                "pulse": len(rows) + 1,
                "charge_before_ah": ah(passed_c) - record["charge_ah"] + record["discharge_ah"],
                "charge_after_ah": ah(passed_c),
                "voltage_before_v": before,
                "voltage_end_v": record["voltage_end_v"],
                "voltage_relaxed_v": relaxed,
                "relaxed_slope_v_per_s": None if relax is None else relax["dv_dt_v_per_s"],
                "resistance_ohm": None if at is None else at["resistance_ohm"],
                "resistance_uncertainty_ohm": None if at is None else at["uncertainty_ohm"],
                "resistance_valid": at is not None and at["valid"],
                **_diffusion(record, before, relaxed, at, pulse_s, thickness_m),
            }
        )
    return rows


def _diffusion(
    record: dict[str, Any],
    before: float | None,
    relaxed: float | None,
    at: dict[str, Any] | None,
    pulse_s: float,
    thickness_m: float | None,
) -> dict[str, Any]:
    slope = record["diffusion"]
    time_s = None
    if None not in (before, relaxed, record["voltage_end_v"]) and at is not None and at["resistance_ohm"] is not None:
        assert before is not None
        assert relaxed is not None
        within = record["voltage_end_v"] - before - at["resistance_ohm"] * record["current_a"]
        time_s = diffusion_time(pulse_s, relaxed - before, within)
    return {
        "slope_v_per_sqrt_s": None if slope is None else slope["slope_v_per_sqrt_s"],
        "slope_r2": None if slope is None else slope["r2"],
        "diffusion_time_s": time_s,
        "pulse_much_shorter": None if time_s is None else pulse_s < 0.1 * time_s,
        "diffusion_m2_per_s": None if not time_s or thickness_m is None else thickness_m**2 / time_s,
    }


PROCEDURE = Procedure(
    name="gitt",
    summary="titration by pulses and rests: relaxed voltages, resistance and diffusion along the charge",
    parameters=Titrate,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "pulses": "for each pulse: charge, relaxed voltage, resistance at the delay, slope against sqrt(t), L^2/D",
        "end": "what ended it",
    },
    pausable=True,
    resumable=True,
)
