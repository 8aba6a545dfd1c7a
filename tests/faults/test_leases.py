"""Rows 41, 42 and 47: whoever controls a stage dies, is frozen and thaws, or wants it at the same time as another."""

from __future__ import annotations

import asyncio
import signal

import pytest

from bridge.client import connect
from bridge.safety.leases import TTL_S
from drivers.errors import Busy, LeaseLost, PicobridgeError
from tests.bridge.conftest import eventually

from .audit import audited
from .clients import LeaseClock, moving_by_hand
from .conftest import RigMaker
from .rig import Rig

pytestmark = pytest.mark.timeout(40)


async def about_to_move(rig: Rig) -> None:
    """Something is recorded, and the stage goes as slowly as a real one."""
    await rig.measured("emstat")
    rig.mock("stage").timeline.speed = 1.0


async def test_41_the_client_that_moves_a_stage_dies(path: RigMaker) -> None:
    """41. The program that moves the stage is killed. When its lease has run out, the stage is stopped, by its own
    record; everybody sees why in the events, and the stage is free for the next one."""
    async with path("emstat", "stage") as rig:
        await about_to_move(rig)
        clock = LeaseClock(rig)
        async with moving_by_hand(rig) as hand:
            hand.process.kill()
            await hand.process.wait()
            rig.told(await rig.refused(rig.lab.request("lease", {"device": "stage"})), Busy, "")
            assert rig.witness.is_moving("stage"), "its lease has not run out yet"
            clock.pass_by(TTL_S)
            event = await rig.recorder.event("nothing came from hand")
            assert "stage was stopped" in event["text"]
            await eventually(lambda: "ABO" in rig.mock("stage").record)
        (moved,) = [r for r in audited(rig, "intent") if r["method"] == "move_by"]
        assert moved["fence"] == hand.fence
        await eventually(lambda: any(r["of"] == moved["seq"] and not r["done"] for r in audited(rig, "outcome")))
        (ended,) = audited(rig, "lease ended")
        assert (ended["fence"], ended["stopped"]) == (hand.fence, ["stage"])
        assert (await rig.lab.request("lease", {"device": "stage"}))["fence"] == hand.fence + 1
        assert rig.witness.moves("stage") == 1
        await rig.check()


async def test_42_a_frozen_client_thaws_and_sends(path: RigMaker) -> None:
    """42. The program that moves the stage is frozen (SIGSTOP); the stage is stopped, and somebody else takes it. When
    the program thaws it goes on sending under its old lease: refused, and told who has the stage now."""
    async with path("emstat", "stage") as rig:
        await about_to_move(rig)
        clock = LeaseClock(rig)
        async with moving_by_hand(rig) as hand:
            hand.process.send_signal(signal.SIGSTOP)
            clock.pass_by(TTL_S)
            await rig.recorder.event("stage was stopped")
            await eventually(lambda: not rig.daemon.devices["stage"].busy)
            async with rig.lab.control("stage"):
                hand.move_again()
                hand.process.send_signal(signal.SIGCONT)
                said = (await hand.said())["error"]
                rig.told(said, LeaseLost, "stage")
                assert rig.witness.moves("stage") == 1, "nothing was sent"
                (held,) = await rig.lab.request("leases")
                assert held["holder"].startswith("faults-")
                assert held["fence"] > hand.fence
        await rig.check()


async def test_47_two_clients_want_the_same_lease(path: RigMaker) -> None:
    """47. Two programs ask for the stage at the same moment, again and again. Exactly one gets it; the other is told
    who has it, and cannot move it."""
    async with path("emstat", "stage") as rig, connect(str(rig.mosquitto.address), bridge="lab", name="other") as other:
        await about_to_move(rig)
        fences = []
        for _ in range(10):
            answers = await asyncio.gather(
                *(lab.request("lease", {"device": "stage"}) for lab in (rig.lab, other)), return_exceptions=True
            )
            (granted,) = [a for a in answers if isinstance(a, dict)]
            (refused,) = [a for a in answers if isinstance(a, PicobridgeError)]
            rig.told(refused, Busy, "")
            fences.append(granted["fence"])
            loser = (rig.lab, other)[answers.index(refused)]
            rig.told(await rig.refused(loser.request("lease", {"device": "stage"})), Busy, "")
            move = {"device": "stage", "method": "move_by", "arguments": {"x_m": 1e-6}}
            rig.told(await rig.refused(loser.request("call", move)), Busy, "stage")
            assert len(await rig.lab.request("leases")) == 1
            await other.request("release", {"lease": granted["lease"]})
        assert fences == list(range(fences[0], fences[0] + 10)), "the number grows by one with each grant"
        assert rig.witness.moves("stage") == 0
        await rig.check()
