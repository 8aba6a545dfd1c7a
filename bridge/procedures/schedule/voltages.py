"""The voltages that a schedule drives its cell to, and the safety window around them."""

from __future__ import annotations

from .language import ConstantCurrent, ConstantCurrentVoltage, ConstantVoltage, Pulse, Schedule, Step, Sweep
from .limits import Bounds

#: The hard window is so far beyond the schedule's own voltages (domain note, 1.1: 1.8 and 4.3 V for 2.0 and 4.2 V).
BELOW_V, ABOVE_V = 0.2, 0.1


def step_voltages(step: Step) -> tuple[list[float], list[float]]:
    """(lowest, highest) voltages that a step can be driven to, by its own limits."""
    lows: list[float] = []
    highs: list[float] = []
    if isinstance(step, ConstantCurrent | Pulse):
        for condition in step.until:
            for test in condition.tests:
                if test.quantity == "voltage":
                    (highs if step.current.value > 0 else lows).append(test.limit.value)
    elif isinstance(step, ConstantVoltage | ConstantCurrentVoltage):
        lows, highs = [step.voltage_v], [step.voltage_v]
    elif isinstance(step, Sweep):
        lows, highs = [min(step.vertex1_v, step.vertex2_v)], [max(step.vertex1_v, step.vertex2_v)]
    return lows, highs


def window(schedule: Schedule) -> tuple[float | None, float | None]:
    """The safety window: the file's, or a little beyond the voltages of its steps; None where there is none."""
    safety = schedule.safety
    if safety.voltage_min_v is not None or safety.voltage_max_v is not None:
        return safety.voltage_min_v, safety.voltage_max_v
    pairs = [step_voltages(step) for step in schedule.steps]
    lows = [v for low, _ in pairs for v in low]
    highs = [v for _, high in pairs for v in high]
    return (min(lows) - BELOW_V if lows else None), (max(highs) + ABOVE_V if highs else None)


def bounds(schedule: Schedule, reference_c: float | None) -> Bounds:
    """The safety limits in SI."""
    low, high = window(schedule)
    most = schedule.safety.current_max
    return Bounds(
        voltage_min_v=low,
        voltage_max_v=high,
        current_max_a=None if most is None else most.si(reference_c),
        charge_factor=schedule.safety.charge_factor,
        step_time_s=schedule.safety.step_time_s,
    )
