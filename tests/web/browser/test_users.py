"""The page of a bridge with users, in a browser that has their certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.access.conftest import certificates, site
from tests.access.site import PREFIX
from tests.web.test_users import Page as Served
from tests.web.test_users import page

from .conftest import PATIENCE_MS, SWITCHES

__all__ = ["certificates", "page", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.mosquitto]


@asynccontextmanager
async def seen_by(user: str, served: Served) -> AsyncIterator[Page]:
    certificate, key = served.rig.site.pair(user)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
        context = await browser.new_context(
            ignore_https_errors=True,
            client_certificates=[{"origin": served.url.rstrip("/"), "certPath": certificate, "keyPath": key}],
        )
        context.set_default_timeout(PATIENCE_MS)
        seen = await context.new_page()
        await seen.goto(served.url)
        yield seen
        await browser.close()


async def test_an_observer_is_offered_nothing_that_would_be_refused(page: Served) -> None:
    async with seen_by("eve", page) as seen:
        await expect(seen.locator(".who")).to_have_text("eve, observer")
        await seen.goto(f"{page.url}#/{PREFIX.split('/')[-1]}/start/rest")
        await expect(seen.locator("main")).to_contain_text("You are observer; this needs the role operator.")
        await expect(seen.get_by_role("button", name="Start", exact=True)).to_be_hidden()
        await seen.locator(".stop").click()  # which is for everybody
        await expect(seen.locator(".stop-outcome")).to_contain_text("is safe")


async def test_an_operator_acts_in_her_own_name(page: Served) -> None:
    async with seen_by("alice", page) as seen:
        await expect(seen.locator(".who")).to_have_text("alice, operator")
        await seen.locator(".stop").click()
        await expect(seen.locator(".stop-outcome")).to_contain_text("is safe")
        await seen.get_by_role("link", name="Look and acknowledge").click()
        await expect(seen.locator(".fault")).to_contain_text("pressed by alice")
        await seen.locator("main").get_by_role("button", name="Acknowledge").click()
        await seen.locator(".dialog").get_by_role("button", name="Acknowledge").click()
        await expect(seen.locator("main")).to_contain_text("No fault is latched")
