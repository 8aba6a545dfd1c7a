"""The schedule language: what is accepted, what is refused and in which words, and what a schedule will take."""

from __future__ import annotations

import pytest

from bridge.procedures.schedule import amounts
from bridge.procedures.schedule.estimate import estimate
from bridge.procedures.schedule.language import (
    ConstantCurrent,
    ConstantCurrentVoltage,
    ConstantVoltage,
    Loop,
    Schedule,
)
from bridge.procedures.schedule.limits import Bounds, Phase, phase_of
from bridge.procedures.schedule.parse import parse
from bridge.procedures.schedule.step_state import StepState
from bridge.procedures.schedule.validate import check, notes
from bridge.procedures.schedule.voltages import window
from drivers.errors import InvalidValue
from drivers.techniques import Potentiostatic
from tests.near import near

CELL = '[cell]\narea = "10 um2"\ncapacity = "115 uAh/cm2"\n'


def written(*steps: str, head: str = CELL) -> str:
    return head + "".join(f"[[step]]\n{step}\n" for step in steps)


def read(*steps: str, head: str = CELL) -> Schedule:
    return parse(written(*steps, head=head))


def problems(*steps: str, head: str = CELL) -> list[str]:
    """Everything that is said against a schedule, by whichever part."""
    try:
        return check(read(*steps, head=head))
    except InvalidValue as error:
        found: list[str] = error.detail["problems"]
        return found


CHARGE = 'name = "charge"\ndo = "charge"\ncurrent = "50 uA/cm2"\nuntil = [{ voltage = "4.2 V" }, { time = "1 h" }]'
DISCHARGE = 'name = "discharge"\ndo = "discharge"\ncurrent = "C/2"\nuntil = [{ voltage = "2 V" }, { time = "5 h" }]'


@pytest.mark.parametrize(
    ("text", "amperes"),
    [
        ("5 pA", 5e-12),
        ("-5pA", -5e-12),
        ("50 uA/cm2", 5e-12),
        ("-50 uA/cm^2", -5e-12),
        ("C/20", 11.5e-12 / 20),
        ("1C", 11.5e-12),
        ("0.5 C", 5.75e-12),
        ("-2C/3", -11.5e-12 * 2 / 3),
        (5e-12, 5e-12),
    ],
)
def test_currents_in_every_form(text: object, amperes: float) -> None:
    reference_c = 11.5e-12 * 3600
    assert amounts.current(text, 1e-11, field="current").si(reference_c) == near(amperes)


@pytest.mark.parametrize("text", ["5", "5 V", "C/0", "fast", "12.5 uAh/cm2", ""])
def test_what_is_no_current_is_refused_with_examples(text: str) -> None:
    if text == "5":  # a bare number is in amperes, as everywhere
        assert amounts.current(text, None, field="current").value == 5.0
        return
    with pytest.raises(InvalidValue, match=r"current is .*accepted"):
        amounts.current(text, 1e-11, field="current")


def test_a_charge_needs_its_unit() -> None:
    assert amounts.charge("1.25 pAh", None, field="capacity").value == near(4.5e-9)
    assert amounts.charge("12.5 uAh/cm2", 1e-11, field="capacity").value == near(4.5e-9)
    assert amounts.charge("4.5 nC", None, field="capacity").value == near(4.5e-9)
    assert amounts.charge("80 %", None, field="capacity").si(10.0) == near(8.0)
    for bare in ("5", 5, 1.25e-12):
        with pytest.raises(InvalidValue, match="with its unit"):
            amounts.charge(bare, None, field="capacity")
    with pytest.raises(InvalidValue, match=r"by area: give \[cell\] area"):
        amounts.charge("12.5 uAh/cm2", None, field="capacity")


def test_directions_are_understood() -> None:
    schedule = read(CHARGE, DISCHARGE)
    charge, discharge = schedule.steps
    assert isinstance(charge, ConstantCurrent)
    assert isinstance(discharge, ConstantCurrent)
    assert charge.current.si(schedule.capacity_c) == near(5e-12)
    assert discharge.current.si(schedule.capacity_c) == near(-5.75e-12)
    assert [c.text for c in charge.until] == ["voltage >= 4.2 V", "time >= 1 h"]
    assert [c.text for c in discharge.until] == ["voltage <= 2 V", "time >= 5 h"]
    assert window(schedule) == (near(1.8), near(4.3))
    assert check(schedule) == []


