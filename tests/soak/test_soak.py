"""A soak of a simulated day, with each kind of fault that is quick at least once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .report import as_json, table
from .soak import Options, soak

#: In this order, one after the other: processes and brokers, wires, people.
SCRIPT = (
    "recorder killed",
    "daemon killed",
    "replies garbled",
    "broker killed",
    "vacuum lost",
    "emergency stop",
    "configuration reloaded",
    "unplugged",
    "daemon ended",
    "request flood",
)


@pytest.mark.mosquitto
@pytest.mark.timeout(120)
async def test_a_day_of_cycling_with_faults(tmp_path: Path, without_debug: None) -> None:
    options = Options(seed=3, seconds=60.0, speed=4320.0, interval_s=30.0)
    outcome = await soak(options, tmp_path, SCRIPT)
    print(table(options, outcome))
    print("\n".join(outcome.tally.log))
    assert outcome.problems == []
    assert set(outcome.tally.faults) == set(SCRIPT)
    found = as_json(options, outcome)
    assert found["samples"]["missing"] == 0
    assert found["samples"]["delivered"] > 100
    assert found["recorder"]["starts"] == 2
    assert len(outcome.lives) == 3
    assert found["acknowledged"] > 0
