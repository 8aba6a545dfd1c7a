"""`connect` to one bridge, `connect_all` to every bridge on a broker."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from bridge.transfer.topics import DEFAULT_ROOT, checked_name

from .connection import Connection
from .finding import FIND_S, broker_address, find
from .following import follow
from .lab import Lab
from .labs import Labs, labs_on


@contextlib.asynccontextmanager
async def connect(
    url: str = "mqtt://localhost",
    *,
    bridge: str | None = None,
    root: str = DEFAULT_ROOT,
    name: str = "script",
    find_s: float = FIND_S,
    ask_devices: bool = True,
    ca: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
    password: str = "",
) -> AsyncIterator[Lab]:
    """`async with connect("mqtt://localhost") as lab`.

    `bridge` may be left out if only one is online on the broker. `name` is who asks, in the daemon's audit; a few
    random characters are added, so that two scripts of one name do not get each other's answers. Without `ask_devices`
    nothing is asked of the daemon first, not even which devices there are (`refresh` does): for a stop that waits for
    nothing.

    On a bridge with users (`docs/access.md`) the URL says who asks, `mqtts://alice@host:8883`; `ca` is the file of who
    signed the broker's certificate, and she proves herself by `cert` and `key`, or by a `password`.

    Raises `BridgeUnreachable` (no broker, no daemon), `InvalidValue` (several bridges, and none was named; a file that
    cannot be used; no user where there must be one), `Refused` (the broker does not let her in; a daemon of another
    contract, of which nothing but a stop can be asked).
    """
    address = broker_address(url, ca=ca, cert=cert, key=key, password=password)
    label = checked_name(name, "name")
    async with Connection(address, _identifier(label)) as connection:
        found = await find(connection, bridge, root, find_s)
        async with follow(connection, found, label) as lab:
            if ask_devices:
                await lab.refresh()
            yield lab


@contextlib.asynccontextmanager
async def connect_all(
    url: str = "mqtt://localhost",
    *,
    root: str = DEFAULT_ROOT,
    name: str = "script",
    find_s: float = FIND_S,
    ask_devices: bool = True,
    ca: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
    password: str = "",
) -> AsyncIterator[Labs]:
    """`async with connect_all("mqtt://localhost") as labs`: every bridge below `root`, those that come later too.

    Arguments as for `connect`; `find_s` is how long the first bridge is waited for. That there is none is no error:
    one may come. Raises `BridgeUnreachable` (no broker), `InvalidValue`, `Refused` (the broker does not let her in).
    """
    address = broker_address(url, ca=ca, cert=cert, key=key, password=password)
    label = checked_name(name, "name")
    async with (
        Connection(address, _identifier(label)) as connection,
        labs_on(connection, root, label, find_s, ask_devices=ask_devices) as labs,
    ):
        yield labs


def _identifier(label: str) -> str:
    """The client id is no part of what others see: whoever knows it could throw us off."""
    return f"{label[:16]}-{secrets.token_hex(8)}"
