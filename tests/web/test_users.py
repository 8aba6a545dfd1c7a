"""The page of a bridge with users: certificates at the door, Mosquitto behind, and nobody in another's place."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from bridge.daemon.config import load
from bridge.web.server import opened, serving
from tests.access.conftest import certificates, site
from tests.access.site import FORMER, PREFIX, ROLES, Rig, Site, command, daemon_at, envelope, write_config

from .conftest import connect_packet, publish_packet, subscribe_packet
from .test_relay import CONNECT, NODE, WELCOME, farewell

__all__ = ["certificates", "site"]

pytestmark = pytest.mark.mosquitto

WEB = '[web]\nport = 0\ncert = "broker/web.pem"\nkey = "broker/web.key"\nca = "broker/ca.pem"\n'


@dataclass(frozen=True)
class Page:
    rig: Rig
    url: str

    @asynccontextmanager
    async def browser(self, user: str) -> AsyncIterator[aiohttp.ClientSession]:
        """As that user; "" has no certificate."""
        context = ssl.create_default_context(cafile=str(self.rig.site.files / "ca.pem"))
        if user:
            pair = ("web.pem", "web.key") if user == "web" else ()
            context.load_cert_chain(
                *(self.rig.site.files / name for name in pair) if pair else self.rig.site.pair(user)
            )
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with aiohttp.ClientSession(connector=connector, base_url=self.url) as session:
            yield session


@pytest.fixture
async def page(site: Site) -> AsyncIterator[Page]:
    """The site again, with [web], and the page beside its daemon."""
    site.config.write_text(site.config.read_text() + WEB)
    words = ("broker-config", site.config, "--out", site.files, "--port", str(site.port), "--passwords")
    assert await command(*words, "--make-certificates") == 0
    await asyncio.to_thread(site.broker.stop)
    await asyncio.to_thread(site.broker.start)
    config = load(site.config)
    with opened(config.web) as door:
        async with daemon_at(site) as rig, serving(rig.daemon, config.web, door) as url:
            yield Page(rig, url)


async def heard(socket: aiohttp.ClientWebSocketResponse, what: bytes) -> bytes:
    """What comes until that was in it."""
    everything = b""
    while what not in everything:
        everything += await socket.receive_bytes(timeout=20)
    return everything


async def test_each_is_who_her_certificate_says(page: Page) -> None:
    for user in ("alice", "eve"):
        async with page.browser(user) as browser, browser.get("/config.json") as answer:
            said = await answer.json()
            assert (said["user"], said["role"]) == (user, ROLES[user])
    for path in ("/", "/config.json", "/static/index.html", "/mqtt"):
        for stranger in (FORMER, "daemon"):
            async with page.browser(stranger) as browser, browser.get(path) as answer:
                assert answer.status == 403
                assert "no user of this bridge" in await answer.text()
    for nobody in ("", "web"):
        async with page.browser(nobody) as browser:
            with pytest.raises((aiohttp.ClientError, ssl.SSLError, OSError)):
                await (await browser.get("/")).text()


async def test_a_page_asks_in_its_users_name_and_hears_what_is_hers(page: Page) -> None:
    async with page.browser("alice") as alice, alice.ws_connect("/mqtt", protocols=("mqtt",)) as socket:
        await socket.send_bytes(CONNECT + subscribe_packet(f"{PREFIX}/status", f"{PREFIX}/reply/alice/#"))
        await heard(socket, b'"online"')
        asked = envelope("alice", reply_to=f"{PREFIX}/reply/alice/page")
        await socket.send_bytes(publish_packet(f"{PREFIX}/request/alice/call", asked, flags=2))
        answer = await heard(socket, json.loads(asked)["id"].encode())
        assert b'"ok":true' in answer
        assert page.rig.acts == ["stage"]
    async with page.browser("eve") as eve, eve.ws_connect("/mqtt", protocols=("mqtt",)) as socket:
        await socket.send_bytes(CONNECT + subscribe_packet(f"{PREFIX}/reply/eve"))
        await socket.send_bytes(publish_packet(f"{PREFIX}/request/eve/call", envelope("eve"), flags=2))
        assert b"eve is an observer" in await heard(socket, b"not executed")
        await socket.send_bytes(publish_packet(f"{PREFIX}/request/eve/stop", b"", flags=2))
        await page.rig.site.sub("alice", f"{PREFIX}/status", "-C", "1")
    assert page.rig.acts == ["stage"]


NOT_HERS = (
    *(publish_packet(f"{PREFIX}/{topic}") for topic in ("request/bob/call", "request/call", "request/alice/a/call")),
    *(publish_packet(topic) for topic in (f"{PREFIX}/status", f"{PREFIX}/reply/alice", "other/request/alice/call")),
    *(subscribe_packet(f"{PREFIX}/{topic}") for topic in ("#", "+/bob", "reply/#", "reply/+", "reply/bob")),
    *(subscribe_packet(f"{PREFIX}/{topic}") for topic in ("replay/bob/x", "request/#", "reply", "claim", "")),
    *(subscribe_packet(topic) for topic in ("#", "+/+/reply/bob", "picobridge/+/status", f"{PREFIX}", "$SYS/#")),
    *(subscribe_packet(f"$share/{PREFIX}/status"), subscribe_packet(f"{PREFIX}/status", f"{PREFIX}/reply/bob")),
)


async def test_nobody_reaches_into_anothers_branch(page: Page) -> None:
    async with page.browser("alice") as alice:
        for said in NOT_HERS:
            async with alice.ws_connect("/mqtt", protocols=("mqtt",)) as socket:
                await socket.send_bytes(CONNECT)
                assert await socket.receive_bytes(timeout=20) == WELCOME
                await socket.send_bytes(said)
                assert (await farewell(socket)).data == 1008, said
    assert page.rig.acts == []


async def test_the_account_of_the_daemon_is_not_for_browsers(page: Page) -> None:
    """Whatever name and password a browser sends: it is who its certificate says."""
    login = b"\0\6daemon\0\1x"
    async with page.browser("alice") as alice, alice.ws_connect("/mqtt", protocols=("mqtt",)) as socket:
        await socket.send_bytes(connect_packet(flags=0xC2, identifier="daemon", rest=login))
        assert await socket.receive_bytes(timeout=20) == WELCOME
        await socket.send_bytes(publish_packet(f"{PREFIX}/request/daemon/call", envelope("daemon")))
        assert (await farewell(socket)).data == 1008


async def test_who_is_no_user_any_more_is_hung_up_on(page: Page) -> None:
    site = page.rig.site
    sockets: dict[str, Any] = {}
    async with page.browser("bob") as bob, page.browser("eve") as eve, page.browser("alice") as alice:
        for user, browser in (("bob", bob), ("eve", eve), ("alice", alice)):
            sockets[user] = await browser.ws_connect("/mqtt", protocols=("mqtt",))
            await sockets[user].send_bytes(CONNECT + subscribe_packet(f"{PREFIX}/events"))
            await heard(sockets[user], WELCOME)
        roles = {**ROLES, "eve": "operator"}
        del roles["bob"]
        write_config(site.folder, site.port, roles)
        page.rig.daemon._adopt(load(site.config))
        for user in ("bob", "eve"):
            goodbye = await farewell(sockets[user])
            assert (goodbye.data, goodbye.extra) == (1001, "other rights from now on")
        async with bob.get("/config.json") as answer:
            assert answer.status == 403
        async with eve.get("/config.json") as answer:
            assert (await answer.json())["role"] == "operator"
        await sockets["alice"].send_bytes(b"\xc0\0")
        assert b"\xd0\0" in await heard(sockets["alice"], b"\xd0\0")
        await sockets["alice"].close()


@pytest.mark.node
async def test_mqtt_js_comes_with_a_certificate(page: Page) -> None:
    """The client of the page, over TLS, on MQTT 3.1.1 and 5."""
    cert, key = page.rig.site.pair("eve")
    for version in ("4", "5"):
        client = await asyncio.create_subprocess_exec(
            *("node", str(NODE / "page.mjs"), f"{page.url.replace('https', 'wss')}mqtt", version, f"{PREFIX}/status"),
            *(str(page.rig.site.files / "ca.pem"), str(cert), str(key)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await client.communicate()
        assert client.returncode == 0
        assert json.loads(out)["status"] == "online"
