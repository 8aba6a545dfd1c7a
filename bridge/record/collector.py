"""From what a bridge publishes to a folder a run, the same as the daemon's own: the other end of a recorder elsewhere.

It is told blocks, manifests, results and events in whatever order they come, by whoever brings them (`take`, ...), and
ends a folder when all of its run is there. A folder that was left by an earlier recorder is gone on with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.errors import InvalidValue, RunFailed
from drivers.samples import SampleBlock

from . import manifest
from .description import Description
from .raw import in_use
from .recorder import Recorder
from .recording import Recording

#: How long the disk may take nothing while the queue of a run is full (real seconds).
PATIENCE_S = 60.0
#: Of a run that ended when its daemon was killed there is no other word.
INTERRUPTED = "interrupted"


@dataclass(slots=True)
class _Run:
    """What is known of a run. `told` is the newest manifest that came, `outcome` its result."""

    told: Mapping[str, Any] | None = None
    outcome: Mapping[str, Any] | None = None
    interrupted: bool = False
    recording: Recording | None = None
    early: list[Mapping[str, Any]] = field(default_factory=list)


class Collector:
    """`name` is the recorder's, "" if it has none. `ended` is told each folder that is done."""

    def __init__(self, recorder: Recorder, name: str = "", ended: Callable[[Path], None] = lambda folder: None) -> None:
        self._recorder = recorder
        self._name = name
        self._ended = ended
        self._runs: dict[str, _Run] = {}
        self._lock = asyncio.Lock()
        #: folders of this and earlier recorders, by run: whether it is complete
        self._folders: dict[str, tuple[Path, bool]] | None = None
        #: what was written of runs that have ended
        self._samples = 0
        #: by run, the folders that were written
        self.folders: dict[str, Path] = {}

    # --- what comes ------------------------------------------------------------------------------------------------

    async def take(self, block: SampleBlock) -> None:
        """A block, in the order of its stream. Raises `RunFailed` if it cannot be recorded."""
        run = str(block.attributes.get("run") or block.stream)
        async with self._lock:
            recording = await self._open(run)
        if recording is None:
            return
        recording.add(block.stream.rpartition("-")[0] or block.stream, block)
        if recording.error is None and recording.full and not await recording.room(PATIENCE_S):
            raise RunFailed(f"the disk of {recording.folder} took no sample for {PATIENCE_S:g} s")
        if recording.error is not None:
            raise recording.error

    async def manifest(self, content: Mapping[str, Any]) -> None:
        """What the daemon says of a run. One that is under way gets its folder now, samples or not. Raises `RunFailed`;
        `InvalidValue` for what is no manifest."""
        known = manifest.checked("the manifest on its topic", {"files": {}, **content})
        run = self._run(str(known["run"]))
        run.told = known
        async with self._lock:
            nothing_comes = all(first == after for first, after in manifest.samples_of(known).values())
            if known["ended_ns"] is None or (self._name and nothing_comes):
                await self._open(str(known["run"]))

    def outcome(self, run: str, content: Mapping[str, Any]) -> None:
        """What came of a run, its result."""
        self._run(run).outcome = content

    def state(self, run: str, content: Mapping[str, Any]) -> None:
        """How a run is. It matters where nothing else will be said of it."""
        if content.get("status") == INTERRUPTED:
            self._run(run).interrupted = True

    def event(self, event: Mapping[str, Any]) -> None:
        """Something was said. What is about a run goes into its record, until the daemon's own list replaces it."""
        run = str(event.get("run") or "")
        if run in self._runs:
            entry = self._runs[run]
            if entry.recording is None:
                entry.early.append(event)
            else:
                entry.recording.event(event)

    # --- what is done with it --------------------------------------------------------------------------------------

    @property
    def data_dir(self) -> Path:
        return self._recorder.data_dir

    @property
    def samples(self) -> int:
        """How many were written."""
        return self._samples + sum(
            count.samples for run in self._runs.values() if run.recording for count in run.recording.counts.values()
        )

    @property
    def under_way(self) -> list[str]:
        """Runs whose folders are not complete yet."""
        return [name for name, run in self._runs.items() if run.recording is not None]

    async def sync(self) -> None:
        """Everything so far on the disk itself. Raises `RunFailed`."""
        for run in list(self._runs.values()):
            if run.recording is not None:
                await run.recording.sync()

    async def reached(self, reached: Mapping[str, int], *, everything: bool) -> None:
        """All samples that will come of a stream have come up to this index, exclusive; `everything`: and there are no
        more. Runs that are over by that are ended. Raises `RunFailed`."""
        async with self._lock:
            for name, run in list(self._runs.items()):
                if run.recording is None:
                    continue
                if run.told is not None and run.told["ended_ns"] is not None:
                    wanted = manifest.samples_of(run.told)
                    come = all(reached.get(stream, 0) >= after for stream, (_, after) in wanted.items())
                    if come and run.outcome is not None:
                        await self._end(name, run, run.outcome.get("result"))
                elif run.interrupted and everything:
                    await self._end(name, run, None)

    async def close(self) -> None:
        """Leave what is under way: another recorder can go on with it."""
        for run in self._runs.values():
            if run.recording is not None:
                await run.recording.leave()
                run.recording = None

    # --- how -------------------------------------------------------------------------------------------------------

    def _run(self, name: str) -> _Run:
        return self._runs.setdefault(name, _Run())

    async def _open(self, name: str) -> Recording | None:
        """The recording of a run, begun or gone on with; None if it is recorded already."""
        run = self._run(name)
        if run.recording is not None:
            return run.recording
        if self._folders is None:
            self._folders = await asyncio.to_thread(lambda: dict(_folders(self._recorder.data_dir)))
        folder, complete = self._folders.get(name, (None, False))
        if complete:
            return None
        description = Description.of(run.told or _unknown(name))
        description.content |= {"recorder": self._about(), "events": []}
        if folder is None or await asyncio.to_thread(in_use, folder):
            opening = asyncio.ensure_future(self._recorder.begin(description))
        else:
            opening = asyncio.ensure_future(self._recorder.go_on(folder, description))
        try:
            run.recording = await asyncio.shield(opening)
        except asyncio.CancelledError:  # what was opened is left in order, with all others
            run.recording = await opening
            raise
        for event in run.early:
            run.recording.event(event)
        run.early.clear()
        self.folders[name] = run.recording.folder
        return run.recording

    async def _end(self, name: str, run: _Run, result: Any) -> None:
        recording, told = run.recording, run.told
        assert recording is not None
        content = recording.description.content
        run.recording = None
        try:
            if told is not None and told["ended_ns"] is not None:
                content |= {**told, "recorder": self._about()}
            else:
                content |= {"status": INTERRUPTED, "streams": {}}
            await recording.end(result, events_anew=content["ended_ns"] is not None)
        finally:
            folder = await asyncio.to_thread(self._recorder.named, recording.folder, recording.description)
            assert self._folders is not None
            self._folders[name] = (folder, True)
            self.folders[name] = folder
            self._samples += sum(count.samples for count in recording.counts.values())
        self._ended(folder)

    @property
    def interrupted(self) -> bool:
        """Whether something is under way of which nothing more will be said."""
        return any(run.interrupted for run in self._runs.values() if run.recording is not None)

    def _about(self) -> dict[str, Any]:
        return {"name": self._name, "software": manifest.software(), "host": manifest.host()}


def _unknown(run: str) -> dict[str, Any]:
    """Of a run whose manifest never came."""
    return manifest.new(run, "unknown", time.time_ns()) | {"software": {}, "host": {}}


def _folders(data_dir: Path) -> Iterator[tuple[str, tuple[Path, bool]]]:
    """Runs that have a folder there: by run, with whether it is done with."""
    for path in sorted(data_dir.glob(f"*/{manifest.NAME}")):
        try:
            content = manifest.read(path.parent)
        except InvalidValue:
            continue
        done = content["status"] != "running" or content["ended_ns"] is not None
        yield content["run"], (path.parent, done)
