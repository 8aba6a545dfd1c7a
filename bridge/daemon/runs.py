"""All runs: started, followed, aborted, remembered over a crash."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bridge.procedures.description import Role
from bridge.procedures.registry import PROCEDURES
from bridge.transfer.plain import dumps, to_plain
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import InvalidValue, Refused

from . import technique_run
from .events import Events
from .journal import Journal
from .records import Records
from .run import Run, RunStatus
from .supervisor import DeviceSupervisor
from .watch_options import WatchOptions, parse_watch

LOG = logging.getLogger("picobridge.runs")

#: So many ended runs stay on the broker and in the list; older ones are removed.
KEPT = 100
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
        watch: WatchOptions | None = None,
    ) -> None:
        self._devices = devices
        self._journal = journal
        self._uplink = uplink
        self._topics = topics
        self._events = events
        self._records = records
        self._watch = watch or WatchOptions()
        self._runs: dict[str, Run] = {}
        self._interrupted: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._stops = 0

    def states(self) -> list[dict[str, Any]]:
        """States, the oldest first."""
        return [*self._interrupted.values(), *(run.describe() for run in self._runs.values())]

    async def start(
        self, procedure: str, parameters: Mapping[str, Any], devices: Mapping[str, Any], watch: Any = None
    ) -> Run:
        """Returns as soon as it is under way. `watch` overrides the configuration's [watch] for this run.

        Raises `InvalidValue`, `DeviceLost`, `Busy`, `RunFailed` (it cannot be recorded); nothing has been sent to a
        device then.
        """
        roles, parsed, work = _prepare(procedure, parameters)
        cast = self._cast(roles, devices)
        run = self._create(procedure, parsed, cast, self._watch if watch is None else parse_watch(watch, self._watch))
        claimed: list[DeviceSupervisor] = []
        stops = self._stops
        try:
            for supervisor in cast.values():
                if supervisor.device.interface != "gauge":  # which everybody may read
                    supervisor.claim(run.run)
                    claimed.append(supervisor)
            await self._records.begin(run, {s.name: (role, s) for role, s in cast.items()})
            entry = {key: run.describe()[key] for key in ("procedure", "parameters", "devices", "started_ns", "folder")}
            await self._journal.begin(run.run, entry)
            if self._stops != stops:
                await self._journal.end(run.run)
                raise Refused("everything was stopped while the run was about to start; it was not started")
        except BaseException:
            for supervisor in claimed:
                supervisor.release()
            await self._records.abandon(run)
            raise
        self._runs[run.run] = run
        run.publish_start()
        self._events.publish("run", f"run {run.run} ({procedure}) started", run=run.run)
        run.work = asyncio.ensure_future(work(run, parsed))
        run.task = asyncio.create_task(self._see_to_its_end(run, run.work, claimed), name=f"run {run.run}")
        return run

    async def abort(self, name: Any) -> Run:
        """Cancel a run and wait until it has cleaned up. Raises `InvalidValue` for an unknown one."""
        run = self._runs.get(name) if isinstance(name, str) else None
        if run is None or run.task is None:
            running = ", ".join(run.run for run in self.running) or "none"
            raise InvalidValue(f"run {name!r} is not known; under way: {running}")
        run.cancel()
        await asyncio.wait([run.task], timeout=CLEANUP_S)
        return run

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

    def report_interrupted(self, left: Mapping[str, Any]) -> None:
        """Runs that an earlier daemon did not end. Connecting their devices switches every source off."""
        for name, entry in left.items():
            state = {
                "run": name,
                "procedure": entry.get("procedure", ""),
                "parameters": entry.get("parameters", {}),
                "devices": entry.get("devices", {}),
                "status": RunStatus.INTERRUPTED,
                "step": "",
                "fraction": None,
                "values": {},
                "started_ns": entry.get("started_ns"),
                "ended_ns": time.time_ns(),
                "error": None,
                "streams": {},
                "folder": entry.get("folder"),
            }
            self._interrupted[name] = to_plain(state)
            self._uplink.retain(self._topics.run_state(name), dumps(state))
            used = ", ".join(state["devices"].values())
            text = f"run {name} was interrupted when the daemon ended without notice; its devices were {used}"
            self._events.publish("run", text, severity="error", run=name)

    async def settle_interrupted(self) -> None:
        """Take an interrupted run off the journal once all its devices were connected, and so switched off."""
        for name, state in self._interrupted.items():
            supervisors = [self._devices[d] for d in state["devices"].values() if d in self._devices]
            for supervisor in supervisors:
                if supervisor.device.interface == "potentiostat":
                    await supervisor.was_connected.wait()
                    text = f"the source of {supervisor.name}, used by the interrupted run {name}, is off"
                    self._events.publish("safety", text, device=supervisor.name, run=name)
            await self._journal.end(name)

    # --- one run -----------------------------------------------------------------------------------------------

    def _create(self, procedure: str, parsed: Any, cast: Mapping[str, DeviceSupervisor], watch: WatchOptions) -> Run:
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{next(self._numbers)}"
        shown = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed)}
        if procedure == technique_run.NAME:
            shown = {"technique": parsed.name, **shown}
        watched = watch if watch.enabled else None
        return Run(name, procedure, shown, cast, self._uplink, self._topics, self._events, watched)

    async def _see_to_its_end(self, run: Run, work: asyncio.Future[Any], claimed: list[DeviceSupervisor]) -> None:
        await run.finish(work)
        for supervisor in claimed:
            supervisor.release()
        try:
            await self._journal.end(run.run)
        except OSError as error:
            LOG.error("the run journal cannot be written: %s", error)
        await self._records.end(run)
        run.publish_end()
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
        if run.error is not None and run.error.__cause__ is not None:
            LOG.error("run %s failed by an internal error", run.run, exc_info=run.error.__cause__)
        self._forget_old()

    def _forget_old(self) -> None:
        ended = [run for run in self._runs.values() if run.status is not RunStatus.RUNNING]
        for run in ended[: max(0, len(ended) - KEPT)]:
            del self._runs[run.run]
            self._uplink.retain(self._topics.run_state(run.run), b"")
            self._uplink.retain(self._topics.run_result(run.run), b"")

    def _cast(self, roles: Mapping[str, Role], devices: Mapping[str, Any]) -> dict[str, DeviceSupervisor]:
        """The supervisors by role. Raises `InvalidValue`, `DeviceLost`."""
        cast: dict[str, DeviceSupervisor] = {}
        for role, name in devices.items():
            if role not in roles:
                raise InvalidValue(f"role {role!r} is not known; accepted: {', '.join(roles) or 'none'}")
            supervisor = self._devices.get(name) if isinstance(name, str) else None
            if supervisor is None:
                raise InvalidValue(
                    f"{role} is {name!r}; accepted: {', '.join(self._of(roles[role].interface)) or 'none'}"
                )
            if supervisor.device.interface != roles[role].interface:
                raise InvalidValue(
                    f"{role} is {name!r}, a {supervisor.device.interface}; accepted: "
                    f"{', '.join(self._of(roles[role].interface)) or 'none'}"
                )
            if supervisor in cast.values():
                raise InvalidValue(f"{role} is {name!r}, which plays another role already")
            supervisor.require_connected()
            cast[role] = supervisor
        for role, wanted in roles.items():
            if wanted.required and role not in cast:
                raise InvalidValue(
                    f"role {role} is not cast; accepted: {', '.join(self._of(wanted.interface)) or 'none'}"
                )
        return cast

    def _of(self, interface: str) -> list[str]:
        return [name for name, supervisor in self._devices.items() if supervisor.device.interface == interface]


def _prepare(
    procedure: str, parameters: Mapping[str, Any]
) -> tuple[Mapping[str, Role], Any, Callable[[Run, Any], Awaitable[Any]]]:
    """Roles, parsed parameters and the function of a procedure. Raises `InvalidValue`."""
    if procedure == technique_run.NAME:
        return {technique_run.ROLE: Role("potentiostat")}, technique_run.parse(parameters), technique_run.run
    found = PROCEDURES.get(procedure)
    if found is None:
        known = ", ".join([technique_run.NAME, *PROCEDURES])
        raise InvalidValue(f"procedure is {procedure!r}; accepted: {known}")
    return found.roles, found.parse(parameters), found.run


def describe_procedures() -> list[dict[str, Any]]:
    """For the method `procedures`."""
    listed: list[dict[str, Any]] = [
        {
            "name": technique_run.NAME,
            "summary": technique_run.SUMMARY,
            "roles": {technique_run.ROLE: {"interface": "potentiostat", "required": True}},
            "parameters": technique_run.parameters(),
        }
    ]
    for procedure in PROCEDURES.values():
        parameters = []
        for field in dataclasses.fields(procedure.parameters):
            default = field.default if field.default is not dataclasses.MISSING else None
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            parameters.append(
                {
                    "name": field.name,
                    "help": field.metadata.get("help", ""),
                    "unit": field.metadata.get("unit", ""),
                    "required": required,
                    "default": to_plain(default),
                }
            )
        listed.append(
            {
                "name": procedure.name,
                "summary": procedure.summary,
                "roles": {
                    role: {"interface": wanted.interface, "required": wanted.required}
                    for role, wanted in procedure.roles.items()
                },
                "parameters": parameters,
            }
        )
    return listed
