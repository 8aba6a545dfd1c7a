"""The health watch from the wire to the user: what was injected, what is told, the source off as the mock has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.daemon.watch_options import WatchOptions
from bridge.demo.rig import PLACES, Place, simulated_rig
from drivers.errors import InvalidValue, PicobridgeError
from mocks.world import OpenDrive, World
from tests.near import near

from .listener import Listener, listen

pytestmark = pytest.mark.usefixtures("without_debug")

AREA = "10 um2"


@dataclass
class Lab:
    world: World
    daemon: Daemon
    listener: Listener

    async def run(self, procedure: str, watch: Any = None, **parameters: Any) -> dict[str, Any]:
        """The result message of a run that has ended."""
        asked = {"procedure": procedure, "parameters": parameters, "devices": {"potentiostat": "pstat"}}
        if watch is not None:
            asked["watch"] = watch
        prefix = self.daemon.topics.prefix
        run = (await self.listener.request(prefix, "run", asked))["run"]
        result: dict[str, Any] = await self.listener.json(f"{prefix}/runs/{run}/result", timeout_s=40)
        return result

    async def state(self, run: str) -> dict[str, Any]:
        topic = f"{self.daemon.topics.prefix}/runs/{run}/state"
        state: dict[str, Any] = await self.listener.json(topic, lambda s: s["status"] != "running")
        return state

    @property
    def health_events(self) -> list[dict[str, Any]]:
        import json

        heard = map(json.loads, self.listener.of(f"{self.daemon.topics.prefix}/events"))
        return [event for event in heard if event["kind"] == "health"]

    @property
    def source_is_off(self) -> bool:
        drive = self.world.terminals("pstat").drive
        return isinstance(drive, OpenDrive) and not drive.connected


@asynccontextmanager
async def lab(world: World, folder: Path, watch: WatchOptions | None = None) -> AsyncIterator[Lab]:
    """A 6430 on its socket with the cell in contact, a daemon, and a client that hears everything."""
    world.tip.touch()
    world.wiring.set_relay(3, True)
    places: Mapping[str, Place] = {"pstat": PLACES["pstat"]}
    async with simulated_rig(world, places) as rig:
        config = Config(
            state_dir=folder, broker=BrokerConfig(port=0), devices=rig.devices, watch=watch or WatchOptions()
        )
        async with (
            Daemon(config, clock_for=rig.clock_for) as daemon,
            listen(daemon.broker, f"{daemon.topics.prefix}/#") as listener,
        ):
            yield Lab(world, daemon, listener)


def charge(current: str, seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "technique": "galvanostatic",
        "current": current,
        "duration": f"{seconds:g} s",
        "interval": "0.1 s",
        "voltage_min": "2 V",
        "voltage_max": "4.2 V",
        **more,
    }


async def test_the_event_of_fig8a_is_marked_and_the_charge_goes_on(tmp_path: Path) -> None:
    """Half a second without contact, as at 150 s in the figure (`tests/analysis` has it there)."""
    event = {"kind": "open", "at_s": 6.0, "for_s": 0.5, "since": "drive"}
    async with lab(World(cell="fig8a", seed=3, preset_events=False, events=[event]), tmp_path) as it:
        result = await it.run("technique", {"area": AREA}, **charge("5 pA", 8))
        assert result["status"] == "finished", result["error"]
        (found,) = result["health"]
        assert found["kind"] == "intermittent_contact"
        assert found["reaction"] == "mark"
        assert found["from_s"] == near(6.0, abs=0.3)
        assert found["evidence"]["open_slope_v_per_s"] == near(0.05, rel=1e-9)  # 5 pA into 100 pF
        before = found["evidence"]["slope_before_v_per_s"]
        assert found["evidence"]["excess_v"] == near(0.5 * (0.05 - before), abs=0.005)
        state = await it.state(result["run"])
        assert state["health"]["counts"] == {"intermittent_contact": 1}
        assert state["health"]["last"] == found
        (event,) = it.health_events
        assert event["severity"] == "warning"
        assert event["values"]["finding"] == found
        assert it.source_is_off


async def test_a_lost_contact_stops_the_run_before_the_lead_is_full(tmp_path: Path) -> None:
    event = {"kind": "open", "at_s": 6.0, "since": "drive"}
    async with lab(World(cell="fig8b", seed=3, events=[event]), tmp_path) as it:
        result = await it.run("technique", {"area": AREA}, **charge("125 pA", 20))
        assert result["status"] == "failed"
        error = result["error"]
        assert error["error"] == "HealthStop"
        assert "contact lost" in error["message"]
        assert "weld" in error["hint"]
        (found,) = result["health"]
        assert found == error["detail"]["finding"]
        assert found["kind"] == "contact_lost"
        assert found["reaction"] == "stop"
        assert found["from_s"] == near(6.0, abs=0.2)
        assert found["delay_s"] <= 0.5
        assert found["charge_c"] == near(125e-12 * found["delay_s"], rel=1e-6)
        assert found["evidence"]["excess_v"] < 0.6
        assert 0.0 <= found["source_off_command_s"] <= found["source_off_proven_s"]
        assert it.source_is_off
        (event_told,) = it.health_events
        assert event_told["severity"] == "error"


async def test_a_short_stops_the_run_and_says_clean_again(tmp_path: Path) -> None:
    event = {"kind": "short", "at_s": 6.0, "ohm": 10e9, "since": "drive"}
    async with lab(World(cell="fig8b", seed=3, events=[event]), tmp_path) as it:
        result = await it.run("technique", {"area": AREA}, **charge("5 pA", 20))
        (found,) = result["health"]
        assert result["error"]["error"] == "HealthStop"
        assert found["kind"] == "short"
        assert found["delay_s"] < 1.5
        assert found["evidence"]["resistance_ohm"] == near(10e9, rel=0.3)
        assert found["charge_c"] < 0.1 * 4.5e-9  # of the charge of Cell-1
        assert "Clean" in found["action"]
        assert it.source_is_off


async def test_a_cell_that_was_shorted_when_it_was_made(tmp_path: Path) -> None:
    async with lab(World(cell="fig10", seed=3), tmp_path) as it:
        asked = {"current": "5 pA", "area": AREA, "capacity_limit": "1.25 pAh", "ask_after_short": False}
        result = await it.run("cycle", **asked)
        (found,) = result["health"]
        assert found["kind"] == "short"
        assert found["evidence"]["voltage_v"] == near(0.05, rel=0.02)  # domain note: 5 pA into 10 GOhm
        assert found["charge_c"] < 0.02 * 4.5e-9
        assert result["error"]["error"] == "HealthStop"
        assert it.source_is_off


async def test_a_chattering_contact_is_marked_then_too_much(tmp_path: Path) -> None:
    event = {"kind": "vibration", "mean_closed_s": 2.0, "mean_open_s": 0.4, "since": "drive"}
    async with lab(World(cell="fig8b", seed=5, events=[event]), tmp_path) as it:
        result = await it.run("technique", {"area": AREA}, **charge("5 pA", 60))
        kinds = [(found["kind"], found["reaction"]) for found in result["health"]]
        assert kinds[:-1] == [("intermittent_contact", "mark")] * (len(kinds) - 1)
        assert kinds[-1] == ("intermittent_contact", "stop")
        assert len(kinds) >= 4  # more than three in a minute
        assert "times within a minute" in result["error"]["message"]
        assert it.source_is_off


async def test_a_reaction_is_the_configurations_and_for_one_run_the_requests(tmp_path: Path) -> None:
    event = {"kind": "short", "at_s": 5.0, "ohm": 10e9, "since": "drive"}
    marks = WatchOptions(short="mark", window="off")
    async with lab(World(cell="fig8b", seed=3, events=[event]), tmp_path, marks) as it:
        marked = await it.run("technique", {"area": AREA}, **charge("5 pA", 8))
        assert marked["status"] == "finished"
        assert {found["reaction"] for found in marked["health"]} == {"mark"}
        off = await it.run("technique", False, **charge("5 pA", 5))
        assert off["health"] == []
        assert (await it.state(off["run"]))["health"] == {"enabled": False}
        stopped = await it.run("technique", {"area": AREA, "short": "stop"}, **charge("5 pA", 20))
        assert stopped["error"]["error"] == "HealthStop"
        assert it.source_is_off


async def test_a_wrong_watch_is_refused_before_anything_is_energised(tmp_path: Path) -> None:
    async with lab(World(noise=False), tmp_path) as it:
        with pytest.raises(InvalidValue, match=r"short.*'explode'; accepted: off, mark, pause, stop"):
            await it.run("technique", {"short": "explode"}, **charge("5 pA", 5))
        with pytest.raises(PicobridgeError, match="watch option 'shorts' is not known"):
            await it.run("technique", {"shorts": "stop"}, **charge("5 pA", 5))
        assert it.source_is_off


@pytest.mark.parametrize(("cell", "current", "seconds"), [("fig8b", "125 pA", 6), ("fig9", "6 pA", 6)])
async def test_a_healthy_charge_and_discharge_raise_nothing(
    tmp_path: Path, cell: str, current: str, seconds: int
) -> None:
    async with lab(World(cell=cell, seed=4), tmp_path) as it:
        result = await it.run("cycle", current=current, area=AREA, time_limit=f"{seconds} s", rest="1 s")
        assert result["status"] == "finished", result["error"]
        assert result["health"] == []


async def test_a_pause_waits_with_the_source_off_until_somebody_goes_on(tmp_path: Path) -> None:
    event = {"kind": "open", "at_s": 4.0, "for_s": 0.5, "since": "drive"}
    async with lab(World(cell="fig8b", seed=3, events=[event]), tmp_path) as it:
        prefix = it.daemon.topics.prefix
        asked = {
            "procedure": "constant-current",
            "parameters": {"current": "5 pA", "area": AREA, "duration": "7 s", "interval": "0.1 s"},
            "devices": {"potentiostat": "pstat"},
            "watch": {"intermittent": "pause"},
        }
        run = (await it.listener.request(prefix, "run", asked))["run"]
        state = await it.listener.json(f"{prefix}/runs/{run}/state", lambda s: s["pause"] == "paused")
        assert state["health"]["last"]["reaction"] == "pause"
        assert it.source_is_off
        await it.listener.request(prefix, "continue", {"run": run})
        result = await it.listener.json(f"{prefix}/runs/{run}/result", timeout_s=40)
        assert result["status"] == "finished", result["error"]
        assert [found["kind"] for found in result["health"]] == ["intermittent_contact"]


async def test_a_run_that_cannot_be_paused_is_stopped(tmp_path: Path) -> None:
    event = {"kind": "open", "at_s": 4.0, "for_s": 0.5, "since": "drive"}
    async with lab(World(cell="fig8b", seed=3, events=[event]), tmp_path) as it:
        result = await it.run("technique", {"area": AREA, "intermittent": "pause"}, **charge("5 pA", 10))
        assert result["error"]["error"] == "HealthStop"
        assert result["health"][0]["reaction"] == "stop"
        assert it.source_is_off
