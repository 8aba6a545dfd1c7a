"""What a run needs on the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.daemon.space import Promised, expected_bytes
from drivers.errors import RunFailed
from drivers.techniques import CyclicVoltammetry, Galvanostatic

from .conftest import RigMaker
from .fakes import ramp


def test_a_technique_needs_its_samples_twice() -> None:
    parsed = Galvanostatic(current_a=1e-9, duration_s=86_400, interval_s=0.1)
    assert expected_bytes(parsed, 1) == 2 * 40 * 864_000
    assert expected_bytes(parsed, 3) == 3 * expected_bytes(parsed, 1)
    assert expected_bytes(parsed, 0) == 0


def test_a_run_of_unknown_length_is_taken_to_last_a_week() -> None:
    sweep = CyclicVoltammetry(begin_v=0, vertex1_v=1, vertex2_v=-1, rate_v_per_s=0.1, cycles=1000)
    assert expected_bytes(sweep, 1) == 2 * 40 * 7 * 864_000


def test_what_is_promised_is_what_is_still_to_be_written() -> None:
    promised = Promised()
    taken = 0
    promised.add("a", 80_000, lambda: taken)
    promised.add("b", 8_000, lambda: 1_000_000)  # longer than it was worked out to be
    assert promised.bytes == 80_000
    taken = 250
    assert promised.bytes == 60_000
    promised.remove("a")
    assert promised.bytes == 0


@pytest.mark.parametrize("place", ["spool", "record"])
async def test_the_disk_has_room_for_one_of_two_long_runs(
    rig: RigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The second is refused, though the first has written nearly nothing; it may start when the first has ended."""
    technique = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "86400 s", "interval_s": "0.1 s"}
    one = expected_bytes(Galvanostatic(current_a=1e-11, duration_s=86_400, interval_s=0.1), 1)

    async with rig(data_dir=tmp_path / "runs", devices=("pstat", "second", "gauge")) as r:

        async def start(device: str) -> str:
            r.device(device).script = lambda technique: [*ramp(20, 5)[:1], asyncio.Event().wait]
            devices = {"potentiostat": device}
            return str((await r.request("run", procedure="technique", parameters=technique, devices=devices))["run"])

        free = r.daemon.config.min_free_bytes + one + one // 2
        if place == "spool":
            monkeypatch.setattr(r.daemon.streams.spool, "free_bytes", lambda: free)
        else:
            monkeypatch.setattr(r.daemon._records._recorder, "_free", lambda folder: free)
        first = await start("pstat")
        with pytest.raises(RunFailed, match=r"too full .*\(69 MB for its samples, 69 MB for runs under way\)"):
            await start("second")
        await r.request("abort", run=first)
        await r.request("abort", run=await start("second"))
