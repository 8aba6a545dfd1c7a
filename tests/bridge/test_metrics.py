"""The daemon's figures, as Prometheus' own parser reads them over HTTP."""

from __future__ import annotations

import asyncio
import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.daemon.config import MetricsConfig
from drivers.errors import PortBusy

from .conftest import RigMaker, free_port
from .fakes import ramp

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


async def scrape(port: int) -> dict[str, float]:
    """Values by name and labels: `picobridge_samples_taken_total{device=pstat}`."""

    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    values = {}
    for family in text_string_to_metric_families(await asyncio.to_thread(fetch)):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            values[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return values


async def test_what_the_daemon_has_done_can_be_scraped(rig: RigMaker) -> None:
    port = free_port()
    async with rig(metrics=MetricsConfig(port=port)) as r:
        r.device("pstat").script = lambda technique: ramp(70, 10)
        await r.result(await r.run(**GALVANOSTATIC))
        await r.listener.json(f"{r.prefix}/devices/pstat/state", lambda s: s["published"] == s["durable"] == 70)
        values = await scrape(port)
        assert values["picobridge_up"] == values["picobridge_broker_connected"] == 1
        assert values["picobridge_samples_taken_total{device=pstat}"] == 70
        assert values["picobridge_samples_published_total{device=pstat}"] == 70
        assert values["picobridge_samples_left_to_replay_total{device=pstat}"] == 0
        assert values["picobridge_device_connected{device=stage}"] == 1
        assert values["picobridge_runs{status=finished}"] == 1
        assert values["picobridge_spool_written_bytes_total"] > 70 * 28
        assert values["picobridge_faults_open"] == 0
        assert values["picobridge_resident_memory_bytes"] > 1e6
        refused = values["picobridge_requests_refused_total"]
        await r.listener.client.publish(f"{r.prefix}/request/run", b"rubbish", qos=1)
        await r.listener.event("was refused")
        r.device("stage").wire.unplug()
        await r.listener.json(f"{r.prefix}/devices/stage/state", lambda s: s["connection"] == "lost")
        values = await scrape(port)
        assert values["picobridge_requests_refused_total"] == refused + 1
        assert values["picobridge_device_connected{device=stage}"] == 0
        health = await r.listener.json(f"{r.prefix}/health", lambda h: "stage is lost" in str(h["reasons"]))
        assert health["status"] == "degraded"


async def test_a_port_that_is_taken_is_told(rig: RigMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortBusy, match="metrics cannot be served"):
        async with rig(metrics=MetricsConfig(port=other.getsockname()[1])):
            pytest.fail("it came up")
