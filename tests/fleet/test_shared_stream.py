"""What one member of a group hears, keeps and tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.client import SharedStream, shared
from bridge.client.connection import Listener
from bridge.daemon.recorder_groups import GRACE_S
from bridge.transfer import codec
from bridge.transfer.mqtt import Incoming
from drivers.errors import BridgeUnreachable, Unsupported
from tests.bridge.fakes import ramp
from tests.client.conftest import BenchMaker, bench

from .test_recorder_groups import Extent, Rig

__all__ = ["bench"]

LIVE, OWN = "picobridge/lab/devices/pstat/samples", "picobridge/lab/replay/test"
TOTAL, SIZE = 120, 4


class Daemon(Rig):
    """The real `RecorderGroups` over blocks that it has, and members that hear some of them."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.blocks = [block.rebased("s", block.first_index) for block in ramp(TOTAL, SIZE)]
        self.there["s"] = Extent(0, TOTAL)
        self.members = [self.member(f"m{number}") for number in range(members)]
        self.away = 0

    def member(self, name: str) -> SharedStream:
        listener = Listener((LIVE, OWN), False)

        async def ask(method: str, params: Mapping[str, Any]) -> Any:
            await asyncio.sleep(0)
            if self.away:
                self.away -= 1
                raise BridgeUnreachable("the daemon is away")
            if method == "group_recorded":
                return await self.groups.handlers[method](params)
            assert method == "replay"
            for block in self.blocks:
                if block.next_index > params["first_index"] and block.first_index < params["next_index"]:
                    listener.offer(Incoming(OWN, codec.encode(block)))
            return {"next_index": params["next_index"], "missing": []}

        return SharedStream(listener, ask, "archive", name)


def taken(stream: SharedStream) -> set[int]:
    got: set[int] = set()
    while (block := stream.take()) is not None:
        got |= set(range(block.first_index, block.next_index))
    return got


@given(
    st.lists(st.sampled_from([0, 1, 2, None]), min_size=TOTAL // SIZE, max_size=TOTAL // SIZE),
    st.lists(st.sampled_from(["tell 0", "tell 1", "restart", "away", "later"]), max_size=20),
    st.sampled_from([1, 3, 1500]),
)
def test_whoever_hears_what_all_is_acknowledged_in_the_end_and_nothing_before_it_is_kept(
    heard_by: list[int | None], acts: list[str], told_at_once: int
) -> None:
    """Member 2 dies before it has told anything; the daemon is restarted and away in between."""

    async def run() -> None:
        daemon = Daemon(3)
        for block, number in zip(daemon.blocks, heard_by, strict=True):
            if number is not None:
                daemon.members[number]._listener.offer(Incoming(LIVE, codec.encode(block)))
        disks: list[set[int]] = [set(), set()]

        async def tell(number: int) -> None:
            member = daemon.members[number]
            disks[number] |= taken(member)
            try:
                await member.recorded(member.handed_on())
            except BridgeUnreachable:
                return
            await asyncio.gather(*member._fetching)
            assert daemon.cursors.reached.get("s", 0) <= len(disks[0] | disks[1])
            assert set(range(daemon.cursors.reached.get("s", 0))) <= disks[0] | disks[1]

        for act in [*acts, *(["tell 0", "tell 1", "later"] * 12)]:
            if act == "restart":
                daemon.restart()
            elif act == "away":
                daemon.away = 1
            elif act == "later":
                daemon.now_s += GRACE_S
            else:
                await tell(int(act[-1]))
        assert daemon.cursors.reached == {"s": TOTAL}
        assert disks[0] | disks[1] == set(range(TOTAL))

    with patch.object(shared, "_TOLD_AT_ONCE", told_at_once), patch.object(shared, "AGAIN_S", 0.0):
        asyncio.run(run())


async def test_what_comes_twice_is_left_out() -> None:
    daemon = Daemon(1)
    (member,) = daemon.members
    for _ in range(2):
        for block in daemon.blocks[:3]:
            member._listener.offer(Incoming(LIVE, codec.encode(block)))
    member._listener.offer(Incoming(LIVE, b"rubbish"))
    assert taken(member) == set(range(3 * SIZE))
    assert (member.received, member.duplicated, member.malformed) == (3 * SIZE, 3 * SIZE, 1)


async def test_a_broker_without_shared_subscriptions_is_named(bench: BenchMaker) -> None:
    async with bench("pstat") as b:
        with pytest.raises(Unsupported, match="has no shared subscriptions") as caught:
            await b.lab.shared_samples("archive", "a").__aenter__()
        assert "Mosquitto" in caught.value.hint
