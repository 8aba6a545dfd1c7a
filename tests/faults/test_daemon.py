"""Rows 6, 8, 17, 60 and 63: the daemon is killed, hangs, is ended, meets a step of the clock, or another daemon."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bridge.daemon.daemon import Daemon
from drivers.clock import SYSTEM_CLOCK
from drivers.errors import ConfigurationError, Interrupted, PicobridgeError, PortBusy
from tests.bridge.conftest import eventually

from .conftest import RigMaker
from .processes import SECONDS, Systemd, daemon_process, make_safe, write_config

pytestmark = pytest.mark.timeout(40)


async def test_06_the_daemon_is_killed_in_a_run(path: RigMaker, tmp_path: Path) -> None:
    """6. The daemon is killed with the source on. What systemd runs then switches it off; after the restart the user
    sees the run interrupted, and nothing goes on by itself."""
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        config = write_config(tmp_path, rig)
        async with daemon_process(config, rig) as process:
            run = await rig.measuring(samples=10, **SECONDS)
            process.kill()
            await process.wait()
        (killed,) = rig.recorder.streams
        assert rig.witness.is_on("pstat"), "nobody has switched it off yet"
        status, said = await make_safe(config, SERVICE_RESULT="signal")
        assert status == 0, said
        assert rig.witness.unsafe() == []
        assert "the output was on when picobridge connected" in said
        energised = rig.witness.energised["pstat"]
        async with daemon_process(config, rig) as process:
            state = await rig.recorder.now(f"runs/{run.id}/state", lambda s: s["status"] == "interrupted")
            await rig.connection("pstat", "connected")
            assert rig.witness.energised["pstat"] == energised, "nothing was resumed"
            assert state["resumed_by"] is None
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        await rig.check(killed=[killed], quiet="the run's state says interrupted, and an event when it was made safe")


async def test_08_the_event_loop_is_blocked(path: RigMaker, tmp_path: Path) -> None:
    """8. The daemon hangs with the source on. The watchdog is not fed; systemd (played by the test) kills it and runs
    what makes safe; after the restart the user sees the run interrupted."""
    systemd = Systemd(tmp_path, 1.0)
    try:
        async with path("pstat", speed=50.0, with_daemon=False) as rig:
            config = write_config(tmp_path, rig)
            async with daemon_process(config, rig, **systemd.environment) as process:
                await systemd.until("WATCHDOG=1")
                run = await rig.measuring(samples=5, **SECONDS)
                process.send_signal(signal.SIGSTOP)  # as from outside a blocked loop looks
                assert await systemd.starved()
                process.kill()
                await process.wait()
            (killed,) = rig.recorder.streams
            status, said = await make_safe(config, SERVICE_RESULT="watchdog")
            assert status == 0, said
            assert rig.witness.unsafe() == []
            async with daemon_process(config, rig):
                await rig.recorder.now(f"runs/{run.id}/state", lambda s: s["status"] == "interrupted")
            await rig.check(killed=[killed], quiet="the run's state says interrupted")
    finally:
        systemd.close()


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the wall clock of this process forward or back; what is monotonic goes on."""
    wall, wall_ns, offset_s = time.time, time.time_ns, 0.0

    def step_by(seconds: float) -> None:
        nonlocal offset_s
        offset_s += seconds

    monkeypatch.setattr(time, "time", lambda: wall() + offset_s)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + round(offset_s * 1e9))
    return step_by


@pytest.mark.parametrize("seconds", [-3600.0, 86400.0], ids=["an hour back", "a day ahead"])
async def test_17_the_wall_clock_is_set(path: RigMaker, step: Callable[[float], None], seconds: float) -> None:
    """17. The wall clock is set in the middle of a run. Samples keep their spacing, no time-out fires, requests are
    answered; events have the new time."""
    async with path("pstat", with_daemon=False) as rig:
        rig.clock_for = lambda _: SYSTEM_CLOCK
        async with rig.running():
            run = await rig.measuring(**SECONDS)
            step(seconds)
            await rig.arrived("pstat", rig.recorder.samples("pstat") + 10)
            assert (await rig.lab.request("ping"))["time_s"] - time.time() < 60
            await run.abort()
            (stream,) = rig.recorder.streams.values()
            times = [row["time_s"] for row in stream.rows.values()]
            steps = [after - before for before, after in pairwise(times)]
            assert min(steps) > 0
            assert max(steps) < 60
            event = await rig.recorder.event("aborted")
            assert abs(event["time_ns"] - time.time_ns()) < 60e9
            await rig.check(quiet="nothing was affected")


