"""Schedules on the world's cell: each way in which a step ends, what is counted, and every way of being interrupted."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from bridge.procedures.registry import find
from bridge.procedures.schedule.carry_out import carry_out
from bridge.procedures.schedule.parse import parse
from drivers.errors import InvalidValue, Refused, RunFailed, Unsupported
from mocks.world import World
from tests.near import near

from .bench import KEITHLEY_2450, KEITHLEY_6430, Bench, limited

PROCEDURE = find("schedule")
HEAD = '[cell]\narea = "10 um2"\ncapacity = "115 uAh/cm2"\n[record]\ninterval = "2 s"\n'

CHARGE = (
    'name = "charge"\ndo = "charge"\ncurrent = "50 uA/cm2"\nuntil = [{ capacity = "12.5 uAh/cm2" }, { time = "1 h" }]'
)
DISCHARGE = (
    'name = "discharge"\ndo = "discharge"\ncurrent = "50 uA/cm2"\nuntil = [{ voltage = "2 V" }, { time = "1 h" }]'
)
HOLD = (
    'name = "hold"\ndo = "cv"\nvoltage = "4.0 V"\ncurrent_limit = "20 pA"\n'
    'until = [{ current = "< 2 pA" }, { time = "5 h" }]'
)


def on_cell(preset: str = "fig8a", **options: Any) -> Bench:
    world = World(cell=preset, noise=False, preset_events=False, **options)
    world.tip.touch()
    return Bench(world)


def written(*steps: str, head: str = HEAD) -> str:
    return head + "".join(f"[[step]]\n{step}\n" for step in steps)


async def go(bench: Bench, *steps: str, head: str = HEAD, **values: Any) -> dict[str, Any]:
    parameters = {"schedule": written(*steps, head=head), "route": "cell", **values}
    return await PROCEDURE.run(bench, PROCEDURE.parse(parameters))


async def test_fig8a_twice_with_cycles_counted() -> None:
    bench = on_cell()
    rest = 'name = "rest"\ndo = "rest"\nuntil = { time = "10 min" }'
    result = await go(bench, CHARGE, rest, DISCHARGE, 'name = "again"\ndo = "loop"\nto = "charge"\ntimes = 2')
    assert (result["completed"], result["end"]) == (True, "the end of the schedule")
    charge, resting, discharge = result["steps"][:3]
    assert charge["end"] == "capacity >= 12.5 uAh/cm2"
    assert charge["duration_interpolated_s"] == near(900, rel=1e-6)
    assert charge["capacity_interpolated_ah"] == near(1.25e-12, rel=1e-9)
    assert charge["voltage_end_v"] == near(3.643, abs=0.02)
    assert resting["duration_s"] == near(600)
    assert resting["samples"] == 0
    assert discharge["end"] == "voltage <= 2 V"
    assert discharge["overshoot"]["observed_v"] == near(2.0 - discharge["voltage_end_v"])
    assert discharge["overshoot"]["observed_v"] <= discharge["overshoot"]["worst_v"]
    assert [c["cycle"] for c in result["cycles"]] == [1, 2]
    assert result["cycles"][0]["charge_ah_per_m2"] == near(0.125, rel=1e-6)
    assert result["charge_ah"] == near(2.5e-12, rel=1e-6)
    assert result["duration_s"] == near(sum(step["duration_s"] for step in result["steps"]))
    assert result["estimate"]["duration_s"] == near(2 * (900 + 600 + 900))
    assert bench.smu.record[-1] == "off"
    fractions = [fraction for _, fraction, _ in bench.steps if fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    json.dumps(result, allow_nan=False)


def pause_at(bench: Bench, sample: int) -> None:
    """Ask for a pause at the first technique's sample of this index, as the daemon does: flag, then stop."""
    asked: list[asyncio.Task[None]] = []

    def look(index: int) -> None:
        if index == sample and not asked:
            bench.pausing = True
            asked.append(asyncio.ensure_future(bench.smu.stop()))

    bench.smu.before_sample = look


async def test_a_step_continues_where_a_pause_cut_it() -> None:
    """By charge: 900 s in all at 5 pA, however the pause cuts it, with the cell disconnected meanwhile; the driver ends
    it on the sample."""
    bench = on_cell()
    pause_at(bench, 100)
    result = await go(bench, CHARGE)
    (charge,) = result["steps"]
    assert charge["pauses"] == 1
    assert charge["end"] == "capacity >= 12.5 uAh/cm2"
    assert charge["capacity_interpolated_ah"] == near(1.25e-12, rel=1e-6)
    assert charge["charge_ah"] == near(1.25e-12, abs=5e-12 * 2 / 3600)
    assert charge["duration_s"] == near(900, abs=2)
    assert [word for word in bench.smu.record if word.startswith("on")] == ["on 5e-12"] * 2
    assert any(kept["partial"] and kept["partial"]["pauses"] == 1 for kept in bench.kept)


