"""Sites: see `site`."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.bridge.conftest import free_port

from .site import FORMER, ROLES, Rig, Site, command, daemon_at, write_config

RigMaker = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `broker-config --make-certificates` fills, once for all tests."""
    folder = tmp_path_factory.mktemp("authority")
    config = write_config(folder, 8883, {**ROLES, FORMER: "operator"})
    words = ("broker-config", config, "--out", folder / "broker", "--make-certificates", "--passwords")
    assert asyncio.run(command(*words)) == 0
    return folder / "broker"


@pytest.fixture
async def site(certificates: Path, tmp_path: Path, without_debug: None) -> AsyncIterator[Site]:
    """A running broker. Its users are those of `ROLES`; the certificate of somebody who is none is there too."""
    port = free_port()
    await asyncio.to_thread(shutil.copytree, certificates, tmp_path / "broker")
    config = write_config(tmp_path, port)
    words = ("broker-config", config, "--out", tmp_path / "broker", "--port", str(port), "--passwords")
    assert await command(*words) == 0
    made = Site(tmp_path, port)
    await asyncio.to_thread(made.broker.start)
    yield made
    await asyncio.to_thread(made.broker.stop)


@pytest.fixture
async def rig(site: Site) -> AsyncIterator[Rig]:
    """A daemon at that site."""
    async with daemon_at(site) as made:
        yield made
