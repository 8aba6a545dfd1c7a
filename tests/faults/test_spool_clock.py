"""Row 17: that the wall clock was set is told and audited, and the samples on disk are not touched by it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bridge.daemon import clock_watch

from .archive import archived, on_disk
from .conftest import RigMaker


@pytest.mark.parametrize("seconds", [-3600.0, 86400.0], ids=["an hour back", "a day ahead"])
async def test_17_the_step_is_recorded(
    path: RigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """17. The wall clock is set in the middle of a run. The user reads by how much, and so does the audit; the run goes
    on, and everything that was measured is on disk in order, and nothing of it counts as old."""
    monkeypatch.setattr(clock_watch, "LOOK_S", 0.05)
    wall, wall_ns = time.time, time.time_ns
    async with path("pstat") as rig:
        run = await rig.measuring()
        monkeypatch.setattr(time, "time", lambda: wall() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + round(seconds * 1e9))
        event = await rig.recorder.event("the computer's clock was set")
        assert abs(event["values"]["step_s"] - seconds) < 0.5
        assert event["severity"] == "warning"
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
        await run.abort()
        await on_disk(rig)
        blocks = await archived(rig)
        assert blocks.missing == 0
        steps = [event for event in rig.recorder.told["events"] if "clock was set" in event["text"]]
        assert len(steps) == 1, "told once"
        await rig.check(quiet="an event and the audit say it")
    lines = [line for file in (tmp_path / "state" / "audit").iterdir() for line in file.read_text().splitlines()]
    (audited,) = [json.loads(line) for line in lines if "clock set" in line]
    assert abs(audited["step_s"] - seconds) < 0.5
