"""What the daemon knows of itself in figures: for Prometheus, and for the retained topic `health`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bridge.transfer.uplink import Uplink

from .guard import Guard
from .namesakes import Namesakes
from .requests import Requests
from .runs import Runs
from .streams import Streams
from .supervisor import DeviceSupervisor

_PREFIX = "picobridge_"
#: A disk that makes nothing durable for so long is told to be slow.
STALLED_S = 2.0


class Measurements:
    """All of it is read when asked for; nothing is counted here."""

    def __init__(
        self,
        version: str,
        devices: Mapping[str, DeviceSupervisor],
        runs: Runs,
        uplink: Uplink,
        streams: Streams,
        guard: Guard,
        requests: Requests,
        namesakes: Namesakes,
        configuration: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._version = version
        self._devices = devices
        self._runs = runs
        self._uplink = uplink
        self._streams = streams
        self._guard = guard
        self._requests = requests
        self._namesakes = namesakes
        self._configuration = configuration
        self._started = time.monotonic()

    # --- health ----------------------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """JSON values: `status` is "ok", "degraded" (something needs a look) or "fault" (something is latched), and
        `reasons` are sentences that say why."""
        reasons = [
            f"{name} is {link.state}" + (f": {link.error.message}" if link.error is not None else "")
            for name, link in ((name, each.connection) for name, each in self._devices.items())
            if not link.connected
        ]
        if not self._uplink.connected.is_set():
            reasons.append("there is no connection to the broker: samples wait on disk")
        reasons += self._namesakes.reasons
        spool = self._streams.spool
        if spool.error is not None:
            reasons.append(f"samples cannot be written to the disk: {spool.error.message}")
        elif spool.stalled_s > STALLED_S:
            reasons.append(f"the disk is slow: samples have been in memory only for more than {STALLED_S:g} s")
        if spool.lacking:
            reasons.append(f"no more samples can be kept: {spool.lacking}")
        configuration = self._configuration()
        if configuration["error"]:
            reasons.append(f"the configuration file is not in force, the earlier one is: {configuration['error']}")
        faults = self._guard.faults.open()
        interlocks = self._guard.interlocks
        now = self._guard.clock()
        overrides = [{"rule": one.rule, "by": one.by, "reason": one.reason} for one in interlocks.overrides(now)]
        reasons += [f"the rule {one['rule']} is set aside by {one['by']}: {one['reason']}" for one in overrides]
        reasons += [str(fault) for fault in faults]
        status = "fault" if faults else "degraded" if reasons else "ok"
        seq, digest = self._guard.audit.head
        return {
            "status": status,
            "reasons": reasons,
            "version": self._version,
            "configuration": dict(configuration),
            "faults": [fault.to_dict() for fault in faults],
            "notices": list(interlocks.rules.notices),
            "overrides": overrides,
            "leases": [{"group": lease.group, "holder": lease.holder} for lease in self._guard.leases.held()],
            "runs": [run.run for run in self._runs.running],
            "audit": {"records": seq, "sha256": digest},
        }

    # --- metrics ---------------------------------------------------------------------------------------------------

    def metrics(self) -> Iterable[Metric]:
        """For a scrape."""
        yield _gauge("up", "1 while the daemon answers", 1)
        yield _gauge("uptime_seconds", "since the daemon was started", time.monotonic() - self._started)
        yield _gauge("broker_connected", "1 while there is a connection to the broker", self._uplink.connected.is_set())
        yield _counter("messages_dropped", "replies and events that could not be kept or sent", self._uplink.dropped)
        yield _counter("requests_refused", "requests that were not executed", self._requests.refused)
        yield _gauge("faults_open", "latched faults that wait for an acknowledgement", len(self._guard.faults.open()))
        yield from self._of_devices()
        yield from self._of_runs()
        yield from self._of_spool()
        yield from _of_process()

    def _of_devices(self) -> Iterable[Metric]:
        connected = GaugeMetricFamily(f"{_PREFIX}device_connected", "1 while the device answers", labels=["device"])
        for name, supervisor in self._devices.items():
            connected.add_metric([name], supervisor.connected)
        yield connected
        pumps = {name: each.pump for name, each in self._devices.items() if each.pump is not None}
        for attribute, name, help in (
            ("next_index", "samples_taken", "samples that came from the device"),
            ("published", "samples_published", "of these, acknowledged by the broker"),
            ("left_to_replay", "samples_left_to_replay", "of these, on disk only"),
        ):
            counter = CounterMetricFamily(f"{_PREFIX}{name}", help, labels=["device"])
            for device, pump in pumps.items():
                counter.add_metric([device], getattr(pump, attribute))
            yield counter
        waiting = GaugeMetricFamily(f"{_PREFIX}queue_bytes", "samples that wait for the broker", labels=["device"])
        for device, pump in pumps.items():
            waiting.add_metric([device], pump.waiting_bytes)
        yield waiting

    def _of_runs(self) -> Iterable[Metric]:
        runs = GaugeMetricFamily(f"{_PREFIX}runs", "runs that the daemon knows", labels=["status"])
        for status, count in sorted(Counter(str(state["status"]) for state in self._runs.states()).items()):
            runs.add_metric([status], count)
        yield runs

    def _of_spool(self) -> Iterable[Metric]:
        figures = self._streams.spool.metrics
        yield _gauge("spool_queue_bytes", "samples that are in memory only", figures.queue_bytes)
        yield _gauge("spool_bytes", "samples on disk", figures.bytes_on_disk)
        yield _gauge("spool_segments", "files of samples", figures.segments)
        yield _counter("spool_written_bytes", "written since the start", figures.bytes_written)
        yield _counter("spool_commits", "times that samples were made durable", figures.commits)
        yield _gauge(
            "spool_commit_seconds", "from a sample's arrival until it was durable, last", figures.commit_latency_s
        )
        yield _gauge("spool_commit_max_seconds", "likewise, the longest", figures.commit_latency_max_s)


def _of_process() -> Iterable[Metric]:
    """Linux: memory and descriptors. Under `ProcSubset=pid` only the own ones can be read, which is enough."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    yield _gauge("resident_memory_bytes", "memory in use", pages * os.sysconf("SC_PAGE_SIZE"))
    yield _gauge("open_descriptors", "files, sockets and ports", len(os.listdir("/proc/self/fd")))


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}{name}", help, value=float(value))


def _counter(name: str, help: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}{name}", help, value=float(value))
