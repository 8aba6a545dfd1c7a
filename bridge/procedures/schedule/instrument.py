"""Can this instrument do this schedule? Answered from its capabilities before anything is energised."""

from __future__ import annotations

from bridge.analysis.formatting import si
from drivers import techniques
from drivers.errors import PicobridgeError, Refused
from drivers.interfaces import Potentiostat

from .. import feasibility
from .language import (
    ConstantCurrent,
    ConstantCurrentVoltage,
    ConstantVoltage,
    Measured,
    OpenCircuit,
    Pulse,
    Rest,
    Schedule,
    Step,
    Sweep,
)
from .validate import currents_of
from .voltages import step_voltages, window


def check_instrument(potentiostat: Potentiostat, schedule: Schedule, tolerance: float) -> list[str]:
    """What a person should know. Raises `Unsupported`, `InvalidValue` or `Refused`, naming the step, with a remedy.

    `tolerance` is the share of a set current that instrument and leak may be off by.
    """
    notes: list[str] = []
    low, high = window(schedule)
    if low is not None and high is not None:
        feasibility.require_window(potentiostat, low, high)
    for step in schedule.steps:
        if not isinstance(step, Measured):
            continue
        try:
            for technique in _techniques(step):
                feasibility.require_technique(potentiostat, technique)
            feasibility.require_interval(potentiostat, _interval(step))
            _check_currents(potentiostat, schedule, step, tolerance)
        except PicobridgeError as error:
            error.message = f"step {step.number} {step.name!r}: {error.message}"
            error.args = (error.message,)
            raise
    smallest = min((c for step in schedule.steps for c in _set_currents(step, schedule)), default=None)
    if smallest is not None:
        notes += _leak(potentiostat, schedule, smallest, tolerance)
    return notes


def _techniques(step: Measured) -> list[str]:
    rest, cc, cv = techniques.OpenCircuit.name, techniques.Galvanostatic.name, techniques.Potentiostatic.name
    if isinstance(step, Rest):
        return [rest] if step.looks else []
    if isinstance(step, OpenCircuit):
        return [rest]
    if isinstance(step, ConstantCurrent):
        return [cc]
    if isinstance(step, Pulse):
        return [rest, cc]
    if isinstance(step, Sweep):
        return [techniques.CyclicVoltammetry.name]
    return [cc, cv]  # constant voltage with a cap falls back on constant current


def _interval(step: Measured) -> float:
    return step.step_v / step.rate_v_per_s if isinstance(step, Sweep) else step.interval_s


def _set_currents(step: Step, schedule: Schedule) -> list[float]:
    if isinstance(step, ConstantCurrent | ConstantCurrentVoltage | Pulse):
        return currents_of(step, schedule.capacity_c)
    return []


def _check_currents(potentiostat: Potentiostat, schedule: Schedule, step: Measured, tolerance: float) -> None:
    for current in _set_currents(step, schedule):
        feasibility.plan_current(potentiostat, current, tolerance * current, f"{step.kind} at")
    if not isinstance(step, ConstantVoltage | Sweep):
        return
    (cap,) = currents_of(step, schedule.capacity_c)
    highest = max((r.full_scale_a for r in potentiostat.capabilities.current_ranges), default=0.0)
    if cap > highest * 1.05:
        raise Refused(
            f"current_limit {si(cap, 'A')} is above the highest current range, {si(highest, 'A')}",
            device=potentiostat.name,
            hint="Give a smaller current_limit.",
        )


def _leak(potentiostat: Potentiostat, schedule: Schedule, current_a: float, tolerance: float) -> list[str]:
    volts = [v for step in schedule.steps for side in step_voltages(step) for v in side]
    highest = max((abs(v) for v in volts), default=0.0)
    if not highest:
        return []
    leak = feasibility.require_input(potentiostat, current_a, highest, tolerance * current_a)
    if leak is None:
        return ["the input resistance of the instrument is not known: a leak through it would look like charge"]
    if leak > tolerance * current_a / 10:
        return [
            f"the instrument's input takes up to {si(leak, 'A')} of the {si(current_a, 'A')}: coulombic efficiency "
            "comes out too low by about twice that share"
        ]
    return []
