"""The newest ended runs stay on the broker and in the list; older ones go, also those of an earlier daemon."""

from __future__ import annotations

import gc

import pytest

from bridge.analysis.health.watch import HealthWatch
from bridge.daemon.config import BrokerConfig
from bridge.daemon.run import Run
from bridge.transfer.mqtt import BrokerAddress

from .conftest import Mosquitto, Rig, RigMaker
from .listener import listen

SHORT = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "0.2 s"}


async def finished(r: Rig) -> str:
    run = await r.run(**SHORT)
    await r.result(run)
    return run


def all_of(*runs: str) -> dict[str, set[str]]:
    return {kind: set(runs) for kind in ("state", "result", "manifest")}


async def retained_runs(address: BrokerAddress) -> dict[str, set[str]]:
    """What a client finds that comes now: the runs by the kind of topic. A message of its own tells it when it has
    everything."""
    found = all_of()
    async with listen(address, "picobridge/lab/runs/#", "all-there") as listener:
        await listener.client.publish("all-there", b"now", qos=1)
        await listener.until(lambda: bool(listener.of("all-there")))
        for message in listener.messages:
            if message.retain:
                _, run, kind = str(message.topic).rsplit("/", 2)
                found[kind].add(run)
    return found


@pytest.mark.mosquitto
async def test_those_of_an_earlier_daemon_go_too(
    rig: RigMaker, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.daemon.ended_runs.KEPT", 3)
    broker = BrokerConfig(address=mosquitto.address)
    async with rig(broker, devices=("pstat", "gauge")) as r:
        first = [await finished(r) for _ in range(4)]
        assert [state["run"] for state in await r.request("runs")] == first[1:]
    assert await retained_runs(mosquitto.address) == all_of(*first[1:])
    async with rig(broker, devices=("pstat", "gauge")) as r:
        second = [await finished(r) for _ in range(2)]
    assert await retained_runs(mosquitto.address) == all_of(first[-1], *second)


async def test_an_ended_run_can_be_aborted_without_effect(rig: RigMaker) -> None:
    async with rig(devices=("pstat", "gauge")) as r:
        run = await finished(r)
        state = await r.request("abort", run=run)
        assert (state["run"], state["status"]) == (run, "finished")
        assert await r.request("runs") == [state]


async def test_of_an_ended_run_nothing_but_its_state_is_in_memory(rig: RigMaker) -> None:
    """Without the collector: the buffers of its detectors, and the frames of its error, go as it ends."""
    async with rig(devices=("pstat", "gauge")) as r:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await finished(r)
            watches = [each for each in gc.get_objects() if isinstance(each, HealthWatch)]
        finally:
            gc.enable()
        assert watches == []
        gc.collect()
        assert [each for each in gc.get_objects() if isinstance(each, Run)] == []