def test_everything_that_is_wrong_is_told_at_once_with_its_place() -> None:
    with pytest.raises(InvalidValue) as refused:
        parse(
            written(
                'name = "a"\ndo = "charge"\ncurrent = "-5 pA"\nuntil = { voltage = "4.2 A" }',
                'do = "chrage"',
                'do = "cv"\nvoltage = "4.2 V"\nuntil = { current = "C/20", then = "go to a" }\nspeed = 3',
            ),
            file="mine.toml",
        )
    text = str(refused.value)
    assert text.startswith("mine.toml has 6 problems")
    assert "step 1 'a': current is '-5 pA'; an unsigned current" in text
    assert "step 1 'a': until: voltage is '4.2 A'; a quantity such as '4.2 V' is accepted" in text
    assert "step 2: do is 'chrage'; accepted: rest, open_circuit, cc, charge" in text
    assert "step 3: current_limit is missing" in text
    assert "until: then is 'go to a'; accepted: next, stop, fault, goto NAME" in text
    assert "step 3: key 'speed' is not known; accepted: current_limit, do, dv_dt_window, interval" in text


def test_what_is_no_toml_is_said_with_its_line() -> None:
    with pytest.raises(InvalidValue, match=r"mine.toml is not valid TOML: .*line 2"):
        parse("name = 'x'\n[[step\n", file="mine.toml")
    with pytest.raises(InvalidValue, match=r"there is no \[\[step\]\]"):
        parse("name = 'x'")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (['do = "charge"\ncurrent = "1C"'], "it has no end; give until"),
        (
            ['do = "discharge"\ncurrent = "1C"\nuntil = { voltage = ">= 4.2 V" }'],
            "a discharge drives the voltage down; '<= 4.2 V' is accepted",
        ),
        (
            ['do = "cc"\ncurrent = "5 pA"\nuntil = { voltage = "<= 2 V" }'],
            "a charge drives the voltage up; '>= 2 V' is accepted",
        ),
        (['do = "charge"\ncurrent = "1C"\nuntil = { current = "C/20" }'], "the current is set"),
        (['do = "cv"\nvoltage = "4 V"\ncurrent_limit = "1C"\nuntil = { dv_dt = "1 mV/h" }'], "the voltage is held"),
        (['do = "rest"\nuntil = { capacity = "1 pAh" }'], "no current flows"),
        (['do = "rest"\nuntil = { time = "3 d" }'], "safety.step_time is 172800 s"),
        ([CHARGE, CHARGE], "the name 'charge' is taken by step 1"),
        (['do = "rest"\nuntil = { time = "1 h", then = "goto home" }'], "'goto home', which is no step; there are"),
        ([CHARGE, 'do = "loop"\nto = "charge"'], "the loop cannot end; give times, or until"),
        (
            ['do = "loop"\nto = "later"\ntimes = 3', 'name = "later"\ndo = "rest"\nuntil = { time = "1 s" }'],
            "goes back",
        ),
        (['do = "rest"\nuntil = { time = "1 s", then = "stop" }', CHARGE], "step 2 'charge': it is never reached"),
        (
            ['name = "a"\ndo = "rest"\nuntil = { time = "1 s", then = "goto a" }'],
            "from here there is no way to the end of the schedule, except a fault",
        ),
        (['do = "cv"\nvoltage = "4 V"\ncurrent_limit = "1C"\nuntil = { current = ">= 2C" }'], "is capped at 1C"),
        (['do = "branch"\nuntil = { time = "1 s", then = "stop" }'], "takes no time and measures nothing"),
        (['do = "procedure"\nprocedure = "nosie-test"'], "procedure 'nosie-test' is not known; accepted: plan"),
        (['do = "procedure"\nprocedure = "rest"\nparameters = { duration = "1 V" }'], "duration is '1 V'"),
        (['do = "set"\nadd = { tries = 1 }'], "names the counter 'tries'; accepted: none is there"),
        (
            [
                'do = "pulse"\ncurrent = "1C"\nduration = "10 s"\ninterval = "20 s"\ndelays = ["10 ms", "1 s"]',
            ],
            "no delay lies between interval, 20 s, and duration, 10 s",
        ),
    ],
)
def test_what_cannot_work_is_refused(steps: list[str], said: str) -> None:
    found = problems(*steps)
    assert any(said in problem for problem in found), found


