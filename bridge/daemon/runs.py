"""All runs: started, followed, aborted, remembered over a crash."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.procedures.description import Procedure, Role
from bridge.safety.leases import Lease
from bridge.transfer.plain import to_plain
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import InvalidValue, PicobridgeError, Refused

from . import technique_run
from .casting import cast_roles, flat
from .catalogue import Catalogue
from .ended_runs import EndedRuns, state_of_earlier
from .events import Events
from .guard import Guard
from .items import Items
from .journal import Journal
from .records import Records
from .run import Run, RunStatus
from .space import Promised, expected_bytes
from .streams import Streams
from .supervisor import DeviceSupervisor
from .watch_options import WatchOptions, parse_watch

LOG = logging.getLogger("picobridge.runs")

#: A run that was aborted must have cleaned up by then, or the abort reports that it has not.
CLEANUP_S = 30.0


class Runs:
    """`devices` are all supervisors by name."""

    def __init__(
        self,
        devices: Mapping[str, DeviceSupervisor],
        journal: Journal,
        uplink: Uplink,
        topics: Topics,
        events: Events,
        records: Records,
        guard: Guard,
        streams: Streams,
        ended: EndedRuns,
        watch: WatchOptions | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._devices = devices
        self._journal = journal
        self._uplink = uplink
        self._topics = topics
        self._events = events
        self._records = records
        self._guard = guard
        self._streams = streams
        self._watch = watch or WatchOptions()
        self._catalogue = catalogue or Catalogue()
        self._ended = ended
        #: those whose end is not told yet
        self._runs: dict[str, Run] = {}
        self._numbers = itertools.count(1)
        self._stops = 0
        self._promised = Promised()

    def use(self, watch: WatchOptions) -> None:
        """The health watch of runs that start from now on."""
        self._watch = watch

    def states(self) -> list[dict[str, Any]]:
        """States, those that ended first at the front, those under way at the end."""
        return [*self._ended.states(), *(run.describe() for run in self._runs.values())]

    async def start(
        self,
        procedure: str,
        parameters: Mapping[str, Any],
        devices: Mapping[str, Any],
        watch: Any = None,
        *,
        by: str = "",
        resumes: str = "",
        saved: Sequence[Any] = (),
    ) -> Run:
        """Returns as soon as it is under way. `watch` overrides the configuration's [watch] for this run; `by` is who
        asked. `resumes` is the run that this one goes on from, and `saved` what that had saved.

        Raises `InvalidValue`, `DeviceLost`, `Busy`, `FaultLatched`, `RunFailed` (it cannot be recorded); nothing has
        been sent to a device then.
        """
        plan = self._plan(procedure, parameters)
        cast = cast_roles(plan.roles, devices, self._devices)
        watched = self._watch if watch is None else parse_watch(watch, self._watch)
        run = Run(
            await self._new_name(),
            procedure,
            plan.shown,
            cast,
            self._catalogue.as_it_is(),
            self._uplink,
            self._topics,
            self._events,
            self._journal.save,
            description=plan.description,
            watch=watched if watched.enabled else None,
            by=by,
            resumes=resumes,
            saved=saved,
        )
        claimed: list[DeviceSupervisor] = []
        leases: tuple[Lease, ...] = ()
        stops = self._stops
        try:
            for supervisor in run.supervisors:
                if supervisor.device.interface != "gauge":  # which everybody may read
                    supervisor.claim(run.run)
                    claimed.append(supervisor)
                    self._guard.require_sound(supervisor.name, supervisor.device.interface)
            leases = await self._guard.leases.acquire_for_run([each.name for each in claimed], run.run, by)
            players = {s.name: (role, s) for role, several in cast.items() for s in several}
            needed = expected_bytes(plan.parsed, sum(supervisor.pump is not None for supervisor in run.supervisors))
            promised = self._promised.bytes
            self._streams.require_room(needed, promised)
            self._promised.add(run.run, needed, run.count_samples)
            await self._records.begin(
                run, players, by=by, resumes=resumes, expected_bytes=needed, promised_bytes=promised
            )
            run.asked = {"given": to_plain(parameters), "watch": watch}
            await self._journal.begin(run.run, self._entry(run))
            if self._stops != stops:
                await self._journal.end(run.run)
                raise Refused("everything was stopped while the run was about to start; it was not started")
        except BaseException:
            self._give_back(claimed, leases)
            self._promised.remove(run.run)
            await self._records.abandon(run)
            raise
        self._runs[run.run] = run
        run.publish_start()
        asked = f", asked for by {by}" if by else ""
        gone_on = f", going on from {resumes}" if resumes else ""
        self._events.publish("run", f"run {run.run} ({procedure}) started{gone_on}{asked}", run=run.run)
        run.work = asyncio.ensure_future(plan.work(run, plan.parsed))
        run.task = asyncio.create_task(self._see_to_its_end(run, run.work, claimed, leases), name=f"run {run.run}")
        return run

    async def resume(self, name: Any, *, by: str = "") -> Run:
        """Go on with a run that did not finish, from what it had saved: a new run with its parameters and devices.

        Raises `InvalidValue` for one that cannot be gone on with, and what `start` raises.
        """
        entry = self._journal.resumable.get(name) if isinstance(name, str) else None
        if entry is None:
            known = ", ".join(self._journal.resumable) or "none"
            raise InvalidValue(
                f"run {name!r} cannot be resumed: it finished, had saved nothing, or is not known; accepted: {known}"
            )
        run = await self.start(
            entry["procedure"],
            entry.get("given", entry["parameters"]),
            entry["devices"],
            entry.get("watch"),
            by=by,
            resumes=str(name),
            saved=entry["saved"],
        )
        try:
            await self._journal.forget(str(name))
        except OSError as error:  # it is under way; that it can be gone on with once more is the lesser evil
            text = f"run {name} is gone on with, and the journal does not know: {error}"
            self._events.publish("run", text, severity="error", run=run.run)
        if name in self._runs:
            self._runs[str(name)].gone_on_with(run.run)
        else:
            self._ended.gone_on_with(str(name), run.run)
        return run

    def find(self, name: Any) -> Run:
        """A run that is under way. Raises `InvalidValue` naming those that are."""
        run = self._runs.get(name) if isinstance(name, str) else None
        if run is None or run.status is not RunStatus.RUNNING:
            running = ", ".join(run.run for run in self.running) or "none"
            raise InvalidValue(f"run {name!r} is not under way; under way: {running}")
        return run

    def items(self, name: Any) -> Items:
        """What a run of this daemon has found, under way or not. Raises `InvalidValue` naming those under way."""
        run = self._runs.get(name) if isinstance(name, str) else None
        found = run.items if run is not None else self._ended.items(name)
        if found is None:
            raise self._unknown(name)
        return found

    async def abort(self, name: Any) -> Mapping[str, Any]:
        """Cancel a run and wait until it has cleaned up; its state. Raises `InvalidValue` for an unknown one."""
        if (ended := self._ended.get(name)) is not None:
            return ended
        run = self._runs.get(name) if isinstance(name, str) else None
        if run is None or run.task is None:
            raise self._unknown(name)
        run.cancel()
        await asyncio.wait([run.task], timeout=CLEANUP_S)
        return run.describe()

    def _unknown(self, name: Any) -> InvalidValue:
        running = ", ".join(run.run for run in self.running) or "none"
        return InvalidValue(f"run {name!r} is not known; under way: {running}")

    def fail(self, name: str, error: PicobridgeError) -> None:
        """End a run that goes on although it may not; nothing happens to one that has ended."""
        run = self._runs.get(name)
        if run is not None and run.status is RunStatus.RUNNING:
            run.fail(error)

    @property
    def running(self) -> list[Run]:
        return [run for run in self._runs.values() if run.status is RunStatus.RUNNING]

    def cancel_all(self) -> list[Run]:
        """Abort all without waiting; returns them. A run that is about to start does not."""
        self._stops += 1
        running = self.running
        for run in running:
            run.cancel()
        return running

    async def wait(self, runs: list[Run]) -> bool:
        """Until they have cleaned up; false if one has not in time."""
        tasks = [run.task for run in runs if run.task is not None]
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=CLEANUP_S)
        return not late

    async def report_earlier(self, left: Mapping[str, Any]) -> None:
        """Runs of earlier daemons: those that can be gone on with, and `left`, which were not ended. Connecting their
        devices switches every source off."""
        await self._ended.remember(*self._journal.resumable, *left)
        for name, entry in self._journal.resumable.items():
            if name not in left:
                status = entry.get("status", RunStatus.INTERRUPTED)
                self._ended.tell(state_of_earlier(name, entry, status, resumable=True))
        for name, entry in left.items():
            resumable = bool(entry.get("saved"))
            if resumable:
                await self._journal.keep(name, {**entry, "status": RunStatus.INTERRUPTED, "ended_ns": time.time_ns()})
            state = state_of_earlier(name, entry, RunStatus.INTERRUPTED, resumable=resumable)
            self._ended.tell(state)
            used = ", ".join(flat(state["devices"]))
            text = f"run {name} was interrupted when the daemon ended without notice; its devices were {used}"
            if resumable:
                text += f"; `picobridge resume {name}` goes on with it"
            self._events.publish("run", text, severity="error", run=name)

    async def settle_interrupted(self, left: Mapping[str, Any]) -> None:
        """Take an interrupted run off the journal once all its devices were connected, and so switched off."""
        for name, entry in left.items():
            used = flat(entry.get("devices", {}))
            for supervisor in [self._devices[device] for device in used if device in self._devices]:
                if supervisor.device.interface == "potentiostat":
                    await supervisor.connection.made.wait()
                    used_by = f"the source of {supervisor.name}, used by the interrupted run {name},"
                    if supervisor.retired:
                        text = f"{used_by} was taken out of the configuration: nobody has seen it off"
                        self._events.publish("safety", text, severity="error", device=supervisor.name, run=name)
                    else:
                        self._events.publish("safety", f"{used_by} is off", device=supervisor.name, run=name)
            await self._journal.end(name)

    # --- one run -----------------------------------------------------------------------------------------------

    def _plan(self, procedure: str, parameters: Mapping[str, Any]) -> _Plan:
        """Raises `InvalidValue`."""
        if procedure == technique_run.NAME:
            technique = technique_run.parse(parameters)
            shown = {"technique": technique.name, **_fields(technique)}
            return _Plan(None, technique_run.ROLES, technique, shown, technique_run.run)
        found = self._catalogue.find(procedure)
        parsed = found.parse(parameters)
        return _Plan(found, found.roles, parsed, _fields(parsed), found.run)

    async def _new_name(self) -> str:
        """Never one that was used before, though the daemon is started again within a second or the clock set back."""
        while True:
            name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{next(self._numbers)}"
            if not (name in self._runs or name in self._ended or await self._records.has(name)):
                return name

    def _entry(self, run: Run) -> dict[str, Any]:
        """A run in the journal. `given` are its parameters as they were asked for, which a resume parses again."""
        names = ("procedure", "parameters", "devices", "started_ns", "ended_ns", "folder", "status", "step", "error")
        described = run.describe()
        return {**{name: described[name] for name in names}, **run.asked, "saved": run.parts.saves}

    def _give_back(self, claimed: Sequence[DeviceSupervisor], leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._guard.leases.release(lease.id)
        for supervisor in claimed:
            supervisor.release()

    async def _see_to_its_end(
        self, run: Run, work: asyncio.Future[Any], claimed: Sequence[DeviceSupervisor], leases: Sequence[Lease]
    ) -> None:
        await run.finish(work)
        self._give_back(claimed, leases)
        try:
            if run.resumable:
                await self._journal.keep(run.run, self._entry(run))
            await self._journal.end(run.run)
            await self._ended.remember(run.run)
        except OSError as error:
            LOG.error("the run journal cannot be written: %s", error)
        await self._records.end(run)
        self._promised.remove(run.run)
        run.publish_end()
        self._ended.add(run.describe(), run.items)
        del self._runs[run.run]
        severity = {RunStatus.FINISHED: "info", RunStatus.ABORTED: "warning"}.get(run.status, "error")
        if isinstance(run.error, Refused | InvalidValue):  # the person who asked is told; nothing is broken
            severity = "warning"
        why = f": {run.error}" if run.error is not None else ""
        self._events.publish(
            "run",
            f"run {run.run} ({run.procedure}) {run.status}{why}",
            severity=severity,
            run=run.run,
            error=run.error,
        )
        if run.broke is not None:
            LOG.error("run %s failed by an internal error", run.run, exc_info=run.broke)
        run.let_go()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be run. `description` is None for a single technique."""

    description: Procedure | None
    roles: Mapping[str, Role]
    parsed: Any
    shown: Mapping[str, Any]
    work: Callable[[Run, Any], Awaitable[Any]]


def _fields(parsed: Any) -> dict[str, Any]:
    return {field.name: getattr(parsed, field.name) for field in dataclasses.fields(parsed)}
