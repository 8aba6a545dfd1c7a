"""The daemon in a process of its own, with the drivers of the table and the one of the benchmark."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from bridge.access.options import Access
from bridge.daemon.config import BrokerConfig, Config, DeviceConfig
from bridge.daemon.daemon import Daemon, make_device
from bridge.safety.interlock_options import InterlockOptions
from bridge.transfer.mqtt import BrokerAddress
from drivers.clock import Clock
from drivers.interfaces import Device

from .processes import heard
from .sessions import SESSIONS
from .stream_driver import StreamOptions, StreamPotentiostat

BRIDGE = "bench"


def run(
    pipe: Connection,
    url: str,
    devices: Mapping[str, DeviceConfig],
    session: str = "aiomqtt",
    queue_bytes: int = 64_000_000,
    record: bool = False,
    access: Access | None = None,
    interlocks: InterlockOptions | None = None,
) -> None:
    """Sends which devices are connected, then works until the pipe says anything. `record`: runs go to disk too."""
    logging.getLogger("picobridge").setLevel(logging.ERROR)  # some measurements have it warn of thousands of things
    asyncio.run(_run(pipe, url, devices, session, queue_bytes, record, access, interlocks or InterlockOptions()))


def _make(config: DeviceConfig, clock: Clock) -> Device:
    if config.driver != "stream":
        return make_device(config, clock)
    return StreamPotentiostat(config.address, StreamOptions(**config.options), name=config.name, clock=clock)


async def _run(
    pipe: Connection,
    url: str,
    devices: Mapping[str, DeviceConfig],
    session: str,
    queue_bytes: int,
    record: bool,
    access: Access | None,
    interlocks: InterlockOptions,
) -> None:
    with tempfile.TemporaryDirectory(prefix="picobridge-bench-") as state:
        config = Config(
            bridge=BRIDGE,
            state_dir=Path(state),
            broker=BrokerConfig(address=BrokerAddress.parse(url)),
            devices=devices,
            queue_bytes=queue_bytes,
            data_dir=Path(state) / "runs" if record else None,
            exports=False,
            access=access,
            interlocks=interlocks,
        )
        async with Daemon(config, make=_make, open_session=SESSIONS[session]) as daemon:
            pipe.send({name: str(device.connection.error or "connected") for name, device in daemon.devices.items()})
            gc.freeze()  # as `picobridge run` does
            await heard(pipe)
