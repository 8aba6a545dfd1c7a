"""One run of a procedure: what the procedure sees of the daemon, and what the world sees of the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

from bridge.procedures.context import Answer, Question
from bridge.procedures.description import Procedure
from bridge.record import Recording
from bridge.record.description import Description
from bridge.safety.acts import APPROACH
from bridge.transfer.plain import dumps, to_plain
from bridge.transfer.throttle import Throttle
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import InvalidValue, PicobridgeError, Refused, RunFailed
from drivers.interfaces import Device, Potentiostat

from .casting import Cast, names_of
from .catalogue import Catalogue
from .events import Events
from .items import Items
from .parts import Parts
from .pausing import Pause
from .published import for_run
from .questions import Questions
from .supervisor import DeviceSupervisor
from .watch import RunWatch
from .watch_options import WatchOptions

PROGRESS_S = 0.1
#: What an event has of its own: a note's value of such a name is told under another one.
_OF_EVENTS = frozenset({"kind", "text", "severity", "device", "run", "error"})


class RunStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"
    """The daemon was killed meanwhile."""


class Run:
    """A `bridge.procedures.context.Context`. `devices` are the supervisors by role.

    `description` is the procedure's, None for a single technique. `save` puts what a resume needs on disk. `by` is who
    started it. A run that goes on where another was interrupted has that one's id as `resumes`, and what it `saved`.
    """

    def __init__(
        self,
        run: str,
        procedure: str,
        parameters: Mapping[str, Any],
        devices: Cast,
        catalogue: Catalogue,
        uplink: Uplink,
        topics: Topics,
        events: Events,
        save: Callable[[str, list[Any]], Awaitable[None]],
        *,
        description: Procedure | None = None,
        watch: WatchOptions | None = None,
        by: str = "",
        resumes: str = "",
        saved: Sequence[Any] = (),
    ) -> None:
        self.run = run
        self.procedure = procedure
        self.devices = devices
        self.resumes = resumes
        self._by = by
        #: the run that goes on with this one
        self.resumed_by = ""
        self.status = RunStatus.RUNNING
        self.step = ""
        self.fraction: float | None = None
        self.values: dict[str, Any] = {}
        #: what it has found so far; the result has it in the end
        self.items = Items()
        self.result: Any = None
        self.error: PicobridgeError | None = None
        #: the mistake of ours behind `error`, if it is one
        self.broke: Exception | None = None
        self.started_ns = time.time_ns()
        self.ended_ns: int | None = None
        #: the procedure, and what waits for it and cleans up (which is never cancelled)
        self.work: asyncio.Future[Any] | None = None
        self.task: asyncio.Task[None] | None = None
        #: what the client asked for beside procedure and devices, for the journal
        self.asked: Mapping[str, Any] = {}
        #: what its manifest says so far
        self.described: Description | None = None
        #: where the run is recorded, if it is
        self.recording: Recording | None = None
        self._cancelled = False
        self._failure: PicobridgeError | None = None
        self._parameters = to_plain(parameters)
        self._uplink = uplink
        self._topics = topics
        self._events = events
        self._throttle: Throttle[None] = Throttle(PROGRESS_S, lambda _: self._publish_state())
        #: the health watch, unless it is switched off
        self.watch = RunWatch(watch, procedure, parameters, self._health, self._pause_for_health) if watch else None
        self.questions = Questions(self._changed, self._tell)
        self._pause = Pause(self._changed)
        self._description = description
        self._pausable = description is not None and description.pausable
        self.parts = Parts(self, description, catalogue, lambda saves: save(run, saves), saved, self._changed)
        self._saved = self.parts.saved_of(())
        self._background: set[asyncio.Task[None]] = set()
        self._handles = {
            role: tuple(
                for_run(
                    supervisor,
                    self._attributes,
                    lambda: self.recording,
                    self._is_to_stop,
                    run,
                    by,
                    lambda: APPROACH if self.parts.approaches else "",
                    self.watch,
                )
                for supervisor in players
            )
            for role, players in devices.items()
        }
        self._first = {
            supervisor.name: supervisor.pump.next_index
            for supervisor in self.supervisors
            if supervisor.pump is not None
        }

    # --- what the procedure sees -------------------------------------------------------------------------------

    def device(self, role: str) -> Device:
        """See `Context`."""
        if role not in self._handles:
            known = ", ".join(self._handles) or "none"
            raise InvalidValue(f"run {self.run} has no device in the role {role!r}; it has: {known}")
        return self._handles[role][0]

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        """See `Context`."""
        self.step, self.fraction, self.values = step, fraction, values
        self._throttle.offer(None)

    def note(self, text: str, **values: Any) -> None:
        """See `Context`."""
        own = {f"{name}_" if name in _OF_EVENTS else name: value for name, value in to_plain(values).items()}
        self._events.publish("run", text, severity="warning", run=self.run, **own)

    def show(self, header: Mapping[str, Any] | None = None, items: Iterable[Mapping[str, Any]] = ()) -> None:
        """See `Context`."""
        self.items.tell(header, items)
        self._throttle.offer(None)

    @property
    def saved(self) -> Mapping[str, Any]:
        """See `Context`."""
        return self._saved

    def every_device(self, role: str) -> tuple[Device, ...]:
        """See `Context`."""
        return self._handles.get(role, ())

    def has(self, role: str) -> bool:
        """See `Context`."""
        return role in self._handles

    def describe_sample(self, **known: float | None) -> None:
        """See `Context`."""
        if self.watch is not None:
            self.watch.describe_sample({name: value for name, value in known.items() if value is not None})

    def witnessed(self, device: str, quantity: str, value: Any, by: str) -> None:
        """See `Context`."""
        name = f"{device}.{quantity}"
        for supervisor in self.supervisors:
            if supervisor.name == device:
                supervisor.stated(name, value, by or self._by or "operator", self.run)

    async def save(self, **state: Any) -> None:
        """See `Context`."""
        await self.parts.save((), state)

    @property
    def pausing(self) -> bool:
        """See `Context`."""
        return self._pausable and self._pause.asked

    async def pause_point(self) -> None:
        """See `Context`."""
        await self._pause.point()

    async def ask(self, question: Question) -> Answer:
        """See `Context`."""
        return await self.questions.ask(question)

    async def perform(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        title: str = "",
        share: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        """See `Context`."""
        return await self.parts.perform(name, parameters, (title or name,), share, pausable=self._pausable)

    # --- what the daemon does with it --------------------------------------------------------------------------

    @property
    def supervisors(self) -> list[DeviceSupervisor]:
        return [supervisor for players in self.devices.values() for supervisor in players]

    @property
    def resumable(self) -> bool:
        """Whether it can be gone on with after its end: it did not finish, and it has saved something."""
        return self.status is not RunStatus.FINISHED and bool(self.parts.saves) and not self.resumed_by

    def pause(self) -> None:
        """Ask for a pause. A step that may be ended is ended; otherwise the next pause point is waited for.

        Raises `Refused` if the procedure cannot be paused.
        """
        if not self._pausable:
            raise Refused(
                f"{self.procedure} cannot be paused", hint="`picobridge abort RUN` ends it, with the source off."
            )
        if self.status is not RunStatus.RUNNING:
            raise Refused(f"run {self.run} is {self.status}")
        self._pause.ask()
        if self._is_to_stop():
            for supervisor in self.supervisors:
                if isinstance(supervisor.device, Potentiostat):
                    self._spawn(supervisor.device)

    def go_on(self) -> None:
        """End a pause; without one nothing happens."""
        self._pause.end()

    def _spawn(self, potentiostat: Potentiostat) -> None:
        async def stop() -> None:
            with suppress(PicobridgeError):  # the run under way meets the same trouble, and tells of it
                await potentiostat.stop()

        task = asyncio.create_task(stop(), name=f"pause {self.run}")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _is_to_stop(self) -> bool:
        """Whether a technique under way is to be ended, because the procedure that runs it will pause then."""
        return self._pause.asked and self.parts.pausable

    def cancel(self) -> None:
        """Abort, once: a second cancellation would hit the cleaning up that the first one has begun."""
        if not self._cancelled and self.work is not None:
            self._cancelled = True
            self.work.cancel()

    def fail(self, error: PicobridgeError) -> None:
        """Abort, for a reason that is no person's wish: the run has failed with it. The first reason counts."""
        if not self._cancelled:
            self._failure = error
            self.cancel()

    async def finish(self, work: asyncio.Future[Any]) -> None:
        """Wait for the procedure, whatever becomes of it. Its task being cancelled is the run being aborted."""
        await asyncio.wait([work])
        await asyncio.gather(*self._background)
        try:
            self.result = to_plain(work.result())
            self.status = RunStatus.FINISHED
            self.items.clear()
        except asyncio.CancelledError:
            self.status = RunStatus.ABORTED if self._failure is None else RunStatus.FAILED
            self.error = self._failure
        except Exception as error:
            self.status = RunStatus.FAILED
            if isinstance(error, PicobridgeError):
                self.error = error
            else:
                self.error, self.broke = RunFailed(f"internal error: {error!r}"), error
            self.error.annotate(device="", operation=self.procedure)
        self.ended_ns = time.time_ns()

    def publish_end(self) -> None:
        """State and result; the last word on the run."""
        self._throttle.flush()
        self._publish_state()
        result = {**self.describe(), "result": self.result}
        for key in ("step", "fraction", "values", "items", "question", "pause", "pausable"):
            del result[key]
        result["health"] = [] if self.watch is None else self.watch.findings
        self._uplink.retain(self._topics.run_result(self.run), dumps(result))
        self._throttle.flush()

    def let_go(self) -> None:
        """Nobody asks it for anything any more. It and what it held refer to each other: without this, buffers of
        detectors and the frames of an error would stay in memory until the collector looks at everything."""
        self._handles = {}
        self.work = self.watch = None
        error: BaseException | None = self.error
        while error is not None:
            error.__traceback__ = None
            error = error.__cause__ or error.__context__

    def publish_start(self) -> None:
        self._throttle.offer(None)

    def gone_on_with(self, by: str) -> None:
        """Another run goes on from where this one ended."""
        self.resumed_by = by
        self._publish_state()

    def describe(self) -> dict[str, Any]:
        """The run's state, as published."""
        return {
            "run": self.run,
            "procedure": self.procedure,
            "parameters": self._parameters,
            "devices": names_of(self.devices, None if self._description is None else self._description.roles),
            "status": self.status,
            "step": self.step,
            "fraction": self.fraction,
            "values": to_plain(self.values),
            "items": self.items.describe(),
            "started_ns": self.started_ns,
            "ended_ns": self.ended_ns,
            "error": None if self.error is None else self.error.to_dict(),
            "streams": self.streams(),
            "health": {"enabled": False} if self.watch is None else self.watch.describe(),
            "folder": None if self.recording is None else str(self.recording.folder),
            "question": self.questions.describe(),
            "pause": self._pause.state,
            "pausable": self._pausable,
            "resumable": self.resumable,
            "resumes": self.resumes or None,
            "resumed_by": self.resumed_by or None,
            "parts": self.parts.describe(),
        }

    def count_samples(self) -> int:
        """How many were taken so far, by all its devices."""
        return sum(each["next_index"] - each["first_index"] for each in self.streams().values())

    def streams(self) -> dict[str, Any]:
        """Which samples are this run's: from `first_index` up to but without `next_index`."""
        return {
            supervisor.name: {
                "stream": supervisor.pump.stream,
                "first_index": self._first[supervisor.name],
                "next_index": supervisor.pump.next_index,
            }
            for supervisor in self.supervisors
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
        if not self.parts.pausable:
            return False
        self.pause()
        return True

    def _changed(self) -> None:
        self._throttle.offer(None)

    def _tell(self, kind: str, text: str, **values: Any) -> None:
        """Something that a person should read, about what was asked or answered."""
        self._events.publish(kind, text, severity="info", run=self.run, **values)

    def _publish_state(self) -> None:
        self._uplink.retain(self._topics.run_state(self.run), dumps(self.describe()))
