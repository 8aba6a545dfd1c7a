"""The records of the daemon's runs: begun before anything is energised, ended before the result is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.record import Recorder, Recording
from drivers.errors import PicobridgeError

from .config import Config
from .events import Events
from .finishing import Finisher
from .run import Run
from .supervisor import DeviceSupervisor


class Records:
    """Without a `data_dir` in the configuration nothing is recorded, and every method does nothing."""

    def __init__(self, config: Config, events: Events) -> None:
        self._config: Config
        self._events = events
        self._under_way: dict[str, Recording] = {}
        self._devices: dict[str, frozenset[str]] = {}
        self._recorder: Recorder | None = None
        self._finisher = Finisher(config.state_dir / "matplotlib", self._finished)
        events.heard = self._heard
        self.use(config)

    def use(self, config: Config) -> None:
        """For runs that start from now on; exports and reports also of those that end from now on."""
        self._config = config
        self._recorder = None
        if config.data_dir is not None:
            self._recorder = Recorder(
                config.data_dir,
                _described(config),
                limit_bytes=config.queue_bytes,
                reserve_bytes=config.min_free_bytes,
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
    ) -> None:
        """`devices` are role and supervisor by device. Raises `RunFailed` if the run cannot be recorded."""
        if self._recorder is None:
            return
        described = {
            name: {
                "role": role,
                **supervisor.describe(),
                "options": self._config.devices[name].options,
            }
            for name, (role, supervisor) in devices.items()
        }
        state = run.describe()
        run.recording = await self._recorder.begin(
            run.run,
            run.procedure,
            state["parameters"],
            described,
            run.started_ns,
            expected_bytes=expected_bytes,
            asked_by=by,
            resumes=resumes or None,
        )
        self._under_way[run.run] = run.recording
        self._devices[run.run] = frozenset(devices)

    async def end(self, run: Run) -> None:
        """Everything on disk when it returns, or an event that says what is not. Never raises."""
        recording = self._under_way.pop(run.run, None)
        self._devices.pop(run.run, None)
        if recording is None:
            return
        error = None if run.error is None else run.error.to_dict()
        try:
            health = [] if run.watch is None else run.watch.findings
            await recording.end(run.status, run.ended_ns or run.started_ns, error, run.result, health=health)
        except PicobridgeError as failure:
            text = f"run {run.run} is not recorded completely: {failure}"
            self._events.publish("run", text, severity="error", run=run.run, error=failure)
        else:
            if self._config.reports or self._config.exports:
                self._finisher.add(recording.folder, "bridge.report" if self._config.reports else "bridge.record")

    async def abandon(self, run: Run) -> None:
        """A run that was not started after all leaves no folder."""
        recording = self._under_way.pop(run.run, None)
        self._devices.pop(run.run, None)
        if recording is not None:
            await recording.discard()

    async def close(self) -> None:
        await self._finisher.close()

    def _heard(self, event: Mapping[str, Any]) -> None:
        """What was said about a run, or about one of its devices while it is under way."""
        for run, recording in self._under_way.items():
            if event["run"] == run or (not event["run"] and event["device"] in self._devices[run]):
                recording.event(event)

    def _finished(self, folder: Path, made: Mapping[str, Any]) -> None:
        if report := made.get("report"):
            self._events.publish("run", f"report: {report}", run=folder.name.partition("_")[0])


def _described(config: Config) -> dict[str, Any]:
    """The configuration without passwords."""
    return {
        "bridge": config.bridge,
        "prefix": config.topics.prefix,
        "state_dir": str(config.state_dir),
        "data_dir": str(config.data_dir),
        "broker": str(config.broker.address or f"embedded, port {config.broker.port}"),
        "queue_bytes": config.queue_bytes,
        "devices": {
            name: {
                "driver": device.driver,
                "address": device.address,
                "options": device.options,
                "serial": device.serial,
            }
            for name, device in config.devices.items()
        },
    }


def _has(folder: Path, run: str) -> bool:
    """Not by `glob`: what it makes of the pattern of each name stays in the caches of `re` and `fnmatch`."""
    return folder.is_dir() and any(name.startswith(f"{run}_") for name in os.listdir(folder))
