"""What is published of one device: who it is, how it is, and its newest values."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.transfer.plain import dumps, to_plain
from bridge.transfer.throttle import Throttle
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.interfaces import ManipulatorPosition, Pressure, StagePosition
from drivers.samples import SampleBlock

if TYPE_CHECKING:
    from .supervisor import DeviceSupervisor

LATEST_S = 0.1
COUNTERS_S = 1.0


class DeviceTopics:
    """`latest` takes blocks of samples, of which the newest are published; `counters` says that the state's have
    changed."""

    def __init__(self, supervisor: DeviceSupervisor, uplink: Uplink, topics: Topics) -> None:
        self.latest: Throttle[SampleBlock] = Throttle(LATEST_S, self._sample)
        self.counters: Throttle[None] = Throttle(COUNTERS_S, lambda _: self.state())
        self._supervisor = supervisor
        self._uplink = uplink
        name = supervisor.name
        self._info, self._state, self._latest = topics.info(name), topics.state(name), topics.latest(name)

    def count(self) -> None:
        """Counters have changed."""
        self.counters.offer(None)

    def info(self) -> None:
        """Who it is: again whenever it is connected."""
        info = {"device": self._supervisor.name, **self._supervisor.describe()}
        del info["connection"], info["error"]  # of the moment: they are in the state
        self._uplink.retain(self._info, dumps(info))

    def state(self) -> None:
        """How it is, with its counters if it has any."""
        supervisor = self._supervisor
        state: dict[str, Any] = {
            "device": supervisor.name,
            "connection": supervisor.connection.state,
            "mode": "run" if supervisor.run else "idle",
            "run": supervisor.run or None,
            "error": None if (error := supervisor.connection.error) is None else error.to_dict(),
            "time_ns": time.time_ns(),
        }
        if (pump := supervisor.pump) is not None:
            state |= {
                "stream": pump.stream,
                "next_index": pump.next_index,
                "published": pump.published,
                "pending": pump.pending,
                "durable": supervisor.spool.durable(pump.stream),
                "left_to_replay": pump.left_to_replay,
                "dropped_latest": self.latest.dropped,
            }
        self._uplink.retain(self._state, dumps(state))

    def reading(self, value: Any) -> None:
        """What a call returned, if that is what `latest` shows of this kind of device."""
        device = self._supervisor.device
        if isinstance(value, ManipulatorPosition | StagePosition | Pressure):
            self._values(device.clock.time_ns(), to_plain(value))
        elif device.interface == "feedthrough" and isinstance(value, str):
            self._values(device.clock.time_ns(), {"route": value})

    def forget(self) -> None:
        """It is no device of this rig any more: nothing of it stays at the broker."""
        for topic in (self._info, self._state, self._latest):
            self._uplink.retain(topic, b"")

    def _sample(self, block: SampleBlock) -> None:
        if not len(block):
            return
        values = {column.name: block[column.name][-1] for column in block.columns}
        time_s = float(values.get("time_s", 0.0))
        if math.isfinite(time_s):
            time_ns = block.start_time_ns + round(time_s * 1e9)
        else:  # not even its time arrived
            time_ns = self._supervisor.device.clock.time_ns()
        values |= {"index": block.next_index - 1, "run": self._supervisor.run or None}
        self._values(time_ns, values)

    def _values(self, time_ns: int, values: Mapping[str, Any]) -> None:
        utc = datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        self._uplink.latest(self._latest, dumps({"utc": utc, **values}))
