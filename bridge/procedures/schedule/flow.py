"""Steps that only count and decide: sets, branches and loops, for the run and for its estimate alike."""

from __future__ import annotations

from .language import OPERATORS, Branch, Loop, Set, Test, Then
from .registers import Registers


def is_true(test: Test, registers: Registers, reference_c: float | None) -> bool:
    """Of a test on a register; one that has no value yet fulfils nothing."""
    value = registers.value(test.quantity)
    return value is not None and bool(OPERATORS[test.operator](value, test.limit.si(reference_c)))


def next_of(step: Branch | Loop, registers: Registers, reference_c: float | None) -> Then | None:
    """Where the first of its conditions that is true leads; None if none is."""
    for condition in step.until:
        if all(is_true(test, registers, reference_c) for test in condition.tests):
            return condition.then
    return None


def apply_set(step: Set, registers: Registers) -> None:
    registers.counters.update(step.values)
    for name, amount in step.added.items():
        registers.counters[name] += amount


def after_loop(step: Loop, registers: Registers, reference_c: float | None) -> Then:
    """Counts a pass, and a cycle if the loop counts cycles, and says where to go: back, or on.

    Conditions are judged with the cycle that has just been completed as the one under way. A loop that is left begins
    anew when it is reached again.
    """
    if step.counts_cycles:
        registers.complete_capacities()
    passes = registers.loops.get(step.name, 0) + 1
    then = next_of(step, registers, reference_c)
    if then is None and (step.times is None or passes < step.times):
        registers.loops[step.name] = passes
        then = Then("goto", step.to)
    else:
        registers.loops.pop(step.name, None)
    if step.counts_cycles:
        registers.next_cycle()
    return then or Then()
