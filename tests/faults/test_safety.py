"""Rows 7, 18, 20 and 55: killed between the audit and the wire, asleep, lost in a move, and a stop that meets a
device in the middle of its answer."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from bridge.daemon import safety_watch
from bridge.safety.audit_chain import verify
from bridge.safety.suspension import Suspension, since_boot_s
from drivers.errors import DeviceLost, FaultLatched, MoveFailed, RunFailed
from tests.bridge.conftest import eventually

from .audit import audited
from .conftest import RigMaker
from .processes import SECONDS, daemon_process, write_config

pytestmark = pytest.mark.timeout(40)

#: `picobridge run` whose acts wait for ever, right behind the audit and before the wire
_HELD_BEHIND_THE_AUDIT = """
import asyncio
from bridge.cli.main import main
from bridge.safety.audit import Audit

intent = Audit.intent

async def held(self, *arguments, **fields):
    await intent(self, *arguments, **fields)
    await asyncio.Event().wait()

Audit.intent = held
raise SystemExit(main())
"""


async def test_07_killed_between_the_audit_and_the_wire(path: RigMaker, tmp_path: Path) -> None:
    """7. The daemon is killed when an act is in the audit and none of its bytes are on the wire. The audit has an
    intent without an outcome, in a chain that is whole; after the restart the instrument is asked how it is, the user
    finds the fault latched and the run interrupted, and nothing is energised until somebody has acknowledged."""
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        config = write_config(tmp_path, rig)
        async with daemon_process(config, rig, program=_HELD_BEHIND_THE_AUDIT) as process:
            run = await rig.start(**SECONDS)
            await eventually(lambda: len(audited(rig, "intent")) == 1)
            process.kill()
            await process.wait()
        assert rig.witness.energised["pstat"] == 0, "nothing was on the wire"
        (intent,) = audited(rig, "intent")
        assert (intent["device"], intent["run"]) == ("pstat", run.id)
        assert audited(rig, "outcome") == []
        asked = len(rig.mock("pstat").record)
        async with daemon_process(config, rig):
            state = await rig.recorder.now(f"runs/{run.id}/state", lambda s: s["status"] == "interrupted")
            assert state["resumed_by"] is None
            await rig.connection("pstat", "connected")
            await rig.read("pstat")
            assert "OUTP?" in " ".join(rig.mock("pstat").record[asked:]), "it was read, not assumed"
            rig.told(await rig.refused(rig.start(**SECONDS)), FaultLatched, "pstat")
            assert rig.witness.energised["pstat"] == 0
            assert await rig.acknowledged("pstat") == 1
            again = await rig.measuring(**SECONDS)
            await again.abort()
            assert verify(rig.config.state_dir / "audit").broken == ""
            await rig.check()


async def test_18_the_computer_sleeps(path: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """18. The computer sleeps for an hour, with the source on and a stage moving by hand. Everybody is told for how
    long, and that samples may be missing; the run has failed and its source is off, the motion is stopped, and every
    lease is void."""
    slept_s = 0.0
    asleep = partial(Suspension, since_boot=lambda: since_boot_s() + slept_s)
    monkeypatch.setattr(safety_watch, "Suspension", asleep)
    async with path("emstat", "stage") as rig:
        run = await rig.measuring("emstat", interval_s="0.1 s")
        rig.mock("stage").timeline.speed = 1.0
        move = asyncio.ensure_future(rig.refused(rig.lab.stage.move_by(x_m=50e-3)))
        await rig.moving("stage", move)
        slept_s = 3600.0
        result = await rig.ended(run)
        rig.told(result["error"], RunFailed, "")
        event = await rig.recorder.event(
            "the computer slept for 3600 s: all leases are void, and samples may be missing"
        )
        assert 3599.0 < event["values"]["slept_s"] < 3601.0
        rig.told(await move, MoveFailed, "stage")
        assert await rig.lab.request("leases") == []
        assert {ended["stopped"] == ["stage"] for ended in audited(rig, "lease ended")} == {True}
        await rig.check()


async def test_20_lost_in_a_move_and_back(path: RigMaker) -> None:
    """20. A stage is unplugged in a move and comes back. Its position is read before anything else is done with it; a
    move is refused with the latched fault until somebody has acknowledged, which moves nothing."""
    async with path("emstat", "stage") as rig:
        await rig.measured("emstat")
        rig.mock("stage").timeline.speed = 20.0
        move = asyncio.ensure_future(rig.refused(rig.lab.stage.move_by(x_m=50e-3)))
        await rig.moving("stage", move)
        await rig.served["stage"].unplug()
        rig.told(await move, DeviceLost, "stage")
        await rig.connection("stage", "lost")
        record = len(rig.mock("stage").record)
        await rig.served["stage"].replug()
        await rig.connection("stage", "connected")
        (fault,) = await rig.read("stage")
        assert fault["kind"] == "lost"
        since = rig.mock("stage").record[record:]
        assert "C95?" in since
        assert not [command for command in since if command.startswith("C95 ")], "it was looked at, not moved"
        refused = await rig.refused(rig.lab.stage.move_by(x_m=1e-6))
        rig.told(refused, FaultLatched, "stage")
        assert refused.detail["faults"][0]["id"] == fault["id"]
        assert await rig.acknowledged("stage") == 1
        assert rig.witness.moves("stage") == 1
        await rig.check()


async def test_55_a_stop_while_a_stage_keeps_its_answer_to_itself(path: RigMaker) -> None:
    """55. The emergency stop is pressed while a moving stage is asked where it is and does not answer. The stop goes
    past the question: nothing else is sent before it, and the stage stops though its answer never came."""
    async with path("emstat", "stage") as rig:
        await rig.measured("emstat")
        rig.mock("stage").timeline.speed = 1.0
        move = asyncio.ensure_future(rig.refused(rig.lab.stage.move_by(x_m=50e-3)))
        await rig.moving("stage", move)
        withheld = rig.served["stage"].faults.silence()
        await eventually(lambda: withheld.hits > 0)
        asked = len(rig.mock("stage").record)
        stopping = asyncio.ensure_future(rig.lab.emergency_stop())
        await eventually(lambda: len(rig.mock("stage").record) > asked)
        assert rig.mock("stage").record[asked] == "ABO"
        assert not rig.witness.is_moving("stage")
        rig.served["stage"].faults.clear()
        assert (await stopping)["devices"] == {"emstat": "safe", "stage": "safe"}
        error = await move
        rig.told(error, rig.kind(error.to_dict()), "stage")
        rig.told(await rig.refused(rig.lab.stage.move_by(x_m=1e-6)), FaultLatched, "stage")
        await rig.check()


async def test_55_a_stop_while_a_source_keeps_its_reading_to_itself(path: RigMaker) -> None:
    """55. The emergency stop is pressed while a source-measure unit that is on was asked for a reading and does not
    answer. The next that it gets is what switches it off."""
    async with path("pstat", options={"pstat": {"timeout": 2.0}}) as rig:
        run = await rig.measuring()
        withheld = rig.served["pstat"].faults.silence()
        await eventually(lambda: withheld.hits > 0)
        asked = len(rig.mock("pstat").record)
        stopping = asyncio.ensure_future(rig.lab.emergency_stop())
        await eventually(lambda: len(rig.mock("pstat").record) >= asked + 2)
        assert rig.mock("pstat").record[asked : asked + 2] == [":OUTP:SMOD HIMP", ":OUTP OFF"]
        await eventually(lambda: not rig.witness.is_on("pstat"))
        rig.served["pstat"].faults.clear()
        await stopping
        assert (await rig.ended(run))["status"] == "aborted"
        rig.told(await rig.refused(rig.start()), FaultLatched, "pstat")
        await rig.check()
