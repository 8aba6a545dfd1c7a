"""One run of a procedure: what the procedure sees of the daemon, and what the world sees of the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from bridge.procedures.context import Answer, Question
from bridge.procedures.registry import find
from bridge.record import Recording
from bridge.transfer.plain import dumps, to_plain
from bridge.transfer.throttle import Throttle
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import InvalidValue, PicobridgeError, Refused, RunFailed
from drivers.interfaces import Device

from .events import Events
from .published import for_run
from .supervisor import DeviceSupervisor
from .watch import RunWatch
from .watch_options import WatchOptions

PROGRESS_S = 0.1


class RunStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"
    """The daemon was killed meanwhile."""


class Run:
    """A `bridge.procedures.context.Context`. `devices` are the supervisors by role."""

    def __init__(
        self,
        run: str,
        procedure: str,
        parameters: Mapping[str, Any],
        devices: Mapping[str, DeviceSupervisor],
        uplink: Uplink,
        topics: Topics,
        events: Events,
        watch: WatchOptions | None = None,
    ) -> None:
        self.run = run
        self.procedure = procedure
        self.devices = devices
        self.status = RunStatus.RUNNING
        self.step = ""
        self.fraction: float | None = None
        self.values: dict[str, Any] = {}
        self.result: Any = None
        self.error: PicobridgeError | None = None
        self.started_ns = time.time_ns()
        self.ended_ns: int | None = None
        #: the procedure, and what waits for it and cleans up (which is never cancelled)
        self.work: asyncio.Future[Any] | None = None
        self.task: asyncio.Task[None] | None = None
        #: where the run is recorded, if it is
        self.recording: Recording | None = None
        self._cancelled = False
        self._parameters = to_plain(parameters)
        self._uplink = uplink
        self._topics = topics
        self._events = events
        self._throttle: Throttle[None] = Throttle(PROGRESS_S, lambda _: self._publish_state())
        #: the health watch, unless it is switched off
        self.watch = RunWatch(watch, procedure, parameters, self._health, self._pause_for_health) if watch else None
        self._handles = {
            role: for_run(supervisor, self._attributes, lambda: self.recording, self.watch)
            for role, supervisor in devices.items()
        }
        self._first = {
            supervisor.name: supervisor.pump.next_index
            for supervisor in devices.values()
            if supervisor.pump is not None
        }

    # --- what the procedure sees -------------------------------------------------------------------------------

    def device(self, role: str) -> Device:
        """See `Context`."""
        if role not in self._handles:
            known = ", ".join(self._handles) or "none"
            raise InvalidValue(f"run {self.run} has no device in the role {role!r}; it has: {known}")
        return self._handles[role]

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        """See `Context`."""
        self.step, self.fraction, self.values = step, fraction, values
        self._throttle.offer(None)

    def note(self, text: str, **values: Any) -> None:
        """See `Context`."""
        self._events.publish("run", text, severity="warning", run=self.run, **to_plain(values))

    @property
    def saved(self) -> Mapping[str, Any]:
        """See `Context`."""
        return {}

    def every_device(self, role: str) -> tuple[Device, ...]:
        """See `Context`."""
        return (self._handles[role],) if role in self._handles else ()

    def has(self, role: str) -> bool:
        """See `Context`."""
        return role in self._handles

    async def save(self, **state: Any) -> None:
        """See `Context`."""
        dumps(state)

    @property
    def pausing(self) -> bool:
        """See `Context`."""
        return False

    async def pause_point(self) -> None:
        """See `Context`."""

    async def ask(self, question: Question) -> Answer:
        """See `Context`."""
        raise Refused(f"nobody can be asked yet: {question.text}")

    async def perform(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        title: str = "",
        share: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        """See `Context`."""
        procedure = find(name)
        result = await procedure.run(self, procedure.parse(parameters))
        if self.recording is not None:
            self.recording.part(name, title or name, result)
        return result

    # --- what the daemon does with it --------------------------------------------------------------------------

    def cancel(self) -> None:
        """Abort, once: a second cancellation would hit the cleaning up that the first one has begun."""
        if not self._cancelled and self.work is not None:
            self._cancelled = True
            self.work.cancel()

    async def finish(self, work: asyncio.Future[Any]) -> None:
        """Wait for the procedure, whatever becomes of it. Its task being cancelled is the run being aborted."""
        await asyncio.wait([work])
        try:
            self.result = to_plain(work.result())
            self.status = RunStatus.FINISHED
        except asyncio.CancelledError:
            self.status = RunStatus.ABORTED
        except Exception as error:
            self.status = RunStatus.FAILED
            self.error = error if isinstance(error, PicobridgeError) else RunFailed(f"internal error: {error!r}")
            self.error.annotate(device="", operation=self.procedure)
            if self.error is not error:
                self.error.__cause__ = error
        self.ended_ns = time.time_ns()

    def publish_end(self) -> None:
        """State and result; the last word on the run."""
        self._throttle.flush()
        self._publish_state()
        result = {**self.describe(), "result": self.result}
        for key in ("step", "fraction", "values"):
            del result[key]
        result["health"] = [] if self.watch is None else self.watch.findings
        self._uplink.retain(self._topics.run_result(self.run), dumps(result))
        self._throttle.flush()

    def publish_start(self) -> None:
        self._throttle.offer(None)

    def describe(self) -> dict[str, Any]:
        """The run's state, as published."""
        return {
            "run": self.run,
            "procedure": self.procedure,
            "parameters": self._parameters,
            "devices": {role: supervisor.name for role, supervisor in self.devices.items()},
            "status": self.status,
            "step": self.step,
            "fraction": self.fraction,
            "values": to_plain(self.values),
            "started_ns": self.started_ns,
            "ended_ns": self.ended_ns,
            "error": None if self.error is None else self.error.to_dict(),
            "streams": self._streams(),
            "health": {"enabled": False} if self.watch is None else self.watch.describe(),
            "folder": None if self.recording is None else str(self.recording.folder),
        }

    def _streams(self) -> dict[str, Any]:
        """Which samples are this run's: from `first_index` up to but without `next_index`."""
        return {
            supervisor.name: {
                "stream": supervisor.pump.stream,
                "first_index": self._first[supervisor.name],
                "next_index": supervisor.pump.next_index,
            }
            for supervisor in self.devices.values()
            if supervisor.pump is not None
        }

    def _attributes(self) -> dict[str, Any]:
        cycle = self.values.get("cycle")
        counted = {"cycle": cycle} if isinstance(cycle, int) else {}
        return {"run": self.run, "step": self.step, **counted}

    def _health(self, finding: Mapping[str, Any]) -> None:
        """The health watch has found something; a run that it stops is told of once the source is off."""
        text = f"{finding['device']}: {finding['text']}"
        device, severity = str(finding["device"]), str(finding["severity"])
        self._events.publish("health", text, severity=severity, device=device, run=self.run, finding=dict(finding))
        self._throttle.offer(None)

    def _pause_for_health(self) -> bool:
        """Whether the run will pause; one that cannot is stopped."""
        return False

    def _publish_state(self) -> None:
        self._uplink.retain(self._topics.run_state(self.run), dumps(self.describe()))