def test_safety_limits_are_below_the_schedule() -> None:
    head = CELL + '[safety]\nvoltage = ["1.8 V", "4.1 V"]\ncurrent_max = "5 pA"\n'
    found = problems(CHARGE, DISCHARGE, head=head)
    assert "step 1 'charge': 4.2 V is beyond the safety limits of 1.8 V to 4.1 V" in found
    assert "step 2 'discharge': 5.75 pA is above safety.current_max, 5 pA" in found


def test_a_loop_by_a_counter_that_nothing_changes_cannot_end() -> None:
    head = CELL + "[counters]\ntries = 0\n"
    loop = 'do = "loop"\nto = "charge"\nuntil = { tries = ">= 3" }'
    assert any("never changes while the loop runs" in problem for problem in problems(CHARGE, loop, head=head))
    assert problems(CHARGE, 'do = "set"\nadd = { tries = 1 }', loop, head=head) == []


def test_a_c_rate_without_a_capacity_is_no_current() -> None:
    found = problems(DISCHARGE, head="")
    assert found == ["step 1 'discharge': 'C/2' needs a reference capacity: give [cell] capacity, such as '1.15 pAh'"]


def test_only_the_outer_loop_counts_cycles_unless_steps_do() -> None:
    inner = 'name = "inner"\ndo = "loop"\nto = "discharge"\ntimes = 3'
    outer = 'name = "outer"\ndo = "loop"\nto = "charge"\ntimes = 2'
    *_, first, second = read(CHARGE, DISCHARGE, inner, outer).steps
    assert isinstance(first, Loop)
    assert isinstance(second, Loop)
    assert (first.counts_cycles, second.counts_cycles) == (False, True)
    *_, last = read(CHARGE, 'do = "cycle"', 'do = "loop"\nto = "charge"\ntimes = 2').steps
    assert isinstance(last, Loop)
    assert last.counts_cycles is False


def test_the_estimate_is_the_arithmetic_of_the_schedule() -> None:
    by_charge = 'name = "charge"\ndo = "charge"\ncurrent = "50 uA/cm2"\nuntil = { capacity = "12.5 uAh/cm2" }'
    rest = 'do = "rest"\nuntil = { time = "100 s" }'
    out = 'do = "discharge"\ncurrent = "50 uA/cm2"\nuntil = { voltage = "2 V" }'
    found = estimate(read(by_charge, rest, out, 'do = "loop"\nto = "charge"\ntimes = 10'))
    assert found.duration_s == near(10 * (900 + 100 + 900))
    assert found.charge_c == near(10 * 4.5e-9)
    assert found.discharge_c == near(10 * 4.5e-9)
    assert (found.cycles, found.steps, found.complete) == (10, 40, True)
    assert found.by_step["charge"] == near(9000.0)
    assert found.assumptions == ["between the voltage limits the cell holds the reference capacity"]


def test_an_estimate_without_an_end_says_so() -> None:
    loop = 'do = "loop"\nto = "charge"\nuntil = { retention = "< 80 %" }'
    found = estimate(read(CHARGE, loop))
    assert not found.complete
    assert any("the end depends on the cell" in text for text in found.assumptions)


def test_a_step_that_only_safety_bounds_is_noted() -> None:
    held = 'name = "hold"\ndo = "cv"\nvoltage = "4.2 V"\ncurrent_limit = "1C"\nuntil = { current = "C/20" }'
    schedule = read(held)
    assert isinstance(schedule.steps[0], ConstantVoltage)
    assert notes(schedule) == ["step 1 'hold': no time limit of its own; it fails after safety.step_time, 172800 s"]


@pytest.mark.parametrize("handovers", [0, 1])
def test_the_cap_of_constant_voltage_has_its_headroom_once(handovers: int) -> None:
    """Half as much again is allowed after the handover, not two and a quarter times as much."""
    (step,) = read('do = "cc_cv"\ncurrent = "5 pA"\nvoltage = "4.2 V"\nuntil = { current = "0.25 pA" }').steps
    assert isinstance(step, ConstantCurrentVoltage)
    state = StepState(phase="cv", handovers=[{}] * handovers)
    phase = phase_of(step, state, Bounds(), None, 0.01)
    assert isinstance(phase, Phase)
    assert isinstance(phase.technique, Potentiostatic)
    assert phase.technique.current_limit_a == near(7.5e-12)
