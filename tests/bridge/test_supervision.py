"""Devices that are missing, lost, exchanged or broken, and what the others and the runs notice of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon import connection
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from drivers.errors import (
    CellNotOff,
    ConfigurationError,
    DeviceLost,
    DeviceTimeout,
    FaultLatched,
    PicobridgeError,
    Unsupported,
    WrongDevice,
)

from .conftest import RigMaker, eventually
from .fakes import ramp
from .state_file import runs_under_way

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(connection, "POLL_S", 0.05)
    monkeypatch.setattr(connection, "POTENTIOSTAT_POLL_S", 0.05)


async def test_a_missing_device_does_not_keep_the_others_from_working(rig: RigMaker) -> None:
    def unplug(made: dict[str, Any]) -> None:
        made["stage"].wire.unplug()

    async with rig(prepare=unplug) as r:
        with pytest.raises(DeviceLost, match="stage is not connected: no such device"):
            await r.request("call", device="stage", method="position")
        assert (await r.request("call", device="relay", method="select", arguments={"route": "cell"})) == "cell"
        state = await r.listener.json(f"{r.prefix}/devices/stage/state")
        assert (state["connection"], state["error"]["error"]) == ("failed", "DeviceLost")
        r.device("stage").wire.there = True
        await r.listener.json(f"{r.prefix}/devices/stage/state", lambda s: s["connection"] == "connected")
        assert (await r.request("call", device="stage", method="position"))["x_m"] == 0.0


@pytest.mark.parametrize("noticed", [True, False], ids=["while idle", "by its heart-beat"])
async def test_a_lost_device_is_said_once_and_comes_back_safe(rig: RigMaker, noticed: bool) -> None:
    async with rig() as r:
        stage = r.device("stage")
        stage.wire.unplug(noticed=noticed)
        await r.listener.json(f"{r.prefix}/devices/stage/state", lambda s: s["connection"] == "lost")
        await eventually(lambda: bool(stage.wire.vain >= 3))
        stage.wire.there = True
        await eventually(lambda: r.daemon.devices["stage"].connected)
        assert [what for what in stage.done if what != "position"] == ["stop", "identify"] * 2
        assert (await r.request("call", device="stage", method="position"))["x_m"] == 0.0
        await r.request("ping")
        texts = [json.loads(event)["text"] for event in r.listener.of(f"{r.prefix}/events")]
        assert [text for text in texts if "stage" in text] == [
            "stage is lost: unplugged",
            "stage is connected: Fake FakeStage 42",
        ]
        stage.wire.unplug()
        await eventually(lambda: r.listener.of(f"{r.prefix}/events")[-1].count(b"stage is lost: unplugged") == 1)


async def test_the_source_goes_off_first_when_the_link_comes_back(rig: RigMaker) -> None:
    async with rig() as r:
        pstat = r.device("pstat")
        hold = asyncio.Event()
        pstat.script = lambda technique: [*ramp(5, end=False), hold.wait, *ramp(5)]
        run = await r.run(**GALVANOSTATIC)
        await r.listener.until(lambda: r.listener.count(f"{r.prefix}/devices/pstat/samples") == 5)
        pstat.wire.unplug()
        hold.set()
        result = await r.result(run)
        assert (result["status"], result["error"]["error"]) == ("failed", "DeviceLost")
        asked_before = len(pstat.done)
        pstat.wire.there = True
        await eventually(lambda: r.daemon.devices["pstat"].connected)
        assert pstat.done[asked_before : asked_before + 2] == ["stop", "cell_off"]
        pstat.script = lambda technique: ramp(5)
        with pytest.raises(FaultLatched, match="pstat was lost during galvanostatic") as caught:
            await r.run(**GALVANOSTATIC)
        (fault,) = caught.value.detail["faults"]
        await r.request("acknowledge", fault=fault["id"], ticket=fault["ticket"])
        assert (await r.result(await r.run(**GALVANOSTATIC)))["status"] == "finished"


async def test_another_serial_number_is_refused(rig: RigMaker) -> None:
    async with rig(devices=("stage",), serial="4711") as r:
        state = await r.listener.json(f"{r.prefix}/devices/stage/state", lambda s: s["error"] is not None)
        assert state["error"]["error"] == WrongDevice.__name__
        assert state["error"]["message"] == "serial number 42 answers where 4711 is configured"
        with pytest.raises(DeviceLost, match="4711 is configured"):
            await r.request("call", device="stage", method="move_to", arguments={"x": 0})
        assert not r.device("stage").transport.is_open


async def test_silence_is_tolerated_a_little(rig: RigMaker) -> None:
    async with rig(devices=("relay",)) as r:
        relay, watched, log = r.device("relay"), r.daemon.devices["relay"].connection, []
        lose = watched.lose

        async def route() -> str:
            log.append("silence")
            raise DeviceTimeout("no answer within 1 s")

        def noticed(error: PicobridgeError) -> None:
            log.append("lost")
            lose(error)

        relay.route, watched.lose = route, noticed
        await r.listener.json(f"{r.prefix}/devices/relay/state", lambda s: s["connection"] == "lost")
        assert log[: connection.POLL_FAILURES + 1] == ["silence"] * connection.POLL_FAILURES + ["lost"]


async def test_a_safe_state_that_is_not_reached_is_said(rig: RigMaker) -> None:
    async with rig() as r:
        pstat = r.device("pstat")

        async def cell_off() -> None:
            raise CellNotOff("relay reads closed")

        pstat.cell_off = cell_off
        outcome = await r.request("stop")
        assert outcome["devices"]["pstat"]["error"] == "CellNotOff"
        assert outcome["devices"]["stage"] == "safe"
        event = await r.listener.json(f"{r.prefix}/events", lambda e: "pstat could not be" in e["text"] and e["error"])
        assert (event["kind"], event["severity"]) == ("safety", "error")
        assert event["error"]["hint"] == "Disconnect the cell by hand, now."
        with pytest.raises(FaultLatched, match="pstat could not be brought to its safe state"):
            await r.run(**GALVANOSTATIC)
        del pstat.cell_off
        assert (await r.request("stop"))["devices"]["pstat"] == "safe"
        (fault,) = (await r.request("faults"))["open"]
        await r.request("acknowledge", fault=fault["id"], ticket=fault["ticket"])
        await r.run(**GALVANOSTATIC)


async def test_a_gauge_has_no_capabilities(rig: RigMaker) -> None:
    async with rig() as r:
        with pytest.raises(Unsupported):
            await r.request("call", device="gauge", method="capabilities")
        assert (await r.request("call", device="pstat", method="capabilities"))["input_resistance_ohm"] == "Infinity"


async def test_a_killed_daemon_is_remembered(rig: RigMaker, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    left = {"procedure": "cycle", "parameters": {}, "devices": {"potentiostat": "pstat"}, "started_ns": 1}
    (folder / "runs.json").write_text(json.dumps({"20260101-000000-1": left}))
    gone = {"there": False}

    def missing(made: dict[str, Any]) -> None:
        made["pstat"].wire.there = gone["there"]

    async with rig(prepare=missing) as r:
        state = await r.listener.json(f"{r.prefix}/runs/20260101-000000-1/state")
        assert state["status"] == "interrupted"
        assert (await r.request("runs"))[0]["run"] == "20260101-000000-1"
        assert runs_under_way(folder) != {}, "its source is not known to be off yet"
    gone["there"] = True
    async with rig(prepare=missing) as r:
        await r.listener.json(f"{r.prefix}/devices/pstat/state", lambda s: s["connection"] == "connected")
        assert r.device("pstat").done[:2] == ["stop", "cell_off"]
        await eventually(lambda: runs_under_way(folder) == {})


async def test_a_run_is_in_the_journal_before_anything_is_energised(rig: RigMaker, tmp_path: Path) -> None:
    written: list[Any] = []

    def script(technique: Any) -> Any:
        written.append(runs_under_way(tmp_path / "state"))
        return ramp(3)

    async with rig() as r:
        r.device("pstat").script = script
        run = await r.run(**GALVANOSTATIC)
        await r.result(run)
        assert written[0][run]["devices"] == {"potentiostat": "pstat"}
        assert runs_under_way(tmp_path / "state") == {}


async def test_two_daemons_do_not_share_a_state_directory(rig: RigMaker, tmp_path: Path) -> None:
    async with rig(devices=()):
        config = Config(state_dir=tmp_path / "state", broker=BrokerConfig(port=0))
        with pytest.raises(ConfigurationError, match="in use by another daemon"):
            async with Daemon(config):
                pytest.fail("a second daemon was let in")


async def test_a_run_that_is_stopped_while_it_starts_never_starts(rig: RigMaker) -> None:
    async with rig() as r:
        starting = asyncio.ensure_future(r.daemon.runs.start("technique", GALVANOSTATIC, {"potentiostat": "pstat"}))
        await asyncio.sleep(0)
        r.daemon.runs.cancel_all()
        with pytest.raises(Exception, match="stopped while the run was about to start"):
            await starting
        run = await r.daemon.runs.start("technique", GALVANOSTATIC, {"potentiostat": "pstat"})
        r.daemon.runs.cancel_all()
        await run.task
        assert run.status == "aborted"
        assert "run galvanostatic" not in r.device("pstat").done
        assert (await r.result(await r.run(**GALVANOSTATIC)))["status"] == "finished"
