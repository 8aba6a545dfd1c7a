"""What the daemon uses of a core while seven instruments are connected and nothing happens.

The instruments are the demonstration's, in real time and in a process of their own; only the daemon's is counted.
"""

from __future__ import annotations

import asyncio
import time
from multiprocessing.connection import Connection
from typing import Any

from bridge.demo.rig import simulated_rig
from mocks.world import World

from . import daemon_process
from .broker import mosquitto
from .machine import cpu_s, rss_bytes
from .processes import Part, heard
from .results import Target

DURATION_S, QUICK_DURATION_S = 60.0, 15.0
_SETTLE_S = 5.0


def targets(result: dict[str, Any]) -> list[Target]:
    return [Target("the daemon with seven idle devices", result["percent_of_a_core"], "<", 2.0, "% of a core")]


def run(quick: bool) -> dict[str, Any]:
    duration_s = QUICK_DURATION_S if quick else DURATION_S
    with (
        mosquitto() as broker,
        Part(serve_rig) as rig,
        Part(daemon_process.run, broker.url, rig.ready) as daemon,
    ):
        away = {name: state for name, state in daemon.ready.items() if state != "connected"}
        if away or len(daemon.ready) != 7:
            raise RuntimeError(f"of seven devices {len(daemon.ready) - len(away)} are connected: {away}")
        time.sleep(_SETTLE_S)
        before_s, start_s = cpu_s(daemon.pid), time.monotonic()
        time.sleep(duration_s)
        used_s, elapsed_s = cpu_s(daemon.pid) - before_s, time.monotonic() - start_s
        return {
            "percent_of_a_core": 100 * used_s / elapsed_s,
            "devices": len(daemon.ready),
            "duration_s": elapsed_s,
            "rss_mb": rss_bytes(daemon.pid) / 1e6,
        }


def serve_rig(pipe: Connection) -> None:
    """Sends the configuration of the devices, then serves them until the pipe says anything."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    async with simulated_rig(World(speed=1.0, flows=True)) as rig:
        pipe.send(dict(rig.devices))
        await heard(pipe)
