"""The whole path with users: a Mosquitto on what `broker-config` writes, where everybody has a certificate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge.access.options import Access
from bridge.access.permissions import Role
from bridge.daemon.config import BrokerConfig
from bridge.daemon.daemon import Daemon
from tests.access.site import ROLES, Site, command, write_config
from tests.bridge.conftest import free_port

from .conftest import RigMaker
from .rig import Rig

USERS = Access(users={name: Role[role.upper()] for name, role in ROLES.items()})


@dataclass(slots=True)
class Shared:
    """`rig.lab` is alice's, who is an operator."""

    rig: Rig
    site: Site


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Site]:
    """A running broker with its users' certificates. `broker.address` is root's, who records."""
    port = free_port()
    config = write_config(folder, port)
    words = ("broker-config", config, "--out", folder / "broker", "--port", str(port), "--make-certificates")
    assert await command(*words) == 0
    site = Site(folder, port)
    site.broker.address = site.address("root")
    await asyncio.to_thread(site.broker.start)
    try:
        yield site
    finally:
        await asyncio.to_thread(site.broker.stop)


@asynccontextmanager
async def with_users(path: RigMaker, folder: Path, *devices: str, **options: Any) -> AsyncIterator[Shared]:
    """A whole path whose daemon asks of everybody who they are. Its own certificate is in the folder `own`."""
    async with site_in(folder) as site, path(*devices, mosquitto=site.broker, with_daemon=False, **options) as rig:
        address = replace(site.address("daemon"), **own_files(site))
        config = replace(rig.config, access=USERS, broker=BrokerConfig(address=address))
        daemon = Daemon(config, clock_for=rig.clock_for, open_session=rig.gate, flush_s=2.0, backoff_s=(0.01, 0.05))
        async with daemon, site.lab("alice") as lab:
            rig._daemon, rig._lab = daemon, lab
            yield Shared(rig, site)


def own_files(site: Site) -> dict[str, Any]:
    """Copies of what the daemon proves itself by, to be changed; of who signed the broker's certificate, too."""
    own = site.folder / "own"
    own.mkdir(exist_ok=True)
    cert, key = site.pair("daemon")
    files = {"ca": site.files / "ca.pem", "cert": cert, "key": key}
    for name, file in files.items():
        (own / name).write_bytes(file.read_bytes())
    return {name: own / name for name in files}
