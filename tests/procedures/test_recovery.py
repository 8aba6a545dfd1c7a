"""After a short: cleaned again with the area of section 1.4 of the domain note, given up, or on regardless."""

from __future__ import annotations

import pytest

from bridge.procedures.recovery import Section, after_short, through_shorts
from drivers.errors import HealthStop, InvalidValue
from mocks.world import World
from tests.near import near

from .bench import Bench


def short(kind: str = "short") -> HealthStop:
    return HealthStop("short: 50 mV stands still", finding={"kind": kind, "evidence": {"resistance_ohm": 1e10}})


async def test_cleaned_again_corrects_area_and_current() -> None:
    """5 x 2 um re-cleaned to 4.6 x 1.8 um: 8.28 um2, and 4.14 pA instead of 5."""
    bench = Bench(World())
    bench.answers += ["cleaned again", ("done", {"length": "4.6 um", "width": "1.8 um"})]
    recovery = await after_short(bench, short(), area_m2=1e-11, current_a=5e-12)
    assert recovery.area_m2 == near(8.28e-12, rel=1e-9)
    assert recovery.current_a == near(4.14e-12, rel=1e-9)
    assert recovery.to_dict()["by"] == "bench"
    assert recovery.to_dict()["finding"]["kind"] == "short"
    assert "8.28 um2" in bench.notes[-1]
    assert "50 mV stands still" in bench.questions[0].text


async def test_giving_up_raises_the_stop_again() -> None:
    bench = Bench(World())
    bench.answers.append("give up")
    stop = short()
    with pytest.raises(HealthStop) as raised:
        await after_short(bench, stop)
    assert raised.value is stop
    assert "bench" in bench.notes[-1]


async def test_going_on_regardless_is_kept_with_who_said_so() -> None:
    bench = Bench(World())
    bench.answers.append("go on regardless")
    recovery = await after_short(bench, short(), area_m2=1e-11, current_a=5e-12)
    assert (recovery.area_m2, recovery.current_a, recovery.by) == (1e-11, 5e-12, "bench")
    assert "bench goes on regardless" in bench.notes[-1]


async def test_what_is_no_short_asks_nobody() -> None:
    bench = Bench(World())
    with pytest.raises(HealthStop):
        await after_short(bench, short("contact_lost"))
    assert not bench.questions


async def test_an_attempt_is_repeated_with_the_new_area_until_it_is_through() -> None:
    bench = Bench(World())
    bench.answers += ["cleaned again", ("done", {"length": "4.6 um", "width": "1.8 um"}), "go on regardless"]
    seen = []

    async def attempt(area_m2: float | None, current_a: float | None) -> str:
        seen.append((area_m2, current_a))
        if len(seen) < 3:
            raise short()
        return "done"

    result, recoveries = await through_shorts(bench, attempt, area_m2=1e-11, current_a=5e-12)
    assert result == "done"
    assert [recovery.choice for recovery in recoveries] == ["cleaned again", "go on regardless"]
    assert seen[0] == (1e-11, 5e-12)
    assert seen[2] == seen[1]
    assert seen[1][0] == near(8.28e-12, rel=1e-9)


def test_the_damaged_layer_does_not_count() -> None:
    """Domain note 1.1: 25 nm on each surface take 3.5 % off 5 x 2 um."""
    section = Section(length_m=5e-6, width_m=2e-6, damage_m=25e-9)
    assert section.area_m2 == near(1e-11 * (1 - 0.0348), rel=1e-3)
    with pytest.raises(InvalidValue, match="damage_m"):
        Section(length_m=5e-6, width_m=40e-9, damage_m=25e-9)
