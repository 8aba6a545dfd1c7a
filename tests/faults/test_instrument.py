"""Rows 33 to 38: the instrument itself misbehaves."""

from __future__ import annotations

import errno
import math
import re
from itertools import pairwise
from typing import Any

import pytest

from drivers.errors import CellNotOff, DeviceError, DeviceLost, MoveFailed
from drivers.samples import Flag

from .conftest import RigMaker


@pytest.mark.parametrize("device", ["pstat", "emstat", "tdstat"])
async def test_33_rebooted_in_a_measurement(path: RigMaker, device: str) -> None:
    """33. The instrument starts again in the middle of a measurement. The user sees the run fail and why; the state of
    the cell is read, and the measurement does not go on by itself."""
    async with path(device) as rig:
        run = await rig.measuring(device)
        rig.mock(device).power_cycle()
        if device == "tdstat":  # it lives on the bus's power, and is enumerated anew
            await rig.served[device].unplug()
            await rig.served[device].replug()
        result = await rig.ended(run)
        assert result["status"] == "failed"
        rig.told(result["error"], rig.kind(result["error"]), device)
        energised = rig.witness.energised[device]
        await rig.acknowledged(device)
        await rig.measured(device)
        assert rig.witness.energised[device] == energised + 1
        await rig.check()


async def test_34_the_firmware_refuses_a_script(path: RigMaker) -> None:
    """34. The firmware stops a script with an error, which leaves the cell on. The user gets the error's number and
    meaning; the cell is switched off by a script of its own."""
    async with path("emstat") as rig:
        rig.mock("emstat").fault_after = (5, 0x4023)
        run = await rig.start("emstat")
        result = await rig.ended(run)
        rig.told(result["error"], DeviceError, "emstat")
        assert result["error"]["detail"]["code"] == 0x4023
        await rig.measured("emstat")
        await rig.check()


async def test_34_the_board_is_busy(path: RigMaker) -> None:
    """34. A relay board answers "busy". The user gets its exception code as a typed error; nothing is switched."""
    async with path("emstat", "relays") as rig:
        rig.mock("relays").refuse_with = 6
        before = list(rig.mock("relays").record)
        rig.told(await rig.refused(rig.lab.relays.select("cell")), DeviceError, "relays")
        rig.mock("relays").refuse_with = None
        switched = [entry for entry in rig.mock("relays").record[len(before) :] if not entry.startswith("read")]
        assert switched == []
        await rig.measured("emstat")
        await rig.check()


async def test_34_the_stage_is_refused_by_the_microscope(path: RigMaker) -> None:
    """34. SmartSEM refuses a move (the touch alarm has tripped). The user gets its number and meaning; the move is sent
    once."""
    async with path("emstat", "stage") as rig:
        rig.world.chamber.touch_alarm = "tripped"
        error = await rig.refused(rig.lab.stage.move_by(x_m=1e-3))
        rig.told(error, type(error), "stage")
        assert rig.witness.moves("stage") == 1
        await rig.measured("emstat")
        await rig.check()


async def test_34_the_stage_stops_short_of_its_target(path: RigMaker) -> None:
    """34. The stage is blocked and comes to rest elsewhere. The user gets where it is; the move is not repeated."""
    async with path("emstat", "stage") as rig:
        rig.mock("stage").short_of_x_mm = 0.5
        error = await rig.refused(rig.lab.stage.move_by(x_m=1e-3))
        rig.told(error, MoveFailed, "stage")
        assert rig.witness.moves("stage") == 1
        await rig.measured("emstat")
        await rig.check()


async def test_35_over_range_and_no_value(path: RigMaker) -> None:
    """35. The instrument says "no value" in the middle of a measurement. It is in the record as NaN with the flag that
    says why, among values that are what they were."""
    packages = 0

    def rewrite(line: str) -> str | None:
        nonlocal packages
        packages += line.startswith("P")
        return re.sub(";ab.{8}", ";ab     nan", line) if packages in (4, 5) else line

    async with path("emstat") as rig:
        rig.mock("emstat").rewrite = rewrite
        run = await rig.start("emstat")
        await rig.arrived("emstat", 12)
        await run.abort()
        rows = [row for stream in rig.recorder.streams.values() for row in stream.rows.values()]
        without = [row for row in rows if math.isnan(row["voltage_v"]) or math.isnan(row["current_a"])]
        assert without
        assert all(int(row["flags"]) & (Flag.INVALID | Flag.OVERLOAD) for row in without)
        await rig.check(quiet="it is a sample with a flag, kept as it is")


