"""`python -m tests.web.screenshots FOLDER`: every view of the page on the simulated rig, to be looked at.

Both themes at the size of a desk, dark at those of a tablet and of a phone; with a cycle under way, and after a stop.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from bridge.client import Lab, Run, connect
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.daemon.web_config import WebConfig
from bridge.demo.rig import simulated_rig
from bridge.demo.show import CYCLE, PSTAT
from bridge.safety.interlock_options import InterlockOptions, Thresholds
from bridge.web.server import opened, serving
from mocks.world import World

from .browser.conftest import SWITCHES

SPEED = 20.0
SIZES = {
    "desk-dark": ("dark", 1440, 900),
    "desk-light": ("light", 1440, 900),
    "tablet": ("dark", 820, 1180),
    "phone": ("dark", 390, 844),
}
VIEWS = ["overview", "chamber", "start", "start/cycle", "runs", "noise", "impedance", "sheet", "faults", "events"]


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[tuple[str, Lab]]:
    world = World(seed=0, speed=SPEED, cell="good", area_m2=1e-11)
    web = WebConfig(port=0)
    async with simulated_rig(world) as rig:
        config = Config(
            bridge="lab",
            state_dir=folder,
            data_dir=folder / "runs",
            broker=BrokerConfig(port=0),
            devices=rig.devices,
            web=web,
            # browsers and simulators share two cores here: a reading of the gauge may come too late
            interlocks=InterlockOptions(thresholds=Thresholds(vacuum="not_required")),
        )
        with opened(web) as door:
            async with (
                Daemon(config, clock_for=rig.clock_for) as daemon,
                serving(daemon, web, door) as url,
                connect(str(daemon.broker), bridge="lab", name="screenshots") as lab,
            ):
                yield url, lab


async def prepare(lab: Lab) -> Run:
    """A lab in which something has happened, and a cycle is under way."""
    noise = {"current_a": "2 pA", "route": "feedthrough", "duration_s": "120 s"}
    await (await lab.start("noise-test", noise, PSTAT)).result()
    await lab.tip.move_by(z_m="-18 um")
    contact = {"route": "cell", "max_travel_m": "4 um", "threshold_v": "1 V"}
    await (await lab.start("make-contact", contact, {"manipulator": "tip", **PSTAT})).result()
    await lab.state("stage.touch_alarm", "armed")
    return await lab.start("cycle", {**CYCLE, "cycles": 20}, PSTAT)


async def take(browser: Browser, url: str, lab: Lab, folder: Path) -> None:
    cycle = await prepare(lab)
    pages = {name: await open_page(browser, url, size) for name, size in SIZES.items()}
    await pages["desk-dark"].wait_for_function(
        "() => picobridge.current._series.get('pstat')?.series.ring.length > 2000"
    )
    runs = await lab.runs()
    for path in [*VIEWS, f"runs/{runs[0].id}", f"runs/{cycle.id}"]:
        for name, page in pages.items():
            await look(page, path, folder / f"{path.replace('/', '-').replace(cycle.id, 'running')}.{name}.png")
    await pages["desk-dark"].locator(".stop").click()
    await pages["desk-dark"].get_by_text("is safe").wait_for()
    for path in ("overview", "faults", "chamber"):
        for name, page in pages.items():
            await look(page, path, folder / f"stopped-{path}.{name}.png")


async def open_page(browser: Browser, url: str, size: tuple[Any, int, int]) -> Page:
    scheme, width, height = size
    page = await browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 1000
    )
    await page.goto(url)
    return page


async def look(page: Page, path: str, file: Path) -> None:
    await page.evaluate("(path) => { location.hash = `#/lab/${path}`; }", path)
    await page.locator("main h1").first.wait_for()
    # what is asked of the daemon has come when nothing on the page has changed for a moment
    await page.evaluate(
        """() => new Promise((resolve) => {
            let timer = setTimeout(resolve, 1500);
            new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(resolve, 600); })
                .observe(document.querySelector("main"), {childList: true, subtree: true});
            setTimeout(resolve, 4000);
        })"""
    )
    await page.screenshot(path=file, full_page=True)
    print(file, flush=True)


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="picobridge-screenshots-") as state:
        async with site(Path(state)) as (url, lab), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
            await take(browser, url, lab, folder)
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    to = parser.parse_args().folder
    to.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(to))
