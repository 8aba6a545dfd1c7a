"""What is done from the page: started, answered, paused, aborted, acknowledged; and stopped, whatever else hangs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import numpy as np
import pytest
from playwright.async_api import Locator, expect

from bridge.daemon.config import BrokerConfig
from tests.bridge.conftest import Mosquitto
from tests.bridge.fakes import ramp
from tests.bridge.test_run_dialogue import OWN, begin, result_of, state_of
from tests.web.conftest import Site, SiteMaker

from .conftest import Script, Visit, Visitor, cable

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

MAIN = "main"


def button(v: Visit, name: str, within: str = "body") -> Locator:
    return v.page.locator(within).get_by_role("button", name=name, exact=True)


async def confirm(v: Visit, name: str) -> None:
    await button(v, name, ".dialog").click()


def endless(site: Site) -> Script:
    """A technique that goes on until somebody ends it."""
    script = Script(np.full(10_000, 1e-12), np.full(10_000, 3.6))
    script.allow(20)
    site.rig.device("pstat").script = script.blocks(10)
    return script


async def running(site: Site) -> str:
    endless(site)
    return await site.rig.run(technique="galvanostatic", current_a=1e-12, duration_s=1e6)


async def test_a_procedure_from_its_form_to_its_result(site: SiteMaker, visit: Visitor) -> None:
    async with site(procedures=OWN) as s, visit(s) as v:
        await v.open("start")
        await v.page.get_by_role("link", name="Count").click()
        times = v.page.get_by_label("Times")
        await expect(times).to_have_value("3")
        for typed, complaint in (("0", "accepted: at least 1"), ("many", "accepted: a whole number")):
            await times.fill(typed)
            await button(v, "Start").click()
            await v.shows(".field.bad .error", f"Times is {typed}" if typed == "0" else "Times is “many”")
            await v.shows(".field.bad .error", complaint)
        assert not s.rig.daemon.runs.running
        await times.fill("2")
        await expect(v.page.locator(".field.bad")).to_have_count(0)
        await button(v, "Start").click()
        await confirm(v, "Start")
        await v.shows("h1", "Count")
        await v.shows(".title .pill", "Finished")
        state = await s.rig.listener.json(
            f"{s.rig.prefix}/runs/{await run_of(v)}/state", lambda it: it["status"] == "finished"
        )
        assert state["parameters"] == {"times": 2}
        assert state["devices"] == {"potentiostat": "pstat"}


async def run_of(v: Visit) -> str:
    return str(await v.page.evaluate("location.hash.split('/').at(-1)"))


async def test_what_the_daemon_refuses_is_shown_at_the_field(site: SiteMaker, visit: Visitor) -> None:
    async with site() as s, visit(s) as v:
        await v.open("start", "open-circuit")
        field = v.page.get_by_label("Duration", exact=True)
        await field.fill("3 parsec")  # a unit that the page leaves to the daemon
        await button(v, "Start").click()
        await confirm(v, "Start")
        await v.shows(".field.bad .error", "'3 parsec'")
        await expect(field).to_have_attribute("aria-invalid", "true")
        assert not s.rig.daemon.runs.running


async def test_a_question_is_answered(site: SiteMaker, visit: Visitor) -> None:
    async with site(procedures=OWN) as s, visit(s) as v:
        await v.open()
        run = await begin(s.rig, "ask")
        await v.shows(".notices .notice.warning", "How long is it?")
        await v.page.get_by_role("link", name="Answer").click()
        length = v.page.get_by_label("Length")
        await button(v, "Done").click()
        await v.shows(".field.bad .error", "Length is needed: such as 1.5 mm")
        await length.fill("2 mm")
        await button(v, "Done").click()
        await v.shows(".field.bad .error", "accepted: more than 0 m, at most 1 mm")
        await length.fill("0.5 mm")
        await button(v, "Done").click()
        result = await result_of(s.rig, run)
        assert (result["choice"], result["length_m"]) == ("done", 0.5e-3)
        await expect(v.page.locator(".question")).to_be_hidden()


async def test_paused_gone_on_with_and_aborted(site: SiteMaker, visit: Visitor) -> None:
    async with site(procedures=OWN) as s, visit(s) as v:
        pstat = s.rig.device("pstat")
        hold = asyncio.Event()
        pstat.script = lambda technique: [ramp(20, 5)[0], hold.wait, *ramp(20, 5)[1:]]
        run = await begin(s.rig, "count", times=3)
        await v.open()
        await button(v, "Pause", MAIN).click()
        await v.shows(".run-progress", "will pause")
        hold.set()
        await state_of(s.rig, run, "paused")
        await v.shows(".run-progress", "Paused, with the source off")
        hold.clear()
        await button(v, "Continue", MAIN).click()
        await s.rig.listener.json(f"{s.rig.prefix}/runs/{run}/state", lambda state: state["pause"] is None)
        await button(v, "Abort", MAIN).click()
        await confirm(v, "Let it run")
        await button(v, "Abort", MAIN).click()
        await confirm(v, "Abort")
        await state_of(s.rig, run, "aborted")
        assert not pstat.cell_on


async def test_the_stop(site: SiteMaker, visit: Visitor) -> None:
    """Everything safe by the devices' own record; then the fault is acknowledged, which starts nothing."""
    async with site() as s, visit(s) as v:
        run = await running(s)
        await v.open()
        await v.until("series?.ring.next === 20")
        assert s.rig.device("pstat").cell_on
        await button(v, "Abort", MAIN).click()  # an open question covers the view, but not the stop
        await v.page.locator(".stop").click()
        await v.shows(".notice.loud", "Everything of lab is safe")
        await v.shows(".notice.loud", run)
        assert not s.rig.device("pstat").cell_on
        assert "off" in s.rig.device("pstat").done
        await state_of(s.rig, run, "aborted")
        await v.shows(".notice.danger", "emergency stop")
        await v.open("faults")
        await button(v, "Acknowledge", MAIN).click()
        await confirm(v, "Acknowledge")
        await v.shows("main", "No fault is latched")
        assert not s.rig.daemon.runs.running


