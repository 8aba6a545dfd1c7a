"""What is wrong with a schedule before it starts: steps that are never reached, loops and steps that cannot end, ends
that can never come true, values beyond the safety limits. Pure; what only the instrument knows is `instrument`'s."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.analysis.formatting import si
from drivers.errors import InvalidValue

from .language import (
    STEP_QUANTITIES,
    Ask,
    Branch,
    ConstantCurrent,
    ConstantCurrentVoltage,
    ConstantVoltage,
    Loop,
    Measured,
    NextCycle,
    OpenCircuit,
    Perform,
    Pulse,
    Rest,
    Schedule,
    Set,
    Step,
    Sweep,
    Test,
    Then,
)
from .voltages import step_voltages, window

_END = -1
_FAULT = -2


def check(schedule: Schedule) -> list[str]:
    """Everything that is wrong, a line each; empty if nothing is."""
    problems = [*_names(schedule), *_targets(schedule)]
    for step in schedule.steps:
        problems += _ends(schedule, step)
        problems += _beyond_safety(schedule, step)
        if isinstance(step, Perform):
            problems += _procedure(step)
    return problems or _flow(schedule)


def notes(schedule: Schedule) -> list[str]:
    """What a person should know although it is not wrong."""
    found = []
    for step in schedule.steps:
        if isinstance(step, Measured) and not isinstance(step, Pulse | Sweep):
            timed = any(condition.single("time") for condition in step.until)
            if not timed:
                found.append(
                    f"{_where(step)}: no time limit of its own; it fails after safety.step_time, "
                    f"{schedule.safety.step_time_s:g} s"
                )
    low, high = window(schedule)
    if low is None and high is None:
        found.append("no voltage is named anywhere, so there is no safety window; give [safety] voltage")
    return found


def _where(step: Step) -> str:
    return f"step {step.number}" + ("" if step.name == f"step {step.number}" else f" {step.name!r}")


def _names(schedule: Schedule) -> Iterator[str]:
    seen: dict[str, int] = {}
    for step in schedule.steps:
        if step.name in seen:
            yield f"step {step.number}: the name {step.name!r} is taken by step {seen[step.name]}"
        seen.setdefault(step.name, step.number)


def _thens(step: Step) -> Iterator[tuple[str, Then]]:
    """(key, where it leads) of everything that a step says about what comes after it."""
    for place, condition in enumerate(step.until, 1):
        yield f"until[{place}].then", condition.then
    if isinstance(step, Ask):
        for choice, then in step.choices.items():
            yield f"choices.{choice}", then
    if isinstance(step, Branch):
        yield "otherwise", step.otherwise


def _targets(schedule: Schedule) -> Iterator[str]:
    names = {step.name: place for place, step in enumerate(schedule.steps)}
    known = ", ".join(repr(name) for name in names)
    for place, step in enumerate(schedule.steps):
        for key, then in _thens(step):
            if then.kind == "goto" and then.target not in names:
                yield f"{_where(step)}: {key} is 'goto {then.target}', which is no step; there are: {known}"
        if isinstance(step, Loop):
            if step.to not in names:
                yield f"{_where(step)}: to is {step.to!r}, which is no step; there are: {known}"
            elif names[step.to] >= place:
                yield f"{_where(step)}: to is {step.to!r}, which does not come before it; a loop goes back"


def _ends(schedule: Schedule, step: Step) -> Iterator[str]:
    where = _where(step)
    if isinstance(step, Measured) and not isinstance(step, Pulse | Sweep) and not step.until:
        yield f"{where}: it has no end; give until, such as [{{ time = '1 h' }}]"
    if isinstance(step, Pulse) and not any(step.interval_s <= delay <= step.duration_s for delay in step.delays_s):
        yield (
            f"{where}: no delay lies between interval, {step.interval_s:g} s, and duration, {step.duration_s:g} s: "
            "there is no sample for any; give a shorter interval"
        )
    if isinstance(step, Sweep) and step.until:
        yield f"{where}: a sweep ends by itself; until is not accepted"
    if isinstance(step, Loop) and step.times is None and not step.until:
        yield f"{where}: the loop cannot end; give times, or until"
    if isinstance(step, Branch) and not step.until:
        yield f"{where}: a branch needs until, such as [{{ cycle = '>= 10', then = 'goto NAME' }}]"
    for place, condition in enumerate(step.until, 1):
        for test in condition.tests:
            why = _never(schedule, step, test)
            if why:
                yield f"{where}: until[{place}]: {test.text!r} can never come true: {why}"
        if isinstance(step, Loop) and step.times is None and not _changes(schedule, step, condition.tests):
            yield f"{where}: until[{place}]: {condition.text!r} never changes while the loop runs: it cannot end by it"


def _never(schedule: Schedule, step: Step, test: Test) -> str:
    """Why a test cannot come true in this step; empty if it can."""
    quantity = test.quantity
    if quantity not in STEP_QUANTITIES:
        return ""
    if quantity == "time" and test.limit.value >= schedule.safety.step_time_s:
        return f"safety.step_time is {schedule.safety.step_time_s:g} s"
    if not isinstance(step, Measured):
        return f"a {step.kind} takes no time and measures nothing; test a register"
    rising = test.operator in (">=", ">")
    if isinstance(step, ConstantCurrent | Pulse):
        if quantity == "current":
            return "the current is set"
        charging = step.current.value > 0
        if quantity == "voltage" and charging != rising:
            return (
                f"a {'charge' if charging else 'discharge'} drives the voltage {'up' if charging else 'down'}; "
                f"'{'>=' if charging else '<='} {test.limit.text}' is accepted"
            )
        if isinstance(step, Pulse) and quantity == "time":
            return "a pulse lasts for its duration"
    if isinstance(step, ConstantVoltage | ConstantCurrentVoltage):
        if quantity in ("voltage", "dv_dt"):
            return "the voltage is held"
        if isinstance(step, ConstantVoltage) and quantity == "current" and rising:
            cap, limit = (a.si(schedule.capacity_c) for a in (step.current_limit, test.limit))
            if limit > cap:
                return f"the current is capped at {step.current_limit.text}"
    if isinstance(step, Rest | OpenCircuit) and quantity in ("current", "capacity", "energy"):
        return "no current flows"
    return ""


def _changes(schedule: Schedule, loop: Loop, tests: tuple[Test, ...]) -> bool:
    """Whether a loop's condition can change while it runs: a counter has to be set within its steps."""
    names = {step.name: place for place, step in enumerate(schedule.steps)}
    if loop.to not in names:
        return True  # told elsewhere
    body = schedule.steps[names[loop.to] : names[loop.name] + 1]
    set_within = {name for step in body if isinstance(step, Set) for name in (*step.values, *step.added)}
    return all(test.quantity not in schedule.counters or test.quantity in set_within for test in tests)