async def test_a_pause_does_not_lengthen_a_step_that_ends_by_time() -> None:
    bench = on_cell()
    pause_at(bench, 100)
    step = 'do = "charge"\ncurrent = "5 pA"\nuntil = [{ time = "400 s" }, { voltage = "4.2 V" }]'
    (charge,) = (await go(bench, step))["steps"]
    assert (charge["pauses"], charge["end"]) == (1, "time >= 400 s")
    assert charge["duration_s"] == near(400, abs=2)
    assert charge["charge_ah"] == near(5e-12 * 400 / 3600, abs=5e-12 * 2 / 3600)


async def test_a_stop_by_hand_ends_the_schedule_and_says_so() -> None:
    bench = on_cell()
    stops: list[asyncio.Task[None]] = []
    bench.smu.before_sample = lambda index: (
        stops.append(asyncio.ensure_future(bench.smu.stop())) if index == 50 and not stops else None
    )
    result = await go(bench, CHARGE, DISCHARGE)
    assert (result["completed"], result["end"]) == (False, "stopped by hand in step 'charge'")
    assert [step["name"] for step in result["steps"]] == ["charge"]


async def test_a_crash_is_resumed_in_the_middle_of_the_step() -> None:
    """What was saved last is given to a new run: together they pass the charge once, not twice."""
    bench = on_cell()

    def die(index: int) -> None:
        if index == 200 and bench.steps[-1][0] == "discharge":
            raise RunFailed("the host is gone")

    bench.smu.before_sample = die
    schedule = parse(written(CHARGE, DISCHARGE, 'name = "again"\ndo = "loop"\nto = "charge"\ntimes = 2'))
    with pytest.raises(RunFailed, match="the host is gone"):
        await carry_out(bench, schedule, "schedule", route="cell", save_every_s=0.0)
    saved = bench.kept[-1]
    assert saved["partial"] is not None
    before = saved["partial"]["discharge_c"]
    assert 0 < before <= 5e-12 * 400 * (1 + 1e-9)
    bench.smu.before_sample = lambda index: None
    bench.saved = saved
    result = await carry_out(bench, schedule, "schedule", route="cell")
    assert [step["name"] for step in result["steps"]] == ["charge", "discharge"] * 2
    first, second = (result["steps"][place] for place in (1, 3))
    assert first["end"] == "voltage <= 2 V"
    assert first["capacity_ah"] * 3600 > before
    assert first["discharge_ah"] == near(second["discharge_ah"], rel=0.08)
    assert result["discharge_ah"] == near(first["discharge_ah"] + second["discharge_ah"])


async def test_another_schedule_is_not_resumed() -> None:
    bench = on_cell()
    await go(bench, CHARGE, 'do = "rest"\nuntil = { time = "1 s" }')
    bench.saved = bench.kept[-1]
    with pytest.raises(Refused, match="not the one that was interrupted"):
        await go(bench, DISCHARGE)


async def test_branches_counters_and_a_goto() -> None:
    """Three charges of 1 uAh/cm2 by a counter, then a way out that skips the fault."""
    head = HEAD + "[counters]\ndone = 0\n"
    bench = on_cell()
    result = await go(
        bench,
        'name = "bit"\ndo = "charge"\ncurrent = "50 uA/cm2"\nuntil = { capacity = "1 uAh/cm2" }',
        'do = "set"\nadd = { done = 1 }',
        'name = "enough?"\ndo = "branch"\nuntil = { done = ">= 3", then = "goto out" }\notherwise = "goto bit"',
        'name = "out"\ndo = "rest"\nuntil = { time = "1 min", then = "stop" }',
        head=head,
    )
    assert [step["name"] for step in result["steps"]] == ["bit", "bit", "bit", "out"]
    assert result["counters"] == {"done": 3.0}
    assert result["end"] == "step 'out': time >= 1 min"
    assert result["charge_ah"] == near(3e-13, rel=1e-6)


