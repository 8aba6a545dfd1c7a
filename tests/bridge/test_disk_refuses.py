"""The state's disk takes nothing, or something of our own breaks: devices and acts are looked after all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.daemon import connection
from bridge.daemon.guard import INTERLOCK
from bridge.daemon.heartbeat import Heartbeat
from bridge.daemon.safety_watch import SafetyWatch
from bridge.safety.acts import act_of_call
from bridge.safety.leases import Ended, Lease
from bridge.store.errors import StoreError

from .conftest import Rig, RigMaker, eventually

MOVE = act_of_call("stage", "stage", "move_by", {"x_m": 1e-6})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(connection, "POLL_S", 0.05)


async def refuse(*arguments: Any, **fields: Any) -> Any:
    raise StoreError("no space left on device")


def full(r: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("raise_fault", "set_cause_gone"):
        monkeypatch.setattr(r.daemon._state.faults, name, refuse)


async def test_an_emergency_stop_says_what_is_safe_and_is_acknowledged_when_there_is_room(
    rig: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(devices=("stage",)) as r:
        with monkeypatch.context() as patched:
            full(r, patched)
            answer = await r.request("emergency_stop")
        assert answer == {"runs": [], "devices": {"stage": "safe"}, "fault": None, "stored": False}
        (fault,) = (await r.request("faults"))["open"]
        assert fault["cause_gone"]
        await r.daemon._guard.faults.store_again()
        (fault,) = (await r.request("faults"))["open"]
        await r.request("acknowledge", fault=fault["id"], ticket=fault["ticket"])
        assert (await r.request("emergency_stop"))["stored"]


async def test_a_device_comes_back_although_its_fault_cannot_be_stored(
    rig: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(devices=("stage",)) as r:
        await r.daemon._guard.faults.latch("lost", "stage", "lost in a move")
        full(r, monkeypatch)
        r.device("stage").wire.unplug()
        r.device("stage").wire.there = True
        await eventually(lambda: r.daemon.devices["stage"].connected)
        assert all(fault.cause_gone for fault in r.daemon._guard.faults.open())


async def test_what_breaks_in_connecting_is_tried_again(rig: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(devices=("stage",)) as r:
        observer = r.daemon._observer
        broken: list[bool] = []
        connected = observer.connected

        def breaks_once(*arguments: Any) -> None:
            if not broken:
                broken.append(True)
                raise OSError(28, "no space left on device")
            connected(*arguments)

        monkeypatch.setattr(observer, "connected", breaks_once)
        r.device("stage").wire.unplug()
        r.device("stage").wire.there = True
        await eventually(lambda: bool(broken) and r.daemon.devices["stage"].connected)


async def test_a_broken_rule_stays_broken_over_a_reconnection(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        guard = r.daemon._guard
        await guard.faults.latch(INTERLOCK + "mine", "stage", "a rule was broken")
        await guard.faults.latch(INTERLOCK + "old", "stage", "of an earlier daemon")
        guard.causes[INTERLOCK + "mine", "stage"] = MOVE
        await guard.sound("stage")
        assert {one.kind: one.cause_gone for one in guard.faults.open()} == {
            INTERLOCK + "mine": False,
            INTERLOCK + "old": True,
        }
        await guard.forget("stage")
        assert all(one.cause_gone for one in guard.faults.open())


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_device_that_is_changed_is_not_known_before_the_new_one_was_read(
    rig: RigMaker, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    async with rig(devices=("stage",)) as r:
        guard, supervision = r.daemon._guard, r.daemon._supervision
        await guard.faults.latch("lost", "stage", "lost in a move")
        full(r, monkeypatch)
        await supervision.close(supervision.retire("stage"), comes_back=comes_back)
        (fault,) = guard.faults.open()
        assert fault.cause_gone is not comes_back
        assert ("stage" in guard.faults.starting()) is comes_back


async def test_the_watch_goes_on_whatever_breaks(rig: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule's end that the disk refuses; a step that raises; a device that does not answer its stop."""
    async with rig(devices=("stage", "relay")) as r:
        guard, told = r.daemon._guard, []
        heartbeat = Heartbeat("safety")
        watch = SafetyWatch(guard, r.daemon.devices, r.daemon.runs, r.daemon.events, heartbeat)
        r.daemon.events.heard = lambda event: told.append(event["text"])
        hold, looked = asyncio.Event(), []

        def breaks(now: float) -> Any:
            looked.append(now)
            raise ZeroDivisionError("a mistake of ours")

        monkeypatch.setattr(guard.interlocks, "poll", breaks)
        monkeypatch.setattr("bridge.daemon.safety_watch.PERIOD_S", 0.001)
        watch._begin("stopping the stage", "stage", hold.wait())  # type: ignore[arg-type]
        watch._begin("ending a move", "move", refuse())
        lease = Lease(id="x", group="relay", holder="me", fence=1, ttl_s=1.0, until_s=1.0)
        over = [Ended(lease, "nothing came")]
        monkeypatch.setattr(guard.leases, "expire", lambda: [over.pop()] if over else [])
        task = asyncio.create_task(watch.run())
        await eventually(lambda: len(looked) >= 3)
        assert not task.done()
        assert heartbeat._due is not None
        assert len([text for text in told if "a mistake of ours" in text]) == 1
        assert len([text for text in told if "ending a move broke: no space" in text]) == 1
        assert any("nothing came: relay is free again" in text for text in told), "though the stage does not answer"
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done(), "what was begun is done first"
        hold.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert heartbeat._due is None
