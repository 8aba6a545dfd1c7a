"""The async client against a daemon with simulated instruments: script, broker, daemon, driver, wire, instrument."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from bridge.client import connect
from bridge.daemon.config import BrokerConfig
from drivers.errors import (
    BridgeUnreachable,
    InterlockViolated,
    InvalidValue,
    MoveFailed,
    Refused,
    RunFailed,
    Unsupported,
)
from drivers.interfaces import Gauge, Potentiostat, Stage
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic
from tests.bridge.cutting_proxy import cutting_proxy

from .conftest import BenchMaker


async def test_devices_have_the_interfaces_of_the_drivers(bench: BenchMaker, any_broker: BrokerConfig) -> None:
    async with bench("pstat", "stage", "gauge", broker=any_broker) as b:
        assert set(b.lab) == {"pstat", "stage", "gauge"}
        assert isinstance(b.lab.pstat, Potentiostat)
        assert isinstance(b.lab["stage"], Stage)
        assert isinstance(b.lab.gauge, Gauge)
        assert b.lab.pstat.identity.model == "6430"
        assert b.lab.pstat.capabilities.current_ranges[0].full_scale_a == 1e-12
        assert (await b.lab.gauge.pressure()).pressure_pa == 5e-4


async def test_a_move_by_text_with_units_and_the_position_it_reached(bench: BenchMaker) -> None:
    async with bench("stage") as b:
        reached = await b.lab.stage.move_to(x_m="1.5 mm", tilt_deg=52.0)
        assert (reached.x_m, reached.tilt_deg) == (0.0015, 52.0)
        assert await b.lab.stage.position() == reached


async def test_errors_are_the_classes_that_the_driver_raised(bench: BenchMaker) -> None:
    async with bench("stage", "pstat") as b:
        with pytest.raises(InterlockViolated, match="x_m would be 1 m") as caught:
            await b.lab.stage.move_to(x_m=1.0)
        assert caught.value.device == "stage"
        with pytest.raises(Unsupported):
            await b.lab.stage.home()
        with pytest.raises(InvalidValue, match=r"accepted: (pstat, stage|stage, pstat)"):
            await b.lab.call("nothing", "position")


async def test_stop_ends_a_move_that_somebody_else_waits_for(bench: BenchMaker) -> None:
    async with bench("stage", speed=20.0) as b:
        moving = asyncio.create_task(b.lab.stage.move_to(x_m="100 mm"))
        while not b.rig.world.chamber.stage_moving:
            await b.lab.stage.position()
        stopped_at = await b.lab.stage.stop()
        with pytest.raises(MoveFailed):
            await moving
        assert 0.0 <= stopped_at.x_m < 0.1


async def test_a_technique_run_from_afar_gives_the_same_blocks(bench: BenchMaker, any_broker: BrokerConfig) -> None:
    async with bench("pstat", broker=any_broker) as b:
        technique = Galvanostatic(current_a=1e-12, duration_s=2.0, interval_s=0.1)
        blocks = []
        async with aclosing(b.lab.pstat.run(technique)) as run:
            blocks = [block async for block in run]
        assert blocks[0].first_index == 0
        assert blocks[-1].end is EndReason.DURATION
        assert sum(map(len, blocks)) == blocks[-1].next_index >= 20
        assert b.instrument("pstat").record[-1].upper().startswith((":OUTP", "OUTP"))
        second = await b.lab.pstat.galvanostatic(current_a=2e-12, duration_s=1.0)
        assert len(second) >= 10
        assert second.first_index == 0


async def test_leaving_a_run_early_aborts_it_in_the_daemon(bench: BenchMaker) -> None:
    async with bench("pstat", speed=50.0) as b:
        technique = Galvanostatic(current_a=1e-12, duration_s=10_000.0)
        async with aclosing(b.lab.pstat.run(technique)) as run:
            async for block in run:
                assert block.end is None
                break
        states = [run.state["status"] for run in await b.lab.runs()]
        assert states == ["aborted"]
        assert not b.daemon.devices["pstat"].run


async def test_a_stream_sees_every_sample_of_everybody(bench: BenchMaker, any_broker: BrokerConfig) -> None:
    async with bench("pstat", broker=any_broker) as b:
        async with b.lab.listen_to_samples("pstat") as stream:
            result = await b.lab.pstat.galvanostatic(current_a=1e-12, duration_s=3.0)
            seen = []
            while sum(map(len, seen)) < len(result):
                seen.append(await anext(stream))
        assert np.array_equal(np.concatenate([block["current_a"] for block in seen]), result["current_a"])
        assert (stream.missing, stream.duplicated, stream.malformed) == (0, 0, 0)


async def test_an_experiment_started_followed_and_awaited(bench: BenchMaker) -> None:
    async with bench("pstat", "relays") as b:
        parameters = {
            "current_a": "1 pA",
            "tolerance_a": "0.5 pA",
            "route": "feedthrough",
            "duration_s": "30 s",
            "settle_s": "5 s",
        }
        run = await b.lab.start("noise-test", parameters, {"potentiostat": "pstat", "feedthrough": b.lab.relays})
        states = [state async for state in run.states()]
        assert states[-1]["status"] == "finished"
        result = await run.result()
        assert result["verdict"] == "pass"
        assert abs(result["mean_a"] - 1e-12) < 1e-13
        assert await b.lab.relays.route() == "feedthrough"


async def test_a_refused_experiment_raises_its_reason(bench: BenchMaker) -> None:
    async with bench("tdstat") as b:
        run = await b.lab.start("noise-test", {"current_a": "1 pA"}, {"potentiostat": "tdstat"})
        with pytest.raises(Refused, match=r"one count is 4\.77 pA"):
            await run.result()


async def test_an_aborted_experiment_raises_and_the_source_is_off(bench: BenchMaker) -> None:
    async with bench("pstat", speed=50.0) as b:
        run = await b.lab.start("noise-test", {"current_a": "1 pA"}, {"potentiostat": "pstat"})
        async for state in run.states():
            if state["step"]:
                break
        await run.abort()
        with pytest.raises(RunFailed, match="aborted"):
            await run.result()
        assert b.instrument("pstat").source.cell_is_open


async def test_stop_makes_everything_safe(bench: BenchMaker) -> None:
    async with bench("pstat", "stage", "relays", speed=50.0) as b:
        run = await b.lab.start("noise-test", {"current_a": "1 pA"}, {"potentiostat": "pstat"})
        outcome = await b.lab.stop()
        assert outcome["runs"] == [run.id]
        assert set(outcome["devices"].values()) == {"safe"}
        assert b.instrument("pstat").source.cell_is_open


async def test_no_broker_and_no_daemon_are_told_apart() -> None:
    with pytest.raises(BridgeUnreachable, match=r"127\.0\.0\.1:1"):
        async with connect("mqtt://127.0.0.1:1"):
            pass


async def test_a_broker_without_a_daemon(any_broker: BrokerConfig, bench: BenchMaker) -> None:
    async with bench("gauge", broker=any_broker) as b:
        with pytest.raises(BridgeUnreachable, match="no daemon below elsewhere/"):
            async with connect(b.url, root="elsewhere", find_s=0.3):
                pass


async def test_an_unknown_device_is_named_with_those_there_are(bench: BenchMaker) -> None:
    async with bench("gauge") as b:
        with pytest.raises(AttributeError, match="no device 'stage'; it has gauge"):
            _ = b.lab.stage
        with pytest.raises(InvalidValue, match="accepted: gauge"):
            _ = b.lab["stage"]


async def test_the_daemon_going_away_ends_a_waiting_request(bench: BenchMaker, any_broker: BrokerConfig) -> None:
    """The last will of a killed daemon is what the client sees; a daemon that ends well answers first."""
    async with bench("stage", speed=1.0, broker=any_broker) as b:
        waiting = asyncio.create_task(b.lab.stage.move_to(x_m="150 mm"))
        async with b.lab.listen("status") as statuses:
            while not b.rig.world.chamber.stage_moving:
                await b.lab.stage.position()
            b.daemon.uplink.retain(b.daemon.topics.status, b'{"status": "offline"}')
            await statuses.wait()
            with pytest.raises(BridgeUnreachable, match="went offline before it answered"):
                await waiting


async def test_an_answer_that_is_lost_with_the_connection_is_asked_for_again(bench: BenchMaker) -> None:
    """The move is made once; its answer comes although nobody was connected when it was given."""
    async with (
        bench("stage", speed=20.0) as b,
        cutting_proxy(b.daemon.broker, ()) as (way, proxy),
        connect(str(way)) as lab,
    ):
        moving = asyncio.create_task(lab.stage.move_to(x_m="30 mm"))
        while not b.rig.world.chamber.stage_moving:
            await b.lab.stage.position()
        proxy.cut()
        while b.daemon.devices["stage"].busy:
            await b.lab.stage.position()
        proxy.whole.set()
        reached = await moving
        assert reached.x_m == 0.03
        assert proxy.cuts == 1
        assert sum(entry.startswith("C95 ") for entry in b.instrument("stage").record) == 1