async def test_60_ended_in_a_run(path: RigMaker, tmp_path: Path) -> None:
    """60. The daemon is told to end (SIGTERM) with the source on. The user sees the run aborted; the source is proven
    off and every sample delivered before the process ends, with status 0."""
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        async with daemon_process(write_config(tmp_path, rig), rig) as process:
            run = await rig.measuring(samples=10, **SECONDS)
            process.send_signal(signal.SIGTERM)
            result = await rig.ended(run)
            assert result["status"] == "aborted"
            assert rig.witness.unsafe() == []
            assert await process.wait() == 0
        assert (await rig.recorder.now("status", lambda _: True))["status"] == "offline"
        await rig.check(quiet="the run's state says aborted, and the status offline")


async def test_60_ended_in_a_move(path: RigMaker, tmp_path: Path) -> None:
    """60. The daemon is told to end (SIGTERM) during a move. The motion is stopped before the process ends; whoever
    waits for the move is told."""
    async with path("emstat", "stage", speed=1.0, with_daemon=False) as rig:
        async with daemon_process(write_config(tmp_path, rig), rig) as process:
            rig.mock("emstat").timeline.speed = 50.0
            await rig.measured("emstat", duration_s="0.5 s", **SECONDS)
            move = asyncio.ensure_future(rig.refused(rig.lab.stage.move_by(x_m=50e-3)))
            await rig.moving("stage", move)
            process.send_signal(signal.SIGTERM)
            await move
            assert await process.wait() == 0
        assert "ABO" in rig.mock("stage").record
        assert rig.world.chamber.stage.x_m < 0.11, "it did not get to its target"
        await rig.check(quiet="the status is offline")


async def test_60_whoever_waits_for_a_move_is_told(path: RigMaker) -> None:
    """60. The daemon ends during a move. Whoever waits for the move is told which device was stopped, and what to
    do."""
    async with path("emstat", "stage", speed=1.0, with_daemon=False) as rig:
        async with rig.running():
            rig.mock("emstat").timeline.speed = 200.0
            await rig.measured("emstat")
            move = asyncio.ensure_future(rig.refused(rig.lab.stage.move_by(x_m=50e-3)))
            await rig.moving("stage", move)
            await rig.daemon.__aexit__(None, None, None)
            error = await move
        rig.told(error, Interrupted, "stage")
        await rig.check()


async def test_63_a_second_daemon_on_the_same_state(path: RigMaker) -> None:
    """63. A second daemon is started with the same configuration. It refuses to start and says who is there; the first
    one's run does not notice."""
    async with path("emstat") as rig:
        run = await rig.measuring("emstat")
        with pytest.raises(ConfigurationError) as refused:
            async with Daemon(rig.config, clock_for=rig.clock_for):
                pytest.fail("a second daemon was let in")
        rig.told(refused.value, ConfigurationError, "")
        await rig.arrived("emstat", rig.recorder.samples("emstat") + 10)
        await run.abort()
        await rig.check()


async def test_63_a_second_daemon_on_the_same_ports(path: RigMaker, tmp_path: Path) -> None:
    """63. A second daemon with a state of its own wants the same port. It is told who has it; the first one's run does
    not notice."""
    async with path("emstat") as rig:
        run = await rig.measuring("emstat")
        first = rig.daemon
        async with Daemon(rig.second(tmp_path), clock_for=rig.clock_for) as second:
            await eventually(second.devices["emstat"].connection.tried.is_set)
            error = second.devices["emstat"].connection.error
            assert isinstance(error, PicobridgeError)
            rig.told(error, PortBusy, "emstat")
        assert first.devices["emstat"].connected
        await rig.arrived("emstat", rig.recorder.samples("emstat") + 10)
        await run.abort()
        await rig.check()