async def test_all_tests_of_a_condition_hold_together() -> None:
    """At least 10 s and above 3.3 V: the later of the two decides. The note has 3.263 V at 149 s, 3.446 V at 300 s; the
    lead's 100 pF, charged by 2.2 V from the start, take 45 s more."""
    bench = on_cell()
    step = 'name = "charge"\ndo = "charge"\ncurrent = "50 uA/cm2"\nuntil = [{ time = "10 s", voltage = ">= 3.3 V" }]'
    result = await go(bench, step)
    (charge,) = result["steps"]
    assert charge["end"] == "time >= 10 s and voltage >= 3.3 V"
    assert charge["duration_interpolated_s"] == near(235, rel=0.05)


async def test_a_fault_of_the_schedule_fails_the_run_with_what_was_done() -> None:
    bench = on_cell()
    step = CHARGE.replace('{ time = "1 h" }', '{ voltage = ">= 3.0 V", then = "fault" }')
    said = r"step 'charge', cycle 1: voltage >= 3.0 V: the schedule calls this a fault"
    with pytest.raises(RunFailed, match=said) as failed:
        await go(bench, step)
    assert failed.value.detail["partial"]["steps"][0]["voltage_end_v"] >= 3.0
    assert not bench.smu.on


async def test_a_safety_limit_is_no_end() -> None:
    """A current beyond the safety limit fails the run, once it has been so for two samples in a row."""
    bench = on_cell()
    bench.smu.change = lambda reading, index: (
        reading._replace(current_a=9e-9) if index == 50 or index >= 100 else reading
    )
    head = HEAD + '[safety]\nvoltage = ["1.8 V", "4.3 V"]\ncurrent_max = "1 nA"\n'
    step = 'name = "charge"\ndo = "cccv"\ncurrent = "50 uA/cm2"\nvoltage = "4.2 V"\nuntil = { current = "1 pA" }'
    with pytest.raises(RunFailed, match=r"beyond the safety limits of 1.8 to 4.3 V and 1e-09 A") as failed:
        await go(bench, step, head=head)
    assert failed.value.detail["step"] == "charge"
    assert failed.value.detail["partial"]["completed"] is False
    (cut,) = failed.value.detail["partial"]["steps"]
    assert (cut["end"], cut["then"]) == ("cut by an error", "fault")
    assert cut["samples"] > 51
    assert not bench.smu.on


async def test_one_sample_beyond_a_safety_limit_is_a_disturbance() -> None:
    bench = on_cell()
    bench.smu.change = lambda reading, index: reading._replace(voltage_v=0.5) if index == 50 else reading
    await go(bench, CHARGE)
    discharge = DISCHARGE.replace('{ voltage = "2 V" }, ', "")
    bench.smu.change = lambda reading, index: reading._replace(current_a=9e-9) if index == 50 else reading
    result = await go(bench, discharge.replace("1 h", "5 min"), head=HEAD + '[safety]\ncurrent_max = "1 nA"\n')
    assert result["completed"] is True


async def test_a_current_must_stay_beyond_its_limit() -> None:
    """One low reading does not end a taper, three in a row do, where the host judges: two tests in one condition."""
    bench = on_cell()
    low = {400, 500, 501, 502}
    bench.smu.change = lambda reading, index: reading._replace(current_a=1e-13) if index in low else reading
    step = (
        'do = "cv"\nvoltage = "4.0 V"\ncurrent_limit = "20 pA"\n'
        'until = [{ current = "< 1 pA", time = "10 s" }, { time = "5 h" }]'
    )
    (hold,) = (await go(bench, step))["steps"]
    assert hold["end"] == "current < 1 pA and time >= 10 s"
    assert hold["duration_interpolated_s"] == near(2.0 * 503)


async def test_more_than_the_planned_charge_is_a_fault() -> None:
    """A cell that swallows more than 1.2 times its capacity and never comes to its voltage is leaking."""
    bench = on_cell("fig9_leak", cell_options={"leak_ohm_m2": 1e0})
    head = HEAD.replace("115 uAh/cm2", "10 uAh/cm2")
    step = 'name = "charge"\ndo = "charge"\ncurrent = "5 pA"\nuntil = { voltage = "4.2 V" }'
    with pytest.raises(RunFailed, match=r"more charge than 1.2 times the planned"):
        await go(bench, step, head=head)
    assert not bench.smu.on


async def test_constant_voltage_is_capped_and_tapers() -> None:
    """Onto an empty cell of 1.3 GOhm 4.0 V would drive nanoamperes; 20 pA is what flows."""
    result = await go(on_cell(), HOLD)
    (hold,) = result["steps"]
    assert hold["end"] == "current < 2 pA"
    assert hold["current_max_a"] <= 20e-12 * (1 + 1e-9)
    assert hold["voltage_max_v"] <= 4.0 + 1e-9
    assert hold["current_end_a"] < 2e-12


