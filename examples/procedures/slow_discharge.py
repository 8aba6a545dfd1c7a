"""Discharge at ever smaller currents, and ask the operator in between whether it is worth going on.

A procedure of one's own: name this file in the daemon's configuration,

    [bridge]
    procedures = ["slow_discharge.py"]

and it is a command, a client call and a form as those that picobridge has:

    picobridge start slow-discharge first=100pA times=3
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from bridge.analysis.capacity import ChargeCounter, ah
from bridge.procedures.common import potentiostat_of, source_off_afterwards
from bridge.procedures.context import Context, Question
from bridge.procedures.description import Procedure, Role
from drivers.interfaces import Options, option
from drivers.techniques import Galvanostatic


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDischarge(Options):
    """Parameters: SI inside; people give text with units. Limits are held before `run` is called."""

    first_a: float = option(unit="A", above=0, at_most=1e-6, help="current of the first step")
    times: int = option(3, at_least=1, at_most=20, help="how many steps; each has half the current of the one before")
    voltage_min_v: float = option(2.0, unit="V", help="a step ends here")
    step_s: float = option(600.0, unit="s", above=0, help="or after this time")
    interval_s: float = option(0.1, unit="s", above=0, help="sampling interval")


async def run(context: Context, parameters: SlowDischarge) -> dict[str, Any]:
    p = parameters
    potentiostat = potentiostat_of(context)
    steps: list[dict[str, Any]] = list(context.saved.get("steps", []))  # of a run that this one goes on from
    async with source_off_afterwards(context, potentiostat):  # however it is left
        while len(steps) < p.times:
            await context.pause_point()
            current_a = p.first_a / 2 ** len(steps)
            context.progress(f"step {len(steps) + 1}", len(steps) / p.times, current_a=current_a)
            technique = Galvanostatic(
                current_a=-current_a,
                duration_s=p.step_s,
                interval_s=p.interval_s,
                voltage_min_v=p.voltage_min_v,
            )
            counter, end = ChargeCounter(p.interval_s, start_s=0.0), None
            async with aclosing(potentiostat.run(technique)) as blocks:
                async for block in blocks:
                    counter.add(block["time_s"], block["current_a"])
                    end = block.end
            if context.pausing:
                continue  # the step was cut short for a pause: it is done again
            steps.append({"current_a": current_a, "discharge_ah": ah(counter.charge.discharge_c), "end": end})
            await context.save(steps=steps)
            if len(steps) < p.times:
                answer = await context.ask(Question("Another step at half the current?", ("go on", "enough")))
                if answer.choice == "enough":
                    break
    return {
        "procedure": "slow-discharge",
        "steps": steps,
        "discharge_ah": sum(step["discharge_ah"] for step in steps),
        "method": "trapezoid of the current over the device's time, gaps not bridged",
    }


PROCEDURE = Procedure(
    name="slow-discharge",
    summary="discharge at ever smaller currents, as long as the operator likes",
    parameters=SlowDischarge,
    roles={"potentiostat": Role("potentiostat")},
    run=run,
    produces={"discharge_ah": "all steps together", "steps": "current, charge and end of each step"},
    pausable=True,
    resumable=True,
)
