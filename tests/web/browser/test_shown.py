"""What is shown is what was published: to the bit in the charts, and in the words of a person in the figures."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from playwright.async_api import expect

from bridge.daemon.config import BrokerConfig
from drivers.errors import DeviceLost
from tests.bridge.conftest import Mosquitto
from tests.near import near
from tests.web.conftest import Site, SiteMaker

from .conftest import Script, Visit, Visitor, cable

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": 1e-12, "duration_s": 1e6}


def measured(samples: int, seed: int = 5, interval_s: float = 0.1) -> Script:
    rng = np.random.default_rng(seed)
    current = 1e-12 + 2e-14 * rng.standard_normal(samples)
    voltage = 3.6 + 1e-4 * rng.standard_normal(samples)
    return Script(current, voltage, interval_s)


async def shown(visit: Visit) -> dict[str, np.ndarray[Any, Any]]:
    """All samples that the page has, as it has them."""
    values = await visit.state(
        "Object.fromEntries(['time', 'voltage_v', 'current_a', 'charge_ah'].map((name) => [name, "
        "Array.from({length: series.ring.length}, (_, place) => series.ring.value(name, series.ring.first + place))]))"
    )
    return {name: np.array(column) for name, column in values.items()}


async def drawn(visit: Visit, place: int) -> list[float]:
    """What the chart at this place has of its curve."""
    return list(
        await visit.page.evaluate(
            "(place) => document.querySelectorAll('.timeline .chart')[place].chart.data[1].filter((v) => v !== null)",
            place,
        )
    )


async def assert_complete(visit: Visit, script: Script, samples: int) -> None:
    await visit.until(f"series?.ring.next === {samples} && series.missing.length === 0")
    there = await shown(visit)
    assert np.array_equal(there["current_a"], script.current_a[:samples])
    assert np.array_equal(there["voltage_v"], script.voltage_v[:samples])
    step = (script.current_a[: samples - 1] + script.current_a[1:samples]) / 2 * script.interval_s
    assert np.allclose(there["charge_ah"][1:], np.cumsum(step) / 3600, rtol=1e-6, atol=0)


async def start(site: Site, script: Script, per_block: int = 10) -> str:
    site.rig.device("pstat").script = script.blocks(per_block)
    return await site.rig.run(**GALVANOSTATIC)


async def arrived(site: Site, samples: int) -> None:
    """Until somebody else has them."""
    topic = f"{site.rig.prefix}/devices/pstat/samples"
    await site.rig.listener.until(lambda: site.rig.listener.count(topic) >= samples)


async def test_figures_and_charts(site: SiteMaker, visit: Visitor) -> None:
    script = measured(200)
    script.current_a[37] = 9e-12  # one sample of a block: the peak must be there
    async with site() as s, visit(s) as v:
        await v.open()
        await v.shows("h1", "Nothing is running")
        await start(s, script)
        script.allow(100)
        await assert_complete(v, script, 100)
        await expect(v.page.locator(".big.voltage .big-value")).to_have_text("3.6001 V")
        await expect(v.page.locator(".big.current .big-value")).to_have_text("0.99 pA")
        await v.shows("h1", "Galvanostatic")
        await v.page.wait_for_function("() => document.querySelector('.timeline .chart').chart.data[0].length === 100")
        assert await drawn(v, 1) == script.current_a[:100].tolist()
        script.allow(200)
        await assert_complete(v, script, 200)
        await v.shows("h1", "has ended")
        await v.shows(".numbers-note", "these are the last values")


async def test_who_comes_late_sees_it_from_its_beginning(site: SiteMaker, visit: Visitor) -> None:
    script = measured(300)
    async with site() as s, visit(s) as v:
        await start(s, script)
        script.allow(200)
        await arrived(s, 200)
        await v.open()
        await v.shows("h1", "Galvanostatic")
        script.allow(250)
        await assert_complete(v, script, 250)
        script.allow(300)


@pytest.mark.mosquitto
async def test_after_a_restart_of_the_broker(site: SiteMaker, visit: Visitor, mosquitto: Mosquitto) -> None:
    script = measured(300)
    async with site(BrokerConfig(address=mosquitto.address)) as s, visit(s) as v:
        v.allowed += ["WebSocket"]
        await v.open()
        await start(s, script)
        script.allow(100)
        await assert_complete(v, script, 100)
        mosquitto.kill()
        await v.shows(".notice.loud", "The connection is lost")
        await expect(v.page.locator(".big.stale")).to_have_count(3)
        script.allow(200)
        mosquitto.start()
        await expect(v.page.locator(".notice.loud")).to_have_count(0)
        script.allow(250)
        await assert_complete(v, script, 250)
        await expect(v.page.locator(".big.stale")).to_have_count(0)
        script.allow(300)


async def test_after_the_laptop_slept(site: SiteMaker, visit: Visitor) -> None:
    """The page is frozen, its connection is cut meanwhile, samples go on."""
    script = measured(400)
    async with site() as s, cable(s) as between, visit(s, between.url) as v:
        v.allowed += ["WebSocket"]
        await v.open()
        await start(s, script)
        script.allow(100)
        await assert_complete(v, script, 100)
        devtools = await v.page.context.new_cdp_session(v.page)
        await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
        between.cut()
        script.allow(300)
        await arrived(s, 300)
        between.mend()
        await devtools.send("Page.setWebLifecycleState", {"state": "active"})
        script.allow(350)
        await assert_complete(v, script, 350)
        script.allow(400)


async def test_a_device_that_is_lost_is_grey_and_says_why(site: SiteMaker, visit: Visitor) -> None:
    async with site() as s, visit(s) as v:
        await v.open()
        gauge = v.page.locator(".device", has_text="gauge")
        await expect(gauge).to_contain_text("5.0 \u00d7 10")
        await expect(gauge.locator(".stale")).to_have_count(0)
        s.rig.device("gauge").wire.unplug()
        await expect(gauge).to_contain_text("Lost")
        await expect(gauge).to_contain_text(DeviceLost("unplugged").message)
        await expect(gauge.locator(".stale")).to_have_count(1)


SPIKE = "() => document.querySelectorAll('.timeline .chart')[1]?.chart.data[1].includes(5e-9)"


async def test_a_million_points(site: SiteMaker, visit: Visitor) -> None:
    """One sample among a million stands out and is drawn: live; for who comes late, without loading all of them; and
    when the run is over, where zooming in finds it at its time."""
    asyncio.get_running_loop().set_debug(False)  # it would make 430 messages a matter of minutes
    samples, early, spike = 1_000_000, 998_000, 654_321
    script = measured(samples, interval_s=1e-4)
    script.current_a[spike] = 5e-9
    async with site() as s, visit(s) as v, visit(s) as late:
        await v.open()
        run = await start(s, script, per_block=2000)
        script.allow(2000)
        await v.until("series?.ring.next === 2000")
        script.allow(early)
        await v.until(f"series.ring.next === {early} && series.missing.length === 0")
        await v.page.wait_for_function(SPIKE)
        assert len(await drawn(v, 1)) < 8000
        there = f"[0, {spike}, {early - 1}].map((index) => series.ring.value('current_a', index))"
        assert await v.state(there) == script.current_a[[0, spike, early - 1]].tolist()

        await late.open()
        await late.page.wait_for_function(SPIKE)
        await late.until(f"series.ring.next === {early} && series.complete")
        assert await late.state("series.ring.length") < samples / 5
        charge = np.trapezoid(script.current_a[:early], dx=script.interval_s) / 3600
        assert await late.state(f"series.ring.value('charge_ah', {early - 1})") == near(charge, rel=1e-6)

        script.allow(samples)
        await s.rig.result(run)
        await v.open("runs", run)
        await v.page.wait_for_function(SPIKE)
        at = spike * script.interval_s
        for width in (2.0, 0.02, 0.001):
            look = "([from, to]) => document.querySelector('.timeline').timeline.look(from, to)"
            await v.page.evaluate(look, [at - width, at + width])
            await v.page.wait_for_function(
                """([at, width]) => {
                    const { data } = document.querySelectorAll('.timeline .chart')[1].chart;
                    const place = data[1].indexOf(5e-9);
                    return place >= 0 && Math.abs(data[0][place] - at) < width / 100 + 1e-4;
                }""",
                arg=[at, width],
            )


async def test_nothing_of_a_message_becomes_part_of_the_page(site: SiteMaker, visit: Visitor) -> None:
    nasty = '<img src=x onerror="document.title=\'hacked\'"><script>document.title="hacked"</script>'
    script = measured(20)
    async with site() as s, visit(s) as v:
        await v.open()
        await start(s, script)
        script.allow(10)
        await v.until("series?.ring.next === 10")
        s.rig.daemon.events.publish("daemon", nasty, severity="warning", run=nasty)
        evil = {
            "info": {"device": nasty, "interface": nasty, "driver": nasty},
            "state": {"device": nasty, "connection": "lost", "error": {"message": nasty}},
        }
        for topic, message in evil.items():
            await s.rig.listener.client.publish(f"{s.rig.prefix}/devices/evil/{topic}", json.dumps(message))
        await expect(v.page.locator(".device", has_text="onerror").first).to_be_visible()
        await v.open("events")
        await expect(v.page.locator(".event-text", has_text="onerror").first).to_be_visible()
        assert await v.page.locator("main img, main script").count() == 0
        assert "hacked" not in await v.page.title()
        script.allow(20)
