"""Which technique a phase of a step is, and what each of the technique's own limits means for the step.

Limits that a driver can hold are given to it, so that it ends the technique on the very sample, without waiting for the
host's look at the block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers import techniques
from drivers.errors import InvalidValue
from drivers.samples import EndReason
from drivers.techniques import Technique

from .language import Condition, ConstantCurrent, ConstantCurrentVoltage, ConstantVoltage, Measured, OpenCircuit, Rest
from .step_state import StepState

#: After a handover from constant current the cell, relaxed meanwhile, takes a little more than the cap: so much more is
#: allowed.
HANDOVER_HEADROOM = 1.5


@dataclass(frozen=True, slots=True)
class Fault:
    """A safety limit: reaching it fails the run."""

    text: str


class Handover:
    """Reaching it goes on with the step's other phase."""


HANDOVER = Handover()
Meaning = Condition | Fault | Handover
Limit = tuple[float, Meaning]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The safety limits of a run in SI; None where there is none."""

    voltage_min_v: float | None = None
    voltage_max_v: float | None = None
    current_max_a: float | None = None
    charge_factor: float = 1.2
    step_time_s: float = 172_800.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A technique, what its ends mean, and the current that it sets (None where the current is the cell's answer)."""

    technique: Technique
    meanings: dict[EndReason, Meaning]
    current_a: float | None


def phase_of(
    step: Measured, state: StepState, bounds: Bounds, reference_c: float | None, shortest_interval_s: float
) -> Phase | Condition:
    """The next technique of a step that has come to `state`; the condition that is already fulfilled if one is."""
    meanings: dict[EndReason, Meaning] = {}

    def nearest(
        reason: EndReason, candidates: Iterable[tuple[float, Meaning]], *, highest: bool = False
    ) -> float | None:
        """The limit that is met first, remembered with its meaning."""
        given = list(candidates)
        if not given:
            return None
        limit, meanings[reason] = (max if highest else min)(given, key=lambda candidate: candidate[0])
        return limit

    def singles(quantity: str, *operators: str) -> list[Limit]:
        found: list[Limit] = []
        for condition in step.until:
            test = condition.single(quantity)
            if test is not None and test.operator in operators:
                found.append((test.limit.si(reference_c), condition))
        return found

    times = singles("time", ">=", ">")
    duration = nearest(
        EndReason.DURATION, [*times, (bounds.step_time_s, Fault(f"longer than {bounds.step_time_s:g} s"))]
    )
    assert duration is not None
    left_s = duration - state.time_s
    over = meanings[EndReason.DURATION]
    if left_s <= shortest_interval_s / 2 and isinstance(over, Condition):
        return over
    left_s = max(left_s, shortest_interval_s)
    interval_s = max(min(step.interval_s, left_s), shortest_interval_s)
    if state.phase == "open":
        return Phase(techniques.OpenCircuit(duration_s=left_s, interval_s=interval_s), meanings, 0.0)

    passed = abs(state.net_c)
    charges = singles("capacity", ">=", ">")
    planned = [limit for limit, _ in charges] or ([] if reference_c is None else [reference_c])
    if planned:
        most = bounds.charge_factor * max(planned)
        charges.append(
            (most, Fault(f"more charge than {bounds.charge_factor:g} times the planned {max(planned):.4g} C"))
        )
    charge_limit = nearest(EndReason.CAPACITY, charges)
    if charge_limit is not None:
        charge_limit -= passed
        full = meanings[EndReason.CAPACITY]
        if charge_limit <= 0 and isinstance(full, Condition):
            return full
        charge_limit = max(charge_limit, 1e-21)

    if state.phase == "cc":
        current, target = _set_current(step, state, reference_c)
        highs = singles("voltage", ">=", ">") if current > 0 else []
        lows = singles("voltage", "<=", "<") if current < 0 else []
        if target is not None:
            (highs if current > 0 else lows).append((target, HANDOVER))
        if current > 0 and bounds.voltage_max_v is not None:
            highs.append((bounds.voltage_max_v, Fault(f"above the safety limit of {bounds.voltage_max_v:g} V")))
        if current < 0 and bounds.voltage_min_v is not None:
            lows.append((bounds.voltage_min_v, Fault(f"below the safety limit of {bounds.voltage_min_v:g} V")))
        return Phase(
            techniques.Galvanostatic(
                current_a=current,
                duration_s=left_s,
                interval_s=interval_s,
                voltage_max_v=nearest(EndReason.VOLTAGE_MAX, highs),
                voltage_min_v=nearest(EndReason.VOLTAGE_MIN, lows, highest=True),
                charge_limit_c=charge_limit,
            ),
            meanings,
            current,
        )

    voltage, cap = held_voltage(step, reference_c)
    if state.handovers or isinstance(step, ConstantCurrentVoltage):
        cap *= HANDOVER_HEADROOM
    meanings[EndReason.CURRENT_LIMIT] = HANDOVER
    return Phase(
        techniques.Potentiostatic(
            voltage_v=voltage,
            duration_s=left_s,
            interval_s=interval_s,
            current_limit_a=cap,
            taper_current_a=nearest(EndReason.TAPER, singles("current", "<=", "<"), highest=True),
            charge_limit_c=charge_limit,
        ),
        meanings,
        None,
    )


def first_phase(step: Measured) -> str:
    """cc, cv, open, or rest (nothing measured)."""
    if isinstance(step, Rest):
        return "open" if step.looks else "rest"
    if isinstance(step, OpenCircuit):
        return "open"
    return "cv" if isinstance(step, ConstantVoltage) else "cc"


def held_voltage(step: Measured, reference_c: float | None) -> tuple[float, float]:
    """(voltage, cap of the current) of a step that holds a voltage."""
    if isinstance(step, ConstantVoltage):
        return step.voltage_v, abs(step.current_limit.si(reference_c))
    if isinstance(step, ConstantCurrentVoltage):
        return step.voltage_v, abs(step.current.si(reference_c))
    raise InvalidValue(f"step {step.name!r} holds no voltage")


def _set_current(step: Measured, state: StepState, reference_c: float | None) -> tuple[float, float | None]:
    """(signed current, the voltage at which to hand over to constant voltage if at any) of the phase cc."""
    if isinstance(step, ConstantCurrent):
        return step.current.si(reference_c), None
    voltage, cap = held_voltage(step, reference_c)
    if isinstance(step, ConstantCurrentVoltage):
        return step.current.si(reference_c), voltage
    # the cell took more than the cap at constant voltage: the same way, at the cap
    return (cap if (state.current_end_a or 0.0) > 0 else -cap), voltage