async def test_35_overload_in_a_measurement(path: RigMaker) -> None:
    """35. The contact opens and the source runs into its compliance. The samples say so; the source is not taken for
    one whose set point flows."""
    async with path("pstat") as rig:
        run = await rig.measuring("pstat")
        rig.world.wiring.set_relay(0, False)
        flagged = lambda: any(  # noqa: E731
            int(row["flags"]) & (Flag.COMPLIANCE | Flag.OVERLOAD)
            for stream in rig.recorder.streams.values()
            for row in stream.rows.values()
        )
        await rig.recorder.until(lambda: flagged() or run.ended, "a sample at the limit")
        assert flagged()
        if not run.ended:
            await run.abort()
        else:
            error = (await rig.ended(run))["error"]
            rig.told(error, rig.kind(error), "pstat")
        await rig.check(routes=(), quiet="" if rig.judged else "the samples say it")


async def test_36_the_stream_stalls(path: RigMaker) -> None:
    """36. The script stands still and the port stays open. The user sees the run fail because nothing came; the cell is
    off."""
    async with path("emstat") as rig:
        run = await rig.measuring("emstat", interval_s="0.2 s")
        rig.mock("emstat").halt()
        result = await rig.ended(run, 30.0)
        assert result["status"] == "failed"
        rig.told(result["error"], rig.kind(result["error"]), "emstat")
        await rig.connection("emstat", "connected")
        await rig.check()


async def test_37_the_instruments_clock_wraps(path: RigMaker) -> None:
    """37. The instrument's clock starts again at zero in the middle of a measurement. Times go on as if it had not."""
    async with path("pstat", mock={"pstat": {"clock_s": 99_990.0}}) as rig:
        mock: Any = rig.mock("pstat")
        restart = mock.restart_clock
        mock.restart_clock = lambda from_s=0.0: restart(99_990.0)  # to where the driver believes that zero is
        run = await rig.start("pstat")
        await rig.arrived("pstat", 30)
        assert mock.clock_s < 1000.0, "it has wrapped"
        await run.abort()
        (stream,) = rig.recorder.streams.values()
        times = [row["time_s"] for row in stream.rows.values()]
        steps = [after - before for before, after in pairwise(times)]
        assert min(steps) > 0
        await rig.check(quiet="nothing was lost")


FAULTS = {
    "EPIPE once": lambda wire: wire.stall(0x81),
    "ETIMEDOUT": lambda wire: wire.fail_next("read", errno.ETIMEDOUT),
    "zero-length packet": lambda wire: wire.zero_length_packet(),
    "short packet": lambda wire: wire.send(b"\x00\x01"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_38_usb_faults_that_can_be_survived(path: RigMaker, fault: str) -> None:
    """38. A transfer stalls, times out, or brings an empty or a short packet. The halt is cleared once, the link proves
    itself in step again, and the user sees either nothing or a typed error, never a wrong value."""
    async with path("tdstat") as rig:
        run = await rig.measuring("tdstat")
        FAULTS[fault](rig.served["tdstat"].wire)
        await rig.arrived_or_ended(run, "tdstat", 15)
        if run.ended or f"runs/{run.id}/result" in rig.recorder.told:
            error = (await rig.ended(run))["error"]
            rig.told(error, rig.kind(error), "tdstat")
        else:
            await run.abort()
        await rig.acknowledged("tdstat")
        await rig.measured("tdstat")
        await rig.check(quiet="" if rig.judged else "the halt was cleared, or it was asked again")


async def test_38_the_usb_device_is_gone(path: RigMaker) -> None:
    """38. A transfer fails with ENODEV. The user sees the device lost and the cell not proven off; it is connected and
    switched off as soon as it answers."""
    async with path("tdstat") as rig:
        run = await rig.measuring("tdstat")
        rig.served["tdstat"].wire.fail_next("write", errno.ENODEV)  # type: ignore[attr-defined]
        result = await rig.ended(run)
        rig.told(result["error"], CellNotOff, "tdstat")
        lost = await rig.recorder.newest("devices/tdstat/state", lambda s: s["error"] is not None)
        rig.told(lost["error"], DeviceLost, "tdstat")
        await rig.acknowledged("tdstat")
        await rig.measured("tdstat")
        await rig.check()
