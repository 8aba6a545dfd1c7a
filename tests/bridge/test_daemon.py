"""The daemon over fake devices and real brokers: what is published, what requests do, what stopping means."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from bridge.daemon.config import BrokerConfig
from bridge.safety.interlock_options import InterlockOptions
from drivers.errors import Busy, InterlockViolated, InvalidValue, MoveFailed, PicobridgeError
from drivers.interfaces import GaugeStatus, Pressure

from .conftest import RigMaker
from .fakes import START_NS, ramp

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


async def test_devices_are_announced(rig: RigMaker, any_broker: BrokerConfig) -> None:
    def underrange(made: dict[str, Any]) -> None:
        made["gauge"].reading = Pressure(float("nan"), False, GaugeStatus.UNDERRANGE)

    async with rig(any_broker, prepare=underrange) as r:
        status = await r.listener.json(f"{r.prefix}/status")
        assert status["status"] == "online"
        info = await r.listener.json(f"{r.prefix}/devices/stage/info", lambda info: info["identity"] is not None)
        assert info["interface"] == "stage"
        assert info["identity"] == {"make": "Fake", "model": "FakeStage", "serial": "42", "firmware": "1.0"}
        assert info["capabilities"]["limits"] == {"x_m": [-0.065, 0.065]}
        state = await r.listener.json(f"{r.prefix}/devices/pstat/state")
        assert (state["connection"], state["mode"], state["run"]) == ("connected", "idle", None)
        latest = await r.listener.json(f"{r.prefix}/devices/gauge/latest")
        assert latest["pressure_pa"] is None
        assert latest["valid"] is False


async def test_every_sample_of_a_run_arrives(rig: RigMaker, any_broker: BrokerConfig) -> None:
    async with rig(any_broker) as r:
        r.device("pstat").script = lambda technique: ramp(1000, 7)
        first = await r.run(**GALVANOSTATIC)
        result = await r.result(first)
        assert result["status"] == "finished"
        assert result["result"] == {"technique": "galvanostatic", "end": "duration", "samples": 1000}
        second = await r.run(**GALVANOSTATIC)
        streams = (await r.result(second))["streams"]["pstat"]
        assert (streams["first_index"], streams["next_index"]) == (1000, 2000)
        topic = f"{r.prefix}/devices/pstat/samples"
        await r.listener.until(lambda: r.listener.count(topic) == 2000)
        samples = r.listener.samples(topic)
        assert np.array_equal(samples["index"], np.arange(2000))
        assert np.array_equal(samples["voltage_v"], np.concatenate([np.arange(1000.0)] * 2))
        block = r.listener.blocks(topic)[0]
        assert block["stream"] == streams["stream"]
        assert block["start_time_ns"] == START_NS
        assert block["attributes"]["run"] == first
        assert block["attributes"]["range"] == "1 nA"
        assert block["attributes"]["technique"] == "galvanostatic"
        state = await r.listener.json(f"{r.prefix}/devices/pstat/state", lambda s: s["published"] == 2000)
        assert (state["pending"], state["next_index"]) == (0, 2000)
        latest = await r.listener.json(f"{r.prefix}/devices/pstat/latest", lambda s: s["index"] == 1999)
        assert latest["voltage_v"] == 999.0


async def test_values_in_si_reach_the_device(rig: RigMaker) -> None:
    async with rig() as r:
        seen: list[Any] = []

        def script(technique: Any) -> Any:
            seen.append(technique)
            return ramp(3)

        r.device("pstat").script = script
        await r.result(await r.run(technique="galvanostatic", current="10 pA", duration="1 min", voltage_max=None))
        assert (seen[0].current_a, seen[0].duration_s, seen[0].voltage_max_v) == (1e-11, 60.0, None)
        position = await r.request("call", device="stage", method="move_to", arguments={"x_m": "1.5 mm"})
        assert position["x_m"] == 0.0015


async def test_a_refusal_says_what_is_accepted(rig: RigMaker) -> None:
    async with rig() as r:
        with pytest.raises(InterlockViolated, match="x_m would be 1 m") as caught:
            await r.request("call", device="stage", method="move_to", arguments={"x": 1.0})
        assert caught.value.hint == "Needed: x_m from -0.065 to 0.065 m is accepted."
        with pytest.raises(InvalidValue, match="accepted: identify, position"):
            await r.request("call", device="stage", method="explode")
        with pytest.raises(InvalidValue, match="accepted: pstat, stage"):
            await r.request("call", device="stag", method="position")
        with pytest.raises(InvalidValue, match="accepted: ping, devices"):
            await r.request("moveto")
        with pytest.raises(InvalidValue, match="open_circuit, galvanostatic"):
            await r.run(technique="galvano")
        with pytest.raises(InvalidValue, match="potentiostat is 'stage', a stage; accepted: pstat"):
            await r.request("run", procedure="technique", parameters=GALVANOSTATIC, devices={"potentiostat": "stage"})
        assert r.device("stage").done == ["stop", "identify"]


async def test_a_run_has_its_device_for_itself(rig: RigMaker) -> None:
    go = asyncio.Event()
    async with rig() as r:
        r.device("pstat").script = lambda technique: [*ramp(5, end=False), go.wait]
        run = await r.run(**GALVANOSTATIC)
        await r.listener.until(lambda: len(r.listener.of(f"{r.prefix}/devices/pstat/samples")) > 0)
        with pytest.raises(Busy, match=f"pstat is used by run {run}"):
            await r.run(**GALVANOSTATIC)
        assert (await r.request("call", device="pstat", method="identify"))["make"] == "Fake"
        state = await r.request("abort", run=run)
        assert state["status"] == "aborted"
        assert r.device("pstat").done[-1] == "off"
        assert not r.device("pstat").cell_on
        assert (await r.result(run))["status"] == "aborted"
        again = await r.run(**GALVANOSTATIC)
        go.set()
        assert (await r.result(again))["status"] == "finished"


async def test_stop_goes_past_everything(rig: RigMaker, any_broker: BrokerConfig) -> None:
    both = InterlockOptions(off=("cell-off",))  # or a cell that is on and a stage that moves exclude each other
    async with rig(any_broker, interlocks=both) as r:
        stage, pstat = r.device("stage"), r.device("pstat")
        stage.slow = True
        pstat.script = lambda technique: [*ramp(5, end=False), asyncio.Event().wait]
        run = await r.run(**GALVANOSTATIC)
        moving = asyncio.create_task(r.request("call", device="stage", method="move_to", arguments={"x": 0.01}))
        await stage.moving.wait()
        with pytest.raises(Busy):
            await r.request("call", device="stage", method="move_to", arguments={"x": 0.02})
        await r.listener.client.publish(f"{r.prefix}/request/stop", "not even JSON", qos=1)
        with pytest.raises(MoveFailed, match="stopped"):
            await moving
        assert (await r.result(run))["status"] == "aborted"
        assert not pstat.cell_on
        assert stage.done[-1] == "stop"
        outcome = await r.request("stop")
        assert outcome == {"runs": [], "devices": dict.fromkeys(("pstat", "stage", "relay", "gauge"), "safe")}


async def test_a_failed_run_says_why(rig: RigMaker) -> None:
    async def fail() -> None:
        raise PicobridgeError("the moon is full", device="pstat", hint="Wait.")

    async def explode() -> None:
        raise ZeroDivisionError("oops")

    async with rig() as r:
        for cause, text in ((fail, "the moon is full"), (explode, "internal error: ZeroDivisionError('oops')")):
            r.device("pstat").script = lambda technique, cause=cause: [*ramp(5, end=False), cause]
            result = await r.result(await r.run(**GALVANOSTATIC))
            assert result["status"] == "failed"
            assert result["error"]["message"] == text
            assert not r.device("pstat").cell_on


@pytest.mark.mosquitto
async def test_stopping_ends_runs_and_flushes(rig: RigMaker, mosquitto: Any) -> None:
    broker = BrokerConfig(address=mosquitto.address)
    async with rig(broker) as r:
        pstat, stage, prefix = r.device("pstat"), r.device("stage"), r.prefix
        pstat.script = lambda technique: [*ramp(5000, end=False), asyncio.Event().wait]
        run = await r.run(**GALVANOSTATIC)
        await r.listener.until(lambda: len(r.listener.of(f"{prefix}/devices/pstat/samples")) > 0)
        await r.daemon.__aexit__(None, None, None)
        await r.listener.json(f"{prefix}/status", lambda status: status["status"] == "offline")
        assert (await r.result(run))["status"] == "aborted"
        assert (pstat.cell_on, pstat.transport.is_open) == (False, False)
        assert stage.done[-1] == "stop"
        published = (await r.result(run))["streams"]["pstat"]["next_index"]
        samples = r.listener.samples(f"{prefix}/devices/pstat/samples")
        assert np.array_equal(samples["index"], np.arange(published))
        assert r.daemon.left_behind == 0


async def test_procedures_are_listed(rig: RigMaker) -> None:
    async with rig() as r:
        by_name = {procedure["name"]: procedure for procedure in await r.request("procedures")}
        assert {"technique", "noise-test", "cycle"} <= set(by_name)
        assert by_name["cycle"]["roles"]["potentiostat"] == {
            "interface": "potentiostat",
            "required": True,
            "several": False,
        }
        assert all(parameter["help"] for parameter in by_name["cycle"]["parameters"])
        devices = await r.request("devices")
        assert devices["stage"]["connection"] == "connected"
        assert (await r.request("ping"))["bridge"] == "lab"


async def test_a_sample_without_a_time_ends_no_run(rig: RigMaker) -> None:
    blocks = ramp(30, 10)
    blocks[1].data["time_s"][3:5] = float("nan")
    blocks[2].data["time_s"][-1] = float("nan")
    async with rig() as r:
        r.device("pstat").script = lambda technique: blocks
        assert (await r.result(await r.run(**GALVANOSTATIC)))["status"] == "finished"
