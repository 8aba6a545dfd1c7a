"""What the page's server gives, to whom, and under which headers."""

from __future__ import annotations

import asyncio
import socket
from itertools import product
from pathlib import Path

import pytest

from bridge.daemon.web_config import WebConfig
from bridge.web import server
from bridge.web.server import opened, serving
from drivers.errors import PortBusy
from tests.bridge.conftest import RigMaker

from .conftest import SiteMaker


async def test_the_page_comes_with_headers_that_forbid_everything_foreign(site: SiteMaker) -> None:
    async with site(devices=()) as s, s.get("/") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Python" not in answer.headers["Server"]
        assert "<title>" in await answer.text()


async def test_a_browser_keeps_what_has_not_changed(site: SiteMaker) -> None:
    async with site(devices=()) as s:
        async with s.get("/static/index.html") as answer:
            tag, body = answer.headers["ETag"], await answer.read()
            assert answer.headers["Cache-Control"] == "no-cache"
        async with s.get("/", headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with s.get("/", headers={"Accept-Encoding": "identity"}) as answer:
            assert await answer.read() == body
            assert answer.headers["ETag"] != tag or "Content-Encoding" not in answer.headers


NOT_THERE = (
    *(
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
        "/nothing",
    ),
    *(
        "/static/.hidden.js",
        "/static/",
        "/static/%00.js",
        "/static/index.html/",
        "/static/server.py",
        "/static/a/../index.html",
    ),
)


async def test_nothing_else_is_given(site: SiteMaker) -> None:
    async with site(devices=()) as s:
        for path in NOT_THERE:
            answer = await raw(s.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 404"), path


async def raw(port: int, request: str) -> bytes:
    """What a server says to bytes that no well-behaved client sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


FOREIGN = (
    ({"Host": "evil.example.org"}, "not known as"),
    ({"Host": "evil.example.org:8765"}, "not known as"),
    ({"Host": "localhost.evil.example.org"}, "not known as"),
    ({"Host": "127.0.0.1@evil.example.org"}, "not known as"),
    ({"Host": "[::1"}, "not known as"),
    ({"Origin": "http://evil.example.org"}, "a page of"),
    ({"Origin": "null"}, "a page of"),
    ({"Origin": "http://127.0.0.1:1"}, "a page of"),
)


async def test_pages_of_others_and_foreign_names_get_nothing(site: SiteMaker) -> None:
    async with site(devices=()) as s:
        for (headers, said), path in product(FOREIGN, ("/", "/config.json", "/mqtt", "/nothing")):
            async with s.get(path, headers=headers) as answer:
                assert answer.status == 403, (headers, path)
                assert said in await answer.text(), (headers, path)


async def test_names_of_the_configuration_and_of_this_computer_are_known(site: SiteMaker) -> None:
    async with site(devices=(), web=WebConfig(port=0, names=("lab-pc",))) as s:
        for host in ("lab-pc:1234", "LAB-PC", "localhost:9000", "[::1]:8765"):
            async with s.get("/", headers={"Host": host, "Origin": f"http://{host}"}) as answer:
                assert answer.status == 200


async def test_it_is_only_read(site: SiteMaker) -> None:
    async with site(devices=()) as s:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"):
            async with s.browser.request(method, s.url) as answer:
                assert answer.status == 403


async def test_the_page_learns_where_it_is(site: SiteMaker) -> None:
    async with site(devices=()) as s, s.get("/config.json") as answer:
        said = await answer.json()
        assert said["prefix"] == "picobridge/lab"
        assert (said["user"], said["role"], said["relay"], said["contract"]) == (None, None, "/mqtt", 1)
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_default_port_that_is_taken_is_a_warning(rig: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(server, "DEFAULT_PORT", port)
        with opened(WebConfig()) as door:
            async with rig(devices=()) as r, serving(r.daemon, WebConfig(), door) as url:
                assert url == ""
                event = await r.listener.event("the page cannot be served")
                assert event["severity"] == "warning"
        with (
            pytest.raises(PortBusy, match=f"the page cannot be served on 127.0.0.1:{port}"),
            opened(WebConfig(port=port)),
        ):
            pytest.fail("it was opened")


async def test_what_breaks_in_the_page_is_an_event(site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, name: str) -> None:
        raise ZeroDivisionError("by a mistake of ours")

    monkeypatch.setattr("bridge.web.assets.Assets._read", broken)
    async with site(devices=()) as s:
        async with s.get("/") as answer:
            assert answer.status == 500
            assert "mistake" not in await answer.text()
        event = await s.rig.listener.event("by a mistake of ours")
        assert event["severity"] == "error"
        assert (await s.rig.request("ping"))["bridge"] == "lab"


def test_the_files_of_the_page_are_in_the_package() -> None:
    assert (Path(server.__file__).parent / "static" / "index.html").is_file()
