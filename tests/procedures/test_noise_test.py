"""The noise test against the world's noise paths (domain.md, sections 2.4 and 7.3)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bridge.procedures.noise_test import NoiseTest
from bridge.procedures.registry import find
from drivers.errors import CellNotOff, DeviceLost, InvalidValue, Refused, Unsupported
from drivers.potentiostats.polling import Reading
from drivers.samples import Flag
from mocks.world import World
from tests.near import near

from .bench import KEITHLEY_2450, KEITHLEY_6430, Bench, limited

pytestmark = pytest.mark.usefixtures("without_debug")

PROCEDURE = find("noise-test")


async def noise_test(bench: Bench, **values: Any) -> dict[str, Any]:
    return await PROCEDURE.run(bench, PROCEDURE.parse(values))


@pytest.mark.parametrize("seed", range(2))
async def test_shielded_feedthrough_passes_at_1_pa(seed: int) -> None:
    bench = Bench(World(seed=seed))
    result = await noise_test(bench, route="feedthrough")
    assert result["verdict"] == "pass", result["reason"]
    assert result["mean_a"] == near(1e-12, abs=0.1e-12)
    assert 0.03e-12 < result["std_a"] < 0.1e-12
    assert result["n"] in (300, 301)
    assert (result["route"], result["range"], result["criterion"]) == ("feedthrough", "10 pA", "bounded")
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("seed", range(2))
async def test_unshielded_manipulator_ground_passes_at_10_pa_and_fails_at_1_pa(seed: int) -> None:
    ten = await noise_test(Bench(World(seed=seed)), route="manipulator-ground", current="10 pA")
    assert ten["verdict"] == "pass", ten["reason"]
    one = await noise_test(Bench(World(seed=seed)), route="manipulator-ground", current="1 pA")
    assert one["verdict"] == "fail"
    assert one["std_a"] > 0.1e-12


async def test_the_source_is_off_before_the_relays_move_and_after_the_test() -> None:
    bench = Bench(World())
    await noise_test(bench, route="feedthrough", duration=20, settle=0)
    assert bench.smu.record[:3] == ["off", "route feedthrough", "on 1e-12"]
    assert bench.smu.record[-1] == "off"
    assert not bench.smu.on


async def test_whoever_looks_on_sees_the_statistics_so_far_and_no_verdict() -> None:
    bench = Bench(World())
    result = await noise_test(bench, route="feedthrough", duration=60, settle=0)
    shown = bench.shown_header
    assert 10 <= shown["n"] < result["n"]
    assert shown["averages"]["current_a"] == result["averages"]["current_a"][: shown["n"]]
    assert sum(shown["histogram"]["counts"]) == shown["n"]
    assert not {"verdict", "passed", "reason"}.intersection(shown)


async def test_progress_goes_from_settling_to_done() -> None:
    bench = Bench(World())
    await noise_test(bench, route="feedthrough", duration=30, settle=10)
    assert bench.step_names[0] == "route feedthrough"
    assert bench.step_names[-1] == "done"
    assert bench.steps[-1][1] == 1.0


async def test_a_2450_is_refused_at_1_pa_with_numbers_and_a_remedy_before_anything_happens() -> None:
    bench = Bench(World(), KEITHLEY_2450)
    with pytest.raises(Refused) as refusal:
        await noise_test(bench, route="feedthrough")
    text = str(refusal.value)
    assert "10 nA range" in text
    assert "0.1 % + 100 pA" in text
    assert "1 pA ± 100 fA" in text
    assert "6430" in refusal.value.hint
    assert "1 nA and more" in refusal.value.hint
    assert bench.smu.record == []


async def test_a_2450_may_test_what_its_accuracy_supports() -> None:
    result = await noise_test(
        Bench(World(), KEITHLEY_2450), route="feedthrough", current="1.1 nA", duration=30, voltage_limit="10 V"
    )
    assert result["verdict"] == "pass"
    assert any("input would take 360 pA" in note for note in result["notes"])


async def test_refused_where_a_count_is_coarser_than_a_third_of_the_tolerance() -> None:
    coarse = tuple(r for r in KEITHLEY_6430.current_ranges if r.full_scale_a == 1e-10)
    coarse = (type(coarse[0])("100 pA", 1e-10, 5e-14, 0.0, 0.0),)
    with pytest.raises(Refused, match="one count is 50 fA, more than a third of the tolerance"):
        await noise_test(Bench(World(), limited(KEITHLEY_6430, current_ranges=coarse)))


async def test_refused_where_no_range_is_wide_enough() -> None:
    with pytest.raises(Refused, match="the highest current range is 1 nA"):
        await noise_test(Bench(World()), current="5 nA")


async def test_refused_where_the_input_takes_more_than_the_tolerance_from_a_cell() -> None:
    able = limited(KEITHLEY_6430, input_resistance_ohm=1e12)
    with pytest.raises(Refused, match=r"input of 1 TOhm takes 3.6 pA from the cell at 3.6 V") as refusal:
        await noise_test(Bench(World(), able), cell_voltage="3.6 V", voltage_limit="5 V")
    assert "36 TOhm or more" in refusal.value.hint


async def test_an_instrument_without_galvanostat_is_refused() -> None:
    able = limited(KEITHLEY_6430, techniques=frozenset({"open_circuit"}))
    with pytest.raises(Unsupported, match="cannot do galvanostatic; it can do: open_circuit"):
        await noise_test(Bench(World(), able))


async def test_an_unknown_route_is_refused_before_anything_happens() -> None:
    bench = Bench(World())
    with pytest.raises(InvalidValue, match="accepted: open, feedthrough"):
        await noise_test(bench, route="feed-through")
    assert bench.smu.record == []


async def test_a_route_without_a_feedthrough() -> None:
    bench = Bench(World())
    del bench.devices["feedthrough"]
    with pytest.raises(InvalidValue, match="no device plays 'feedthrough'"):
        await noise_test(bench, route="feedthrough")


async def test_an_open_loop_fails_and_says_so() -> None:
    bench = Bench(World())
    result = await noise_test(bench, route="open")
    assert result["verdict"] == "fail"
    assert "the loop is open" in result["reason"]
    assert result["end"] == "voltage_max"
    assert not bench.smu.on


async def test_over_range_fails() -> None:
    bench = Bench(World())

    def change(reading: Reading, index: int) -> Reading:
        return reading._replace(flags=Flag.OVERLOAD) if index == 90 else reading

    bench.smu.change = change
    result = await noise_test(bench, route="feedthrough", settle=2)
    assert result["verdict"] == "fail"
    assert "over range" in result["reason"]


async def test_a_test_that_somebody_stopped_is_inconclusive() -> None:
    bench = Bench(World())

    def before(index: int) -> None:
        if index == 150:
            bench.smu._stop.set()

    bench.smu.before_sample = before
    result = await noise_test(bench, route="feedthrough", settle=2)
    assert result["verdict"] == "inconclusive"
    assert "of 300 s" in result["reason"]


async def test_abort_leaves_the_source_off() -> None:
    bench = Bench(World())
    task = asyncio.create_task(noise_test(bench, route="feedthrough", duration=1e6))
    recording = asyncio.Event()
    bench.on_progress = lambda step: recording.set() if step == "recording" else None
    await recording.wait()
    assert bench.smu.on
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bench.smu.on
    assert bench.smu.record[-1] == "off"


async def test_a_lost_link_is_raised_with_what_to_do_about_the_cell() -> None:
    bench = Bench(World())

    def before(index: int) -> None:
        bench.smu.lost = index >= 100

    bench.smu.before_sample = before
    with pytest.raises(DeviceLost, match="the cable is out") as lost:
        await noise_test(bench, route="feedthrough")
    assert "disconnect it by hand" in lost.value.hint
    assert any("could not be proven off" in note for note in bench.notes)


async def test_a_relay_that_sticks_is_not_kept_quiet() -> None:
    bench = Bench(World())
    bench.smu.relay_stuck = True
    with pytest.raises(CellNotOff):
        await noise_test(bench, duration=20, settle=0)


async def test_mains_that_do_not_fit_the_interval_are_noted() -> None:
    bench = Bench(World())
    result = await noise_test(bench, route="feedthrough", interval="0.17 s", duration=30, settle=0)
    assert any("8.5 cycles of the 50 Hz mains" in note for note in result["notes"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"criterion": "good"}, "criterion is 'good'; accepted: seed, bounded, strict"),
        ({"current": "one pA"}, "current is 'one pA'"),
        ({"currant": "1 pA"}, "parameter 'currant' is not known; accepted: current_a"),
        ({"duration_s": -1}, "duration_s is -1; it must be greater than zero"),
        ({"averaging": "50 ms"}, "averaging_s is 0.05 s, shorter than interval_s"),
        ({"current_a": 0}, "tolerance_a is not given"),
        ({"current": 1e-12, "current_a": 1e-12}, "given twice"),
        ({"cell_voltage": "3.6 V"}, "voltage_limit_v is 1 V, within cell_voltage_v"),
    ],
)
def test_wrong_parameters_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        PROCEDURE.parse(values)


def test_parameters_take_units_and_si_numbers() -> None:
    parsed = PROCEDURE.parse({"current": "10 pA", "tolerance_a": 1e-12, "duration": "5 min", "criterion": "seed"})
    assert parsed == NoiseTest(current_a=1e-11, tolerance_a=1e-12, duration_s=300.0, criterion="seed")


async def test_a_test_that_fails_says_why() -> None:
    """The unshielded route picks 150 pA of mains up; a burst shows it as 7 ms of integration leave it (-1.8 dB)."""
    bench = Bench(World(seed=1))
    result = await noise_test(bench, route="manipulator-ground", current="1 pA")
    causes = {advice["cause"]: advice for advice in result["advice"]}
    assert set(causes) == {"mains pick-up", "leakage or offset"}
    assert "121 pA at 50 Hz" in causes["mains pick-up"]["evidence"]
    assert result["burst"]["rate_hz"] == near(1 / 0.007)
    assert bench.smu.record[-1] == "off"


async def test_a_test_that_passes_takes_no_burst_and_gives_no_advice() -> None:
    result = await noise_test(Bench(World()), route="feedthrough")
    assert result["advice"] == []
    assert result["burst"] is None


async def test_an_instrument_without_a_faster_rate_takes_no_burst() -> None:
    slow = limited(KEITHLEY_6430, interval_min_s=0.1)
    result = await noise_test(Bench(World(), slow), route="manipulator-ground", current="1 pA")
    assert result["burst"] is None
    assert result["verdict"] == "fail"
