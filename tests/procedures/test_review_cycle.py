"""What a result must not say of a run that was stopped."""

from __future__ import annotations

from .test_cycle import cycle, on_cell


async def test_a_discharge_that_was_stopped_half_way_makes_no_efficiency() -> None:
    bench = on_cell()

    def before(index: int) -> None:
        discharging = [line for line in bench.smu.record if line.startswith("on")][-1] == "on -1e-10"
        if discharging and index == 3:
            bench.smu._stop.set()

    bench.smu.before_sample = before
    result = await cycle(bench, current="100 pA", interval="1 s", rest=0, capacity_limit="10 nC")
    assert [step["end"] for step in result["cycles"][0]["steps"]] == ["capacity", "stopped"]
    assert result["discharge_ah"] > 0
    assert result["coulombic_efficiency"] is None
    assert result["cycles"][0]["coulombic_efficiency"] is None
