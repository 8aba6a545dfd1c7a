"""What somebody has begun who lets go is stopped; what cannot be proven safe at the end is told by the exit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.errors import CellNotOff, MoveFailed

from .conftest import RigMaker, eventually
from .fakes import ramp

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


@pytest.mark.parametrize("how", ["release", "takeover"])
async def test_a_lease_that_ends_stops_what_moves_under_it(rig: RigMaker, how: str) -> None:
    async with rig() as r:
        stage = r.device("stage")
        stage.slow = True
        lease = await r.request("lease", device="stage", ttl="60 s")
        asked = {"device": "stage", "method": "move_to", "arguments": {"x": 0.01}}
        named = {"lease": lease["lease"], "fence": lease["fence"]}
        moving = asyncio.create_task(r.listener.request(r.prefix, "call", asked, **named))
        await stage.moving.wait()
        if how == "release":
            await r.request("release", lease=lease["lease"])
        else:
            await r.request("takeover", device="stage", reason="it goes the wrong way")
        with pytest.raises(MoveFailed):
            await moving
        assert stage.done[-1] == "stop"
        await r.listener.event("stage was stopped")


async def test_nobody_can_have_recorded_more_than_there_is(rig: RigMaker) -> None:
    async with rig(devices=("pstat", "gauge")) as r:
        r.device("pstat").script = lambda technique: ramp(30, 10)
        await r.result(await r.run(**GALVANOSTATIC))
        (stream,) = await r.request("streams")
        answer = await r.request("recorded", recorder="archive", stream=stream["stream"], next_index=2**62)
        assert answer["next_index"] == 30


async def test_a_source_that_was_not_proven_off_shows_in_the_exit(rig: RigMaker) -> None:
    async def cell_off() -> None:
        raise CellNotOff("relay reads closed")

    async with rig(devices=("pstat", "gauge")) as r:
        pstat: Any = r.device("pstat")
        pstat.cell_off = cell_off
    assert r.daemon.unproven == ["pstat"]


async def test_a_stop_is_heard_while_the_daemon_stops(rig: RigMaker) -> None:
    async with rig() as r:
        stage = r.device("stage")
        await r.daemon._requests.close()  # the first step of stopping
        await r.listener.client.publish(f"{r.prefix}/request/ping", b"{}", qos=1)
        await r.listener.event("the daemon is stopping")
        before = stage.done.count("stop")
        await r.listener.client.publish(f"{r.prefix}/request/stop", b"", qos=1)
        await eventually(lambda: stage.done.count("stop") == before + 1)
