"""The records of the daemon's runs: begun before anything is energised, ended before the result is told."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.access.caller import CALLER
from bridge.record import Recorder, Recording, safety
from bridge.record.description import Description
from bridge.safety.acts import Act
from bridge.safety.condition import Verdict
from bridge.safety.rules import Rule
from bridge.transfer.plain import dumps
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import PicobridgeError

from .config import Config
from .events import Events
from .finishing import Finisher
from .guard import Guard
from .run import Run
from .supervisor import DeviceSupervisor

#: What a manifest says of the folder that it is in, which is its own recorder's to say.
_OF_THE_FOLDER = ("files", "complete", "recorder")


class Records:
    """Without a `data_dir` in the configuration nothing is recorded here; the manifest is published in any case, so
    that a recorder elsewhere has what it needs. `guard` judges what the runs do."""

    def __init__(self, config: Config, events: Events, uplink: Uplink, topics: Topics, guard: Guard) -> None:
        self._config: Config
        self._events = events
        self._uplink = uplink
        self._topics = topics
        self._interlocks = guard.interlocks
        self._audit = guard.audit
        self._under_way: dict[str, _Kept] = {}
        self._recorder: Recorder | None = None
        self._finisher = Finisher(config.state_dir / "matplotlib", self._finished)
        events.heard = self._heard
        guard.interlocks.heard = self._judged
        self.use(config)

    def use(self, config: Config) -> None:
        """For runs that start from now on; exports and reports also of those that end from now on."""
        self._config = config
        self._recorder = None
        if config.data_dir is not None:
            self._recorder = Recorder(
                config.data_dir, limit_bytes=config.queue_bytes, reserve_bytes=config.min_free_bytes
            )

    async def has(self, run: str) -> bool:
        """Whether a run of this name is recorded."""
        folder = self._config.data_dir
        return folder is not None and await asyncio.to_thread(_has, folder, run)

    async def begin(
        self,
        run: Run,
        devices: Mapping[str, tuple[str, DeviceSupervisor]],
        *,
        by: str = "",
        resumes: str = "",
        expected_bytes: int = 0,
        promised_bytes: int = 0,
    ) -> None:
        """`devices` are role and supervisor by device; `promised_bytes` is room that others need.

        Raises `RunFailed` if the run cannot be recorded.
        """
        caller = CALLER.get()
        run.described = Description(
            run.run,
            run.procedure,
            run.started_ns,
            parameters=run.describe()["parameters"],
            devices={
                name: {
                    "role": role,
                    **supervisor.describe(),
                    "options": self._config.devices[name].options,
                    "calibration": self._config.devices[name].calibration or None,
                }
                for name, (role, supervisor) in devices.items()
            },
            configuration=described(self._config),
            asked_by=by,
            user=caller.user or None,
            user_role=str(caller.role) if caller.user else None,
            resumes=resumes or None,
            safety=safety.at_the_start(self._interlocks.state(time.monotonic())),
        )
        if self._recorder is not None:
            run.recording = await self._recorder.begin(
                run.described, expected_bytes=expected_bytes, promised_bytes=promised_bytes
            )
        self._under_way[run.run] = _Kept(run.described, run.recording, frozenset(devices))
        self._publish(run.described)

    async def end(self, run: Run) -> None:
        """Everything on disk when it returns, or an event that says what is not. Never raises."""
        kept = self._under_way.pop(run.run, None)
        if kept is None:
            return
        error = None if run.error is None else run.error.to_dict()
        health = [] if run.watch is None else run.watch.findings
        ended_ns = run.ended_ns or run.started_ns
        kept.description.end(run.status, ended_ns, error, health=health, streams=run.streams())
        try:
            if kept.recording is not None:
                await kept.recording.end(run.result)
        except PicobridgeError as failure:
            text = f"run {run.run} is not recorded completely: {failure}"
            self._events.publish("run", text, severity="error", run=run.run, error=failure)
        else:
            if kept.recording is not None:
                files = {name: known["sha256"] for name, known in kept.description.content["files"].items()}
                self._audit.note("record", run=run.run, folder=str(kept.recording.folder), sha256=files)
            if kept.recording is not None and (self._config.reports or self._config.exports):
                module = "bridge.report" if self._config.reports else "bridge.record"
                self._finisher.add(kept.recording.folder, module)
        self._publish(kept.description)

    async def abandon(self, run: Run) -> None:
        """A run that was not started after all leaves no folder."""
        kept = self._under_way.pop(run.run, None)
        if kept is None:
            return
        self.forget(run.run)
        if kept.recording is not None:
            await kept.recording.discard()

    def forget(self, run: str) -> None:
        """Its manifest is not on the broker any more."""
        self._uplink.retain(self._topics.run_manifest(run), b"")

    def _publish(self, description: Description) -> None:
        content = {key: value for key, value in description.content.items() if key not in _OF_THE_FOLDER}
        self._uplink.retain(self._topics.run_manifest(description.run), dumps(content))

    def _judged(self, act: Act, rule: Rule, verdict: Verdict) -> None:
        """A rule was asked about something that a run does."""
        if act.run in self._under_way:
            safety.note(self._under_way[act.run].description.content["safety"], act, rule, verdict)

    async def close(self) -> None:
        await self._finisher.close()

    def _heard(self, event: Mapping[str, Any]) -> None:
        """What was said about a run; and while it is under way about one of its devices, or about safety at all: that a
        rule was set aside, that somebody has seen something."""
        for run, kept in self._under_way.items():
            everybodys = event["device"] in kept.devices or (event["kind"] == "safety" and not event["device"])
            if event["run"] == run or (not event["run"] and everybodys):
                (kept.description if kept.recording is None else kept.recording).event(event)

    def _finished(self, folder: Path, made: Mapping[str, Any]) -> None:
        if report := made.get("report"):
            self._events.publish("run", f"report: {report}", run=folder.name.partition("_")[0])


@dataclass(frozen=True, slots=True)
class _Kept:
    """A run under way. `recording` is None where it is not recorded here."""

    description: Description
    recording: Recording | None
    devices: frozenset[str]


def described(config: Config) -> dict[str, Any]:
    """The configuration without secrets: no password, and nothing of the broker but its address."""
    return {
        "bridge": config.bridge,
        "prefix": config.topics.prefix,
        "state_dir": str(config.state_dir),
        "data_dir": str(config.data_dir),
        "broker": str(config.broker.address or f"embedded, port {config.broker.port}"),
        "access": config.access is not None,
        "queue_bytes": config.queue_bytes,
        "min_free_bytes": config.min_free_bytes,
        "watch": config.watch,
        "spool": config.spool,
        "interlocks": config.interlocks,
        "devices": {
            name: {
                "driver": device.driver,
                "address": device.address,
                "options": device.options,
                "serial": device.serial,
                "calibration": device.calibration,
            }
            for name, device in config.devices.items()
        },
    }


def _has(folder: Path, run: str) -> bool:
    """Not by `glob`: what it makes of the pattern of each name stays in the caches of `re` and `fnmatch`."""
    return folder.is_dir() and any(name.startswith(f"{run}_") for name in os.listdir(folder))
