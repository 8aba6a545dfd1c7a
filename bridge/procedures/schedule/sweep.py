"""Runs a cyclic voltammetry, and gets charges and peaks out of its sweeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import numpy as np

from bridge.analysis.capacity import ah, integrate
from bridge.analysis.voltammetry import SweepCharge, sweeps
from drivers import techniques
from drivers.errors import RunFailed
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason, SampleBlock
from drivers.uninterrupted import to_the_end

from ..common import range_label
from ..context import Context
from .language import Sweep, Then
from .measure import Conditions
from .registers import Registers
from .step_state import StepResult, StepState

#: The open-circuit voltage at which a sweep begins is looked at for so long.
_LOOK_S = 2.0


async def run_sweep(
    context: Context,
    potentiostat: Potentiostat,
    step: Sweep,
    registers: Registers,
    *,
    conditions: Conditions,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> StepResult:
    """A sweep that a pause has cut is done again from its beginning. Raises `RunFailed` above the current limit: what
    was cut by it is no voltammogram."""
    while True:
        begin_v = step.begin_v
        if begin_v is None:
            begin_v = await _rest_potential(potentiostat)
        technique = techniques.CyclicVoltammetry(
            begin_v=begin_v,
            vertex1_v=step.vertex1_v,
            vertex2_v=step.vertex2_v,
            rate_v_per_s=step.rate_v_per_s,
            step_v=step.step_v,
            cycles=step.cycles,
            current_limit_a=step.current_limit.si(conditions.reference_c),
        )
        record = await _record(potentiostat, technique, progress)
        if record.end is EndReason.STOPPED and context.pausing:
            await context.pause_point()
            context.note(f"step {step.name!r}: the pause has cut the sweep; it is done again from its beginning")
            continue
        if record.end in (EndReason.CURRENT_LIMIT, EndReason.OVERLOAD):
            worst = float(np.nanmax(np.abs(record["current_a"]))) if len(record) else math.nan
            raise RunFailed(
                f"step {step.name!r}: the sweep was ended by {record.end.value} at {worst:.4g} A; the cell is "
                "disconnected",
                device=potentiostat.name,
                hint="Raise current_limit, sweep more slowly, or look at the contact.",
            )
        return _result(step, record, technique, registers, stopped=record.end is EndReason.STOPPED)


async def _rest_potential(potentiostat: Potentiostat) -> float:
    rest = await potentiostat.collect(techniques.OpenCircuit(duration_s=_LOOK_S, interval_s=_LOOK_S / 10))
    voltage = rest["voltage_v"][np.isfinite(rest["voltage_v"])]
    if not len(voltage):
        raise RunFailed(
            "the open-circuit voltage at which the sweep would begin could not be read",
            device=potentiostat.name,
            hint="Look at the contact, or give begin.",
        )
    return float(np.median(voltage[-5:]))


async def _record(
    potentiostat: Potentiostat,
    technique: techniques.CyclicVoltammetry,
    progress: Callable[[dict[str, Any]], None] | None,
) -> SampleBlock:
    blocks: list[SampleBlock] = []
    async with aclosing(potentiostat.run(technique)) as run:
        async for block in run:
            blocks.append(block)
            if progress is not None and len(block):
                progress(
                    {
                        name: float(block[name][-1])
                        for name in ("voltage_v", "current_a")
                        if np.isfinite(block[name][-1])
                    }
                )
    await to_the_end(potentiostat.cell_off())
    return SampleBlock.concatenate(blocks)


def _result(
    step: Sweep, record: SampleBlock, technique: techniques.CyclicVoltammetry, registers: Registers, *, stopped: bool
) -> StepResult:
    time, voltage, current = record["time_s"], record["voltage_v"], record["current_a"]
    period_s = technique.step_v / technique.rate_v_per_s
    legs = sweeps(
        time,
        voltage,
        current,
        begin_v=technique.begin_v,
        vertex1_v=technique.vertex1_v,
        vertex2_v=technique.vertex2_v,
        rate_v_per_s=technique.rate_v_per_s,
        cycles=technique.cycles,
        period_s=period_s,
    )
    state = StepState(phase="sweep", start_time_ns=record.start_time_ns, range=range_label(record.attributes))
    state.time_s = float(time[-1]) if len(time) else 0.0
    state.samples = len(record)
    state.charge_c = math.fsum(leg.charge_c for leg in legs)
    state.discharge_c = math.fsum(leg.discharge_c for leg in legs)
    energy = integrate(time, voltage * current, period_s=period_s, start_s=0.0)
    state.energy_in_j, state.energy_out_j = energy.charge_c, energy.discharge_c
    known = voltage[np.isfinite(voltage)]
    if len(known):
        state.see_voltage(float(known[0]), float(known[-1]), float(known.min()), float(known.max()))
    flowing = current[np.isfinite(current)]
    if len(flowing):
        state.current_end_a, state.current_max_a = float(flowing[-1]), float(np.abs(flowing).max())
    return StepResult(
        name=step.name,
        kind=step.kind,
        cycle=registers.cycle,
        end="stopped" if stopped else "all sweeps done",
        then=Then("stop") if stopped else Then(),
        state=state,
        stopped=stopped,
        measured={
            "begin_v": technique.begin_v,
            "vertices_v": [technique.vertex1_v, technique.vertex2_v],
            "rate_v_per_s": technique.rate_v_per_s,
            "sweeps": [_leg(leg) for leg in legs],
        },
    )


def _leg(leg: SweepCharge) -> dict[str, Any]:
    return {
        "cycle": leg.cycle,
        "from_v": leg.from_v,
        "to_v": leg.to_v,
        "charge_ah": ah(leg.charge_c),
        "discharge_ah": ah(leg.discharge_c),
        "peak": None if leg.peak is None else asdict(leg.peak),
        "samples": leg.last - leg.first,
    }
