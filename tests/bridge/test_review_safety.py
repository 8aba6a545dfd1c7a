"""The safe direction is open whatever else is wrong: with an id, a device or a driver."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from bridge.daemon import connection
from drivers.errors import DeviceTimeout, MoveFailed

from .conftest import RigMaker, eventually
from .fakes import ramp

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


async def broken() -> Any:
    """What a driver with a mistake in it does."""
    raise ZeroDivisionError("a mistake in the driver")


async def test_a_stop_whose_id_was_used_before_is_executed_all_the_same(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        stage = r.device("stage")
        stop = {"id": "panic", "from": "me", "expires_at": time.time() + 10}
        for _ in range(3):
            await r.listener.client.publish(f"{r.prefix}/request/stop", json.dumps(stop), qos=1)
        await eventually(lambda: bool(stage.done.count("stop") == 4))  # connecting is the first


async def test_a_lost_device_that_can_still_be_reached_is_made_safe(rig: RigMaker) -> None:
    """Declared lost after some bad answers, and left to its run for a while: its wire is there."""
    async with rig(devices=("pstat",)) as r:
        held = asyncio.Event()
        items: list[Any] = [*ramp(5, 5, end=False), held.wait, *ramp(5, 5)]
        r.device("pstat").script = lambda technique: items
        await r.run(**GALVANOSTATIC)
        await eventually(lambda: bool(r.device("pstat").cell_on))
        r.daemon.devices["pstat"].connection.lose(DeviceTimeout("three bad answers"))
        assert (await r.request("stop"))["devices"] == {"pstat": "safe"}


async def test_a_driver_that_breaks_keeps_no_other_device_from_being_made_safe(rig: RigMaker) -> None:
    async with rig(devices=("stage", "pstat")) as r:
        r.device("stage").stop = broken
        outcome = await r.request("stop")
        assert outcome["devices"]["pstat"] == "safe"
        assert "ZeroDivisionError" in outcome["devices"]["stage"]["message"]
    # and leaving, which makes safe too, has raised nothing
    assert r.device("pstat").done[-2:] == ["stop", "cell_off"]


async def test_a_driver_that_breaks_goes_on_being_watched(rig: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "POLL_S", 0.02)
    monkeypatch.setattr(connection, "BACKOFF_S", (0.02, 0.1))
    async with rig(devices=("stage",)) as r:
        stage = r.device("stage")
        polls = 0

        async def breaking() -> Any:
            nonlocal polls
            polls += 1
            await broken()

        position, stage.position = stage.position, breaking
        await eventually(lambda: polls >= 3)
        stage.position = position
        stage.wire.unplug(noticed=False)
        await r.listener.json(f"{r.prefix}/devices/stage/state", lambda s: s["connection"] == "lost")


async def test_a_stop_is_not_held_up_by_a_move_under_way(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        stage = r.device("stage")
        stage.slow = True
        move = asyncio.ensure_future(r.request("call", device="stage", method="move_to", arguments={"x_m": 0.01}))
        await eventually(stage.moving.is_set)
        assert (await r.request("stop"))["devices"] == {"stage": "safe"}
        with pytest.raises(MoveFailed):
            await move
