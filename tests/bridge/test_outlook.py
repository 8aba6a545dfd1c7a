"""What may be done now, asked of a daemon: fresh, by as little reading as there may be, and with who holds what."""

from __future__ import annotations

import asyncio
from typing import Any

from drivers.interfaces import StagePosition

from .conftest import Rig, RigMaker


async def acts(r: Rig) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["device"], one["act"]): one for one in (await r.request("outlook"))["acts"]}


async def test_faults_and_holders_are_told(rig: RigMaker) -> None:
    async with rig() as r:
        assert all(one["allowed"] and one["held_by"] is None for one in (await acts(r)).values())
        await r.request("lease", device="stage")
        told = await acts(r)
        assert told["stage", "tilt"]["held_by"] == "test"
        assert told["pstat", "energise"]["held_by"] is None
        await r.request("emergency_stop")
        for one in (await acts(r)).values():
            assert not one["allowed"]
            assert one["fault"]["error"] == "FaultLatched"
            assert "emergency stop" in one["fault"]["message"]


async def test_many_who_look_read_the_devices_once(rig: RigMaker) -> None:
    """And a device that does not answer keeps nobody from an answer; its question is not taken back."""
    async with rig() as r:
        stage, answer = r.device("stage"), asyncio.Event()
        questions, taken_back = 0, 0

        async def position() -> StagePosition:
            nonlocal questions, taken_back
            questions += 1
            try:
                await answer.wait()
            except asyncio.CancelledError:
                taken_back += 1
                raise
            return StagePosition(0.0, 0.0, 0.0, 0.0, 0.0)

        stage.position = position
        r.daemon._observer.observations.forget_one("stage.position")
        looking = {asyncio.create_task(r.request("outlook")) for _ in range(5)}
        answered: set[asyncio.Task[Any]] = set()
        while len(answered) < 4:  # all but the one who asked the device
            done, looking = await asyncio.wait(looking, return_when=asyncio.FIRST_COMPLETED)
            answered |= done
        assert all("limits" in rules_against_tilt(task.result()) for task in answered)
        assert questions <= 2, "one of the daemon's own round, and one for all who look"
        assert not taken_back
        answer.set()
        await asyncio.gather(*looking)
        await eventually_allowed(r)


def rules_against_tilt(told: dict[str, Any]) -> list[str]:
    (tilt,) = [one for one in told["acts"] if one["act"] == "tilt"]
    return [rule["rule"] for rule in tilt["rules"]]


async def eventually_allowed(r: Rig) -> None:
    """As soon as it may be read again."""
    async with asyncio.timeout(20):
        while rules_against_tilt(await r.request("outlook")):  # noqa: ASYNC110  # what a page does
            await asyncio.sleep(0.05)