async def test_a_stop_while_the_connection_hangs(site: SiteMaker, visit: Visitor) -> None:
    """What the page sends on its own connection gets nowhere, and nobody tells it: the stop goes over another one."""
    async with site() as s, cable(s) as between, visit(s, between.url) as v:
        await running(s)
        await v.open()
        await v.until("series?.ring.next === 20")
        between.hang()
        await v.page.locator(".stop").click()
        await v.shows(".notice", "sending")
        between.let_new_through()
        await v.shows(".notice.loud", "is safe")
        await s.rig.listener.json(f"{s.rig.prefix}/health", lambda health: health["status"] == "fault")
        assert not s.rig.device("pstat").cell_on


@pytest.mark.mosquitto
async def test_a_stop_that_cannot_be_sent_says_so(site: SiteMaker, visit: Visitor, mosquitto: Mosquitto) -> None:
    async with site(BrokerConfig(address=mosquitto.address), flush_s=0.1) as s, visit(s) as v:
        v.allowed += ["WebSocket"]
        await v.open()
        await v.shows(".pill.ok", "Ready")
        mosquitto.kill()
        await v.shows(".notice.loud", "The connection is lost")
        await v.page.locator(".stop").click()
        await v.shows("[role=alert] .notice.loud", "STOP CANNOT BE SENT")
        mosquitto.start()
        await expect(v.page.locator(".notice", has_text="The connection is lost")).to_have_count(0)
        await v.until("lab.health.status === 'ok'")  # and not "fault": what was said not to be sent is not sent later


async def test_another_bridge_on_the_same_broker(site: SiteMaker, visit: Visitor) -> None:
    """It is found, can be looked at, and the stop is for the one that is."""
    async with site() as s, visit(s) as v:
        await v.open()
        await v.shows(".bridge-name", "lab")
        status = await s.rig.listener.json(f"{s.rig.prefix}/status")
        told = {
            "status": {**status, "bridge": "other"},
            "devices/scope/info": {"device": "scope", "driver": "fake", "interface": "gauge"},
            "devices/scope/state": {"device": "scope", "connection": "connected", "mode": "idle", "run": None},
        }
        for topic, message in told.items():
            await s.rig.listener.client.publish(f"picobridge/other/{topic}", json.dumps(message), retain=True)
        async with heard(s, "picobridge/other/request/#") as requests:
            await v.page.get_by_label("Bridge", exact=True).select_option("other")
            await v.shows(".device", "scope")
            await v.page.locator(".stop").click()
            topic, _ = await requests.get()
        assert topic == "picobridge/other/request/emergency_stop"
        assert not s.rig.daemon.runs.running
        await v.page.get_by_label("Bridge", exact=True).select_option("lab")
        await v.shows(".device", "pstat")
        assert await v.state("lab.health.status") == "ok"


@asynccontextmanager
async def heard(site: Site, topic_filter: str) -> AsyncIterator[asyncio.Queue[tuple[str, bytes]]]:
    """What is published there from now on."""
    address, found = site.rig.daemon.broker, asyncio.Queue[tuple[str, bytes]]()
    async with aiomqtt.Client(address.host, address.port) as client:
        await client.subscribe(topic_filter, qos=1)

        async def collect() -> None:
            async for message in client.messages:
                if str(message.topic).endswith("stop"):
                    found.put_nowait((str(message.topic), bytes(message.payload)))  # type: ignore[arg-type]

        task = asyncio.create_task(collect())
        try:
            yield found
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