async def test_an_instrument_without_compliance_hands_over_between_current_and_voltage() -> None:
    """The cap is seen by the host only: constant current up to the voltage, then constant voltage; the gap is told."""
    bench = on_cell()
    readings = itertools.count()
    bench.smu.change = lambda reading, index: reading if next(readings) else reading._replace(current_a=25e-12)
    result = await go(bench, HOLD)
    (hold,) = result["steps"]
    assert [h["to"] for h in hold["handovers"]] == ["cc", "cv"]
    assert all(h["gap_s"] is not None and h["gap_s"] >= 0 for h in hold["handovers"])
    assert hold["end"] == "current < 2 pA"
    assert [word for word in bench.smu.record if word.startswith("on")] == ["on 4 V", "on 2e-11", "on 4 V"]


async def test_the_operator_decides_the_way() -> None:
    bench = on_cell()
    bench.answers.append("end here")
    ask = 'name = "look"\ndo = "ask"\ntext = "Is it clean?"\nchoices = { "go on" = "next", "end here" = "stop" }'
    result = await go(bench, ask, CHARGE)
    assert [question.text for question in bench.questions] == ["Is it clean?"]
    assert result["end"] == "step 'look': answered 'end here'"
    assert [step["kind"] for step in result["steps"]] == ["ask"]


async def test_another_procedure_is_a_step() -> None:
    bench = on_cell()
    step = 'name = "check"\ndo = "procedure"\nprocedure = "open-circuit"\nparameters = { duration = "10 s" }'
    result = await go(bench, step)
    assert bench.performed == [("open-circuit", {"duration": "10 s"})]
    assert result["parts"][0]["result"]["end"] == "time >= 10 s"


async def test_a_c_rate_of_the_measured_capacity() -> None:
    """The second discharge refers to what the first cycle gave."""
    head = HEAD.replace("[record]", 'reference = "measured"\n[record]')
    bench = on_cell()
    discharge = DISCHARGE.replace("50 uA/cm2", "C/2")
    result = await go(bench, CHARGE, discharge, 'do = "loop"\nto = "charge"\ntimes = 2', head=head)
    discharges = [step for step in result["steps"] if step["name"] == "discharge"]
    assert discharges[0]["current_max_a"] == near(11.5e-12 / 2)
    assert discharges[1]["current_max_a"] == near(discharges[0]["discharge_ah"] / 2, rel=1e-3)


async def test_a_schedule_that_the_instrument_cannot_do_is_refused_before_anything() -> None:
    world = World(noise=False)
    world.tip.touch()
    bench = Bench(world, KEITHLEY_2450)
    with pytest.raises(Refused, match="step 1 'charge': cc at 5 pA"):
        await go(bench, CHARGE)
    only_current = Bench(world, limited(KEITHLEY_6430, techniques=frozenset({"open_circuit", "galvanostatic"})))
    with pytest.raises(Unsupported, match="step 1 'step 1': this instrument cannot do potentiostatic"):
        await go(only_current, 'do = "cv"\nvoltage = "4 V"\ncurrent_limit = "1C"\nuntil = { current = "C/20" }')
    assert bench.smu.record == []
    assert only_current.smu.record == []


async def test_a_file_s_name_is_not_its_text() -> None:
    with pytest.raises(InvalidValue, match="the name of a file"):
        PROCEDURE.parse({"schedule": "mine.toml"})


async def test_cv_charge_and_cc_discharge_fade_as_the_cell_does() -> None:
    """The stack test on the cell `good`, which loses 0.0342 % a cycle: 0.999658 to the power of the cycles between."""
    cycles = 12
    bench = on_cell("good")
    result = await go(
        bench,
        'name = "charge"\ndo = "cv"\nvoltage = "4.2 V"\ncurrent_limit = "10C"\n'
        'until = [{ current = "< C/5" }, { time = "3 h", then = "fault" }]',
        'name = "discharge"\ndo = "discharge"\ncurrent = "2C"\nuntil = [{ voltage = "3.0 V" }, { time = "2 h" }]',
        f'do = "loop"\nto = "charge"\ntimes = {cycles}',
        head=HEAD.replace("2 s", "10 s"),
    )
    assert len(result["cycles"]) == cycles
    assert {step["end"] for step in result["steps"]} == {"current < C/5", "voltage <= 3.0 V"}
    ends = [step["capacity_interpolated_ah"] for step in result["steps"] if step["name"] == "discharge"]
    assert ends[-1] / ends[1] == near(0.999658 ** (cycles - 2), rel=5e-4)
    assert result["cycles"][-1]["coulombic_efficiency"] == near(1.0, abs=0.01)