def _beyond_safety(schedule: Schedule, step: Step) -> Iterator[str]:
    low, high = window(schedule)
    lows, highs = step_voltages(step)
    for volts in sorted({*lows, *highs}):
        if (low is not None and volts < low) or (high is not None and volts > high):
            span = f"{'-' if low is None else f'{low:g}'} V to {'-' if high is None else f'{high:g}'} V"
            yield f"{_where(step)}: {volts:g} V is beyond the safety limits of {span}"
    most = schedule.safety.current_max
    if most is None:
        return
    for current in currents_of(step, schedule.capacity_c):
        if current > most.si(schedule.capacity_c):
            yield f"{_where(step)}: {si(current, 'A')} is above safety.current_max, {most.text}"


def currents_of(step: Step, reference_c: float | None) -> list[float]:
    """The currents that a step sets or allows, unsigned."""
    if isinstance(step, ConstantCurrent | ConstantCurrentVoltage | Pulse):
        return [abs(step.current.si(reference_c))]
    if isinstance(step, ConstantVoltage | Sweep):
        return [abs(step.current_limit.si(reference_c))]
    return []


def _procedure(step: Perform) -> Iterator[str]:
    from ..registry import find

    try:
        procedure = find(step.procedure)
        if step.procedure == "schedule":
            raise InvalidValue("a schedule cannot perform a schedule")
        procedure.parse(step.parameters)
    except InvalidValue as error:
        yield f"{_where(step)}: {error.message}"


# --- the way through -----------------------------------------------------------------------------------------------


def _flow(schedule: Schedule) -> list[str]:
    """Steps that are never reached, and those from which there is no way to the end."""
    edges = [_edges(schedule, place) for place in range(len(schedule.steps))]
    reached = {0}
    waiting = [0]
    while waiting:
        for target in edges[waiting.pop()]:
            if target >= 0 and target not in reached:
                reached.add(target)
                waiting.append(target)
    problems = [
        f"{_where(step)}: it is never reached" for place, step in enumerate(schedule.steps) if place not in reached
    ]
    ending: set[int] = {_END}
    growing = True
    while growing:
        grown = {place for place in reached if place not in ending and edges[place] & ending}
        ending |= grown
        growing = bool(grown)
    stuck = sorted(reached - ending)
    if stuck:
        names = ", ".join(_where(schedule.steps[place]) for place in stuck)
        problems.append(f"{names}: from here there is no way to the end of the schedule, except a fault")
    return problems


def _edges(schedule: Schedule, place: int) -> set[int]:
    step = schedule.steps[place]
    following = place + 1 if place + 1 < len(schedule.steps) else _END

    def leads(then: Then) -> int:
        if then.kind == "goto":
            return schedule.index(then.target)
        return {"next": following, "stop": _END, "fault": _FAULT}[then.kind]

    found = {leads(then) for _, then in _thens(step)}
    if isinstance(step, Loop):
        found.add(schedule.index(step.to))
        if step.times is not None:
            found.add(following)
    elif isinstance(step, Pulse | Sweep | Set | Perform | NextCycle):
        found.add(following)
    return found
