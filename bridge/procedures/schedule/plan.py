"""A schedule in words, a line a step: what a person reads before it is started."""

from __future__ import annotations

from bridge.analysis.formatting import duration, si

from .amounts import Amount
from .language import (
    Ask,
    Branch,
    ConstantCurrent,
    ConstantCurrentVoltage,
    ConstantVoltage,
    Loop,
    NextCycle,
    OpenCircuit,
    Perform,
    Pulse,
    Rest,
    Schedule,
    Set,
    Step,
    Sweep,
    Then,
)
from .voltages import window


def describe(schedule: Schedule) -> list[str]:
    """Lines; positive currents charge."""
    lines = []
    for step in schedule.steps:
        text = f"{step.number}. {step.name}: {_what(step, schedule.capacity_c)}"
        ends = [condition.text + _leads(condition.then) for condition in step.until]
        lines.append(text + (f", until {' or '.join(ends)}" if ends else ""))
    low, high = window(schedule)
    most = schedule.safety.current_max
    lines.append(
        f"safety: {'-' if low is None else f'{low:g} V'} to {'-' if high is None else f'{high:g} V'}, "
        f"{'no current limit' if most is None else f'at most {most.text}'}, "
        f"{schedule.safety.charge_factor:g} times the planned charge, {duration(schedule.safety.step_time_s)} a step"
    )
    return lines


def _what(step: Step, reference_c: float | None) -> str:
    if isinstance(step, Rest):
        return "rest, measured as an open circuit" if step.looks else "rest, the cell disconnected"
    if isinstance(step, OpenCircuit):
        return f"open circuit, every {step.interval_s:g} s"
    if isinstance(step, ConstantCurrent):
        way = "charge" if step.current.value > 0 else "discharge"
        return f"{way} at {_current(step.current, reference_c)}, every {step.interval_s:g} s"
    if isinstance(step, ConstantVoltage):
        return f"hold {step.voltage_v:g} V, at most {_current(step.current_limit, reference_c)}"
    if isinstance(step, ConstantCurrentVoltage):
        return f"{_current(step.current, reference_c)} to {step.voltage_v:g} V, then hold it"
    if isinstance(step, Pulse):
        return f"pulse of {_current(step.current, reference_c)} for {step.duration_s:g} s"
    if isinstance(step, Sweep):
        begin = "the rest potential" if step.begin_v is None else f"{step.begin_v:g} V"
        rate = si(step.rate_v_per_s, "V/s")
        return f"sweep {begin}, {step.vertex1_v:g} V, {step.vertex2_v:g} V at {rate}, {step.cycles} times"
    if isinstance(step, Perform):
        return f"procedure {step.procedure}"
    if isinstance(step, Ask):
        answers = (choice + _leads(then) for choice, then in step.choices.items())
        return f"ask {step.text!r}: {', '.join(answers)}"
    if isinstance(step, Set):
        changes = [f"{name} = {value:g}" for name, value in step.values.items()]
        return "set " + ", ".join(changes + [f"{name} + {value:g}" for name, value in step.added.items()])
    if isinstance(step, Branch):
        return f"go on by the first that is true, otherwise {step.otherwise.text}"
    if isinstance(step, NextCycle):
        return "a cycle is complete"
    assert isinstance(step, Loop)
    times = "" if step.times is None else f", {step.times} times in all"
    return f"back to {step.to}{times}{', counting cycles' if step.counts_cycles else ''}"


def _leads(then: Then) -> str:
    return "" if then.kind == "next" else f" -> {then.text}"


def _current(amount: Amount, reference_c: float | None) -> str:
    value = si(amount.si(reference_c), "A")
    return f"{amount.text} ({value})" if amount.of_reference else value
