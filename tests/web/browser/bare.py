"""The page's modules without a daemon: for what is drawn out of plain data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, Route

from bridge.web.assets import STATIC

_PLACE = "http://bare.test/"
_TYPES = {".js": "text/javascript", ".css": "text/css"}


@asynccontextmanager
async def bare(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that may import `/static/js/...` under the page's own policy; its console must stay quiet."""
    said: list[str] = []

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix(_PLACE)
        if not path.startswith("static/"):
            policy = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:"}
            await route.fulfill(body="<!doctype html><title>bare</title>", content_type="text/html", headers=policy)
            return
        file = STATIC / path.removeprefix("static/")
        await route.fulfill(body=file.read_bytes(), content_type=_TYPES[file.suffix])

    page = await browser.new_page()
    try:
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.route(f"{_PLACE}**", serve)
        await page.goto(_PLACE)
        yield page
        assert said == []
    finally:
        await page.close()
