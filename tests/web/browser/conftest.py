"""The page in a real browser, beside a daemon whose potentiostat measures what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, TimeoutError, async_playwright, expect
from yarl import URL

from bridge.transfer.mqtt import BrokerAddress
from drivers.samples import SAMPLE_COLUMNS, EndReason, SampleBlock
from tests.bridge.cutting_proxy import CuttingProxy
from tests.bridge.fakes import START_NS
from tests.web.conftest import Site, any_broker, mosquitto, rig, site

__all__ = ["any_broker", "mosquitto", "rig", "site"]

#: Nothing that a browser does by itself may go over the network, and a test is root in its container.
SWITCHES = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
#: CI has two cores and other work: a condition has this long to become true.
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)

_VIOLATIONS = """
globalThis.violations = [];
addEventListener("securitypolicyviolation", (event) =>
    violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def own_threads() -> AsyncIterator[None]:
    """The loop lives as long as the browser; the threads of a test's daemon end with the test."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor() as executor:
        loop.set_default_executor(executor)
        yield
    loop.set_default_executor(ThreadPoolExecutor())


@dataclass
class Visit:
    """One page that is open. `complaints` is what its console said that it should not have."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    #: texts of which one may be in a complaint
    allowed: list[str] = field(default_factory=list)

    async def open(self, *path: str) -> None:
        await self.page.goto(f"{self.url}#/{'/'.join(('picobridge', *path))}")

    async def shows(self, selector: str, text: str) -> None:
        await expect(self.page.locator(selector).first).to_contain_text(text)

    async def state(self, expression: str) -> Any:
        """Of the page: `lab` is the bridge that it looks at, `series` what it has of the potentiostat."""
        return await self.page.evaluate(
            f"""() => {{
                const lab = picobridge.current;
                const series = lab._series.get("pstat")?.series;
                return {expression};
            }}"""
        )

    async def until(self, expression: str) -> None:
        try:
            await self.page.wait_for_function(
                f"""() => {{
                    const lab = globalThis.picobridge?.current;
                    const series = lab?._series.get("pstat")?.series;
                    return lab && ({expression});
                }}"""
            )
        except TimeoutError:
            there = await self.state("[lab.doubt, series?.ring.first, series?.ring.next, series?.missing]")
            raise AssertionError(f"{expression} did not become true; the page has {there}") from None


Visitor = Callable[..., AbstractAsyncContextManager[Visit]]


@pytest.fixture
def visit(browser: Browser) -> Visitor:
    """`async with visit(site) as v:`; afterwards, the page's console must have been quiet and its policy kept."""

    @asynccontextmanager
    async def make(site: Site, url: str = "", **options: Any) -> AsyncIterator[Visit]:
        context = await browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_default_timeout(PATIENCE_MS)
        try:
            page = await context.new_page()
            visit = Visit(page, url or site.url)
            page.on(
                "console",
                lambda said: visit.complaints.append(said.text) if said.type in ("error", "warning") else None,
            )
            page.on("pageerror", lambda error: visit.complaints.append(str(error)))
            await page.add_init_script(_VIOLATIONS)
            yield visit
            assert await page.evaluate("globalThis.violations") == []
            said = [text for text in visit.complaints if not any(each in text for each in visit.allowed)]
            assert said == []
        finally:
            await context.close()

    return make


class Cable(CuttingProxy):
    """Between the browser and the server. It can be cut, and it can hang: nothing comes through, and nobody is told."""

    url = ""

    def __init__(self, target: BrokerAddress) -> None:
        super().__init__(target, ())

    def mend(self) -> None:
        self.whole.set()

    def hang(self) -> None:
        """What is connected now stays so, and nothing of it passes; who comes waits."""
        for client in self._clients:
            client.transport.pause_reading()  # type: ignore[attr-defined]
            client.write = lambda data: None  # type: ignore[method-assign]
        self.whole.clear()

    def let_new_through(self) -> None:
        self.whole.set()


@asynccontextmanager
async def cable(site: Site) -> AsyncIterator[Cable]:
    """A way to the site that can be cut."""
    address = URL(site.url)
    assert address.host is not None
    assert address.port is not None
    between = Cable(BrokerAddress(address.host, address.port))
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield between
    finally:
        server.close()
        await between.close()


class Script:
    """What the potentiostat measures: blocks of `values`, each when `step` lets it, until `end`.

    `time_s` is the index times `interval_s`, so that everything that the page says of a sample can be checked.
    """

    def __init__(
        self, current_a: np.ndarray[Any, Any], voltage_v: np.ndarray[Any, Any], interval_s: float = 0.1
    ) -> None:
        self.current_a = current_a
        self.voltage_v = voltage_v
        self.interval_s = interval_s
        self._allowed = 0
        self._more = asyncio.Event()

    def allow(self, samples: int) -> None:
        """The potentiostat may measure up to this many samples."""
        self._allowed = samples
        self._more.set()

    def blocks(self, per_block: int) -> Callable[[Any], Iterable[Any]]:
        """For `FakePotentiostat.script`."""

        def script(technique: Any) -> Iterable[Any]:
            total = len(self.current_a)
            for first in range(0, total, per_block):
                last = min(first + per_block, total)
                yield lambda last=last: self._wait(last)
                yield self._block(first, last)

        return script

    async def _wait(self, until: int) -> None:
        while self._allowed < until:
            self._more.clear()
            await self._more.wait()

    def _block(self, first: int, last: int) -> SampleBlock:
        index = np.arange(first, last, dtype=np.float64)
        return SampleBlock.of(
            SAMPLE_COLUMNS,
            {
                "time_s": index * self.interval_s,
                "voltage_v": self.voltage_v[first:last],
                "current_a": self.current_a[first:last],
                "flags": np.zeros(last - first),
            },
            first_index=first,
            start_time_ns=START_NS,
            end=EndReason.DURATION if last == len(self.current_a) else None,
            attributes={"interval_s": self.interval_s},
        )
