"""The page's server beside a daemon over fake devices, and somebody with a browser's means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from bridge.daemon.config import BrokerConfig
from bridge.daemon.web_config import WebConfig
from bridge.web.server import opened, serving
from tests.bridge.conftest import Rig, RigMaker, any_broker, mosquitto, rig

__all__ = ["any_broker", "mosquitto", "rig"]

MQTT_311 = 4


@dataclass(frozen=True)
class Site:
    rig: Rig
    url: str
    browser: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def get(self, path: str, **options: Any) -> Any:
        return self.browser.get(self.url + path.lstrip("/"), **options)

    def mqtt(self, **options: Any) -> Any:
        """The WebSocket, before CONNECT."""
        return self.browser.ws_connect(f"{self.url}mqtt", protocols=("mqtt",), **options)


SiteMaker = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def site(rig: RigMaker, without_debug: None) -> SiteMaker:
    """`async with site(broker_config, devices=[...]) as s:`"""

    @asynccontextmanager
    async def make(
        broker: BrokerConfig | None = None, *, web: WebConfig | None = None, **options: Any
    ) -> AsyncIterator[Site]:
        config = web or WebConfig(port=0)
        with opened(config) as door:
            async with (
                rig(broker, **options) as r,
                serving(r.daemon, config, door) as url,
                aiohttp.ClientSession() as browser,
            ):
                yield Site(r, url, browser)

    return make


def connect_packet(*, version: int = MQTT_311, flags: int = 0x02, identifier: str = "x", rest: bytes = b"") -> bytes:
    properties = b"\0" if version == 5 else b""
    body = text("MQTT") + bytes((version, flags, 0, 60)) + properties + text(identifier) + rest
    return packet(0x10, body)


def subscribe_packet(*filters: str) -> bytes:
    return packet(0x82, b"\0\1" + b"".join(text(each) + b"\1" for each in filters))


def publish_packet(topic: str, payload: bytes = b"{}", *, flags: int = 0) -> bytes:
    return packet(0x30 | flags, text(topic) + (b"\0\1" if flags & 6 else b"") + payload)


def packet(first: int, body: bytes) -> bytes:
    length, encoded = len(body), bytearray()
    while length or not encoded:
        length, byte = length >> 7, length & 0x7F
        encoded.append(byte | (0x80 if length else 0))
    return bytes((first,)) + bytes(encoded) + body


def text(words: str) -> bytes:
    return len(words.encode()).to_bytes(2, "big") + words.encode()
