"""The page in Chromium on this machine: its weight, how soon something is to be seen, frames a second at 10 kS/s.

Daemon, broker, potentiostat and browser share its cores.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.async_api import Browser, CDPSession, async_playwright

from bridge.client import connect
from bridge.daemon.config import BrokerConfig, Config, DeviceConfig
from bridge.daemon.daemon import Daemon
from bridge.daemon.web_config import WebConfig
from bridge.web.server import opened, serving
from drivers.samples import SAMPLE_COLUMNS, SampleBlock
from tests.bridge.fakes import START_NS, FakePotentiostat
from tests.web.browser.conftest import SWITCHES

from .results import Target

RATE_HZ, PER_BLOCK = 10_000, 500
DURATION_S, QUICK_DURATION_S = 110.0, 10.0
LOADS = 5

_FRAMES = """(seconds) => new Promise((resolve) => {
    const timeline = document.querySelector(".timeline").timeline;
    const [begin, drawn] = [performance.now(), timeline.drawn];
    let [frames, last, longest] = [0, begin, 0];
    const frame = (now) => {
        frames++;
        longest = Math.max(longest, now - last);
        last = now;
        if (now - begin < seconds * 1000) requestAnimationFrame(frame);
        else resolve({frames: frames / (now - begin) * 1000, drawn: (timeline.drawn - drawn) / (now - begin) * 1000,
                      longest_ms: longest, heap_mb: performance.memory.usedJSHeapSize / 1e6,
                      samples: picobridge.current._series.get("pstat").series.ring.length});
    };
    requestAnimationFrame(frame);
})"""

_LOADING = """() => new Promise((resolve) => {
    const look = () => {
        if (!document.querySelector(".device .pill.ok")) return setTimeout(look, 5);
        const files = performance.getEntriesByType("resource");
        const [paint] = performance.getEntriesByName("first-contentful-paint");
        resolve({devices_ms: performance.now(), paint_ms: paint.startTime,
                 files: files.length, bytes: files.reduce((sum, file) => sum + file.encodedBodySize, 0)});
    };
    look();
})"""


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target("the page is to be seen, with its devices", result["devices_ms"], "<", 1000, "ms"),
        Target("frames a second at 10 kS/s", result["frames"]["frames"], ">=", 30),
    ]


def run(quick: bool) -> dict[str, Any]:
    return asyncio.run(_measure(QUICK_DURATION_S if quick else DURATION_S))


async def _measure(duration_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="picobridge-page-") as folder:
        async with _site(Path(folder)) as (url, lab), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
            loads = [await _load(browser, url) for _ in range(LOADS)]
            await lab.start(
                "technique",
                {"technique": "galvanostatic", "current_a": "1 pA", "duration_s": "1 h"},
                {"potentiostat": "pstat"},
            )
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            await page.goto(url)
            await page.wait_for_function(
                "() => globalThis.picobridge?.current._series.get('pstat')?.series.ring.length > 10_000"
            )
            devtools = await page.context.new_cdp_session(page)
            await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
            before_s = await _busy_s(devtools)
            frames = await page.evaluate(_FRAMES, duration_s)
            frames["main_thread_percent"] = 100 * (await _busy_s(devtools) - before_s) / duration_s
            await browser.close()
    return {
        "devices_ms": median(load["devices_ms"] for load in loads),
        "paint_ms": median(load["paint_ms"] for load in loads),
        "files": loads[0]["files"],
        "kilobytes": loads[0]["bytes"] / 1000,
        "frames": frames,
    }


async def _busy_s(devtools: CDPSession) -> float:
    """What the page's main thread has used of a core."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


async def _load(browser: Browser, url: str) -> Any:
    """With an empty cache."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    await page.goto(url)
    loaded = await page.evaluate(_LOADING)
    await context.close()
    return loaded


@asynccontextmanager
async def _site(folder: Path) -> AsyncIterator[Any]:
    web = WebConfig(port=0)
    devices = {"pstat": DeviceConfig(name="pstat", driver="fake", address="tcp:pstat:1")}
    config = Config(state_dir=folder, broker=BrokerConfig(port=0), devices=devices, web=web)

    def make(device: DeviceConfig, clock: Any) -> FakePotentiostat:
        potentiostat = FakePotentiostat(device.name, clock)
        potentiostat.script = _endless
        return potentiostat

    with opened(web) as door:
        async with (
            Daemon(config, make=make) as daemon,
            serving(daemon, web, door) as url,
            connect(str(daemon.broker), name="benchmark") as lab,
        ):
            yield url, lab


def _endless(technique: Any) -> Any:
    """Blocks at their time."""
    rng = np.random.default_rng(1)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    first = 0
    while True:
        index = np.arange(first, first + PER_BLOCK, dtype=np.float64)
        yield lambda due=begin + (first + PER_BLOCK) / RATE_HZ: asyncio.sleep(max(0.0, due - loop.time()))
        yield SampleBlock.of(
            SAMPLE_COLUMNS,
            {
                "time_s": index / RATE_HZ,
                "voltage_v": 3.6 + 1e-4 * rng.standard_normal(PER_BLOCK),
                "current_a": 1e-12 + 1e-14 * rng.standard_normal(PER_BLOCK),
                "flags": np.zeros(PER_BLOCK),
            },
            first_index=first,
            start_time_ns=START_NS,
            attributes={"interval_s": 1 / RATE_HZ},
        )
        first += PER_BLOCK
