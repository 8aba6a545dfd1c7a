"""Rows 5 and 53: a link that is slow, a recorder that stands still. Who comes late gets everything from the disk."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from bridge.client import complete, connect
from bridge.daemon.config import BrokerConfig
from bridge.transfer import aiomqtt_session
from bridge.transfer.aiomqtt_client import Client
from tests.bridge.conftest import Mosquitto, eventually

from .archive import Archive, archived, on_disk
from .conftest import RigMaker
from .slow_proxy import slow_proxy

QUEUE_BYTES = 30_000


@pytest.fixture
def short_send_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel would take off the daemon's hands is no part of the link."""

    def client(*arguments: Any, socket_options: Any, **options: Any) -> Any:
        shorter = [*socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)]
        return Client(*arguments, socket_options=shorter, **options)

    monkeypatch.setattr(aiomqtt_session, "Client", client)


async def test_05_a_slow_link(path: RigMaker, short_send_queue: None) -> None:
    """5. The link to the broker takes 4 kB a second, less than is measured. The run goes on. What shows the newest
    value skips values and stays new; the samples come late, what waits for the broker stays bounded, and the rest is
    on disk, where recorders get it."""
    async with (
        path("pstat", with_daemon=False, queue_bytes=QUEUE_BYTES) as rig,
        slow_proxy(rig.mosquitto.address) as (address, proxy),
        rig.running(broker=BrokerConfig(address=address)),
        rig.lab.listen("devices/pstat/latest") as latest,
    ):
        shown = skipped = 0
        uplink = rig.daemon.uplink
        offer = uplink.latest

        def counted(topic: str, payload: bytes) -> None:
            nonlocal shown, skipped
            shown += topic.endswith("pstat/latest")
            skipped += topic in uplink._latest  # the one before was not sent yet, and is not going to be
            offer(topic, payload)

        run = await rig.measuring()
        uplink.latest = counted  # type: ignore[method-assign]
        while latest.take() is not None:
            pass
        proxy.bytes_per_s = 4000.0
        pump: Any = rig.daemon.devices["pstat"].pump
        waited = [0]

        def overflowed() -> bool:
            waited.append(pump.waiting_bytes)
            return bool(pump.left_to_replay > 200 and skipped)

        await eventually(overflowed, 20)
        assert rig.witness.is_on("pstat"), "the run goes on"
        assert QUEUE_BYTES - 5_000 < max(waited) < QUEUE_BYTES + 5_000
        assert pump.next_index - rig.recorder.samples("pstat") > 100, "late"
        proxy.restore()
        await run.abort()
        await on_disk(rig)
        came = 0
        while latest.take() is not None:
            came += 1
        assert came <= shown - skipped, "thinned, and none of those that were left out came later"
        blocks = await archived(rig)
        assert blocks.missing == 0
        await rig.check(quiet="a slow link is no fault; the state says what is left to replay")


async def test_53_a_recorder_that_stood_still_gets_the_rest_from_the_disk(
    path: RigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """53. A recorder stops reading; the broker keeps a hundred messages for it and drops the others. The measurement
    does not notice. When the recorder reads again, it asks for what it missed and has every sample, in order."""
    monkeypatch.setattr(complete, "CHECK_S", 0.2)
    small = Mosquitto(tmp_path, "max_queued_messages 100", "max_inflight_messages 10")
    small.start()
    try:
        async with (
            path("pstat", mosquitto=small) as rig,
            connect(str(small.address), bridge="lab", name="slow") as slow,
            slow.complete_samples(recorder="slow") as blocks,
        ):
            run = await rig.measuring()
            session: Any = slow._connection._session
            raw = session._client.raw.socket()
            loop = asyncio.get_running_loop()
            loop.remove_reader(raw)  # it takes nothing from its socket any more
            try:
                pump: Any = rig.daemon.devices["pstat"].pump
                taken = pump.next_index
                await eventually(lambda: pump.next_index > taken + 400)
                assert pump.pending < 100
                assert rig.witness.is_on("pstat")
            finally:
                loop.add_reader(raw, session._client._read)
            await run.abort()
            await on_disk(rig)
            archive = Archive()
            await archive.fill(blocks)
            assert blocks.missing == 0
            assert blocks.replayed > 100, "the broker had dropped them"
            (recorded,) = await _told(blocks, slow)
            assert recorded == {"slow": pump.next_index}
            archive.takes_the_place_of(rig.recorder)
            await rig.check(quiet="the slow one hurts nobody but itself, and only for a while")
    finally:
        small.stop()


async def _told(blocks: Any, lab: Any) -> list[Any]:
    """The daemon is told what is kept; what it then says of each stream."""
    await blocks.recorded(blocks.handed_on())
    return [one["recorded"] for one in await lab.request("streams")]
