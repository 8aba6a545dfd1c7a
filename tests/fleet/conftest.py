"""Several daemons on real Mosquittos."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon.config import BrokerConfig, Config, DeviceConfig
from bridge.daemon.daemon import Daemon
from bridge.transfer.mqtt import BrokerAddress
from drivers.clock import Clock
from drivers.interfaces import Device
from tests.access.conftest import certificates, site
from tests.bridge.conftest import FAKES, mosquitto

__all__ = ["certificates", "mosquitto", "site"]

DaemonMaker = Callable[..., AbstractAsyncContextManager[Daemon]]


@pytest.fixture
def daemon(tmp_path: Path, without_debug: None) -> DaemonMaker:
    """`async with daemon("lab-a", mosquitto.address) as d:` over fake devices. `at` is its state directory's name, for
    a second daemon of one name."""

    @asynccontextmanager
    async def make(
        bridge: str,
        broker: BrokerAddress,
        devices: tuple[str, ...] = ("pstat", "stage"),
        at: str = "",
        **options: Any,
    ) -> AsyncIterator[Daemon]:
        config = Config(
            bridge=bridge,
            state_dir=tmp_path / (at or bridge),
            broker=BrokerConfig(address=broker),
            devices={name: DeviceConfig(name=name, driver="fake", address=f"tcp:{name}:1") for name in devices},
            **options,
        )

        def make_device(device: DeviceConfig, clock: Clock) -> Device:
            return FAKES[device.name](device.name, clock)

        async with Daemon(config, make=make_device, backoff_s=(0.05, 0.2)) as running:
            yield running

    return make


def done(daemon: Daemon, device: str) -> list[str]:
    """What was asked of a fake device, in order."""
    fake: Any = daemon.devices[device].device
    return list(fake.done)
