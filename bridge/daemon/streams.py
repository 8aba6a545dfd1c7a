"""The samples of all devices on disk: who has which, who asks for some again, how long they are kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.access.caller import CALLER, is_of
from bridge.record.overview import Overviews
from bridge.store.cursor_table import CursorTable
from bridge.transfer.pump import SamplePump
from bridge.transfer.replay import Replay, Replayed, Stored
from bridge.transfer.spool import HINTS, FaultKind, Spool, SpoolOptions, StreamRange
from bridge.transfer.topics import Topics, checked_name
from bridge.transfer.uplink import Uplink
from drivers.errors import Busy, InvalidValue, PicobridgeError, Refused, RunFailed

from .guard import Guard
from .params import accept, text_of, whole_number
from .recorder_groups import Extent, RecorderGroups
from .requests import REPLY_TO
from .spool_config import SpoolConfig
from .spool_faults import OF_THE_SPOOL

LOG = logging.getLogger("picobridge.spool")

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

#: One request for a replay is answered with so much; its asker goes on from there.
REPLAY_BYTES = 8_000_000
REPLAYS_AT_ONCE = 8
#: A disk that hangs does not keep the daemon from ending.
CLOSE_S = 10.0
#: So long is waited for the disk, before it is answered with what there is.
DURABLE_S = 5.0
#: How often what nobody needs any more is deleted.
RELEASE_S = 10.0


class Streams:
    """`handlers` are the methods of requests. Open before devices are supervised, close after they are closed."""

    def __init__(
        self,
        folder: Path,
        config: SpoolConfig,
        reserve_bytes: int,
        queue_bytes: int,
        cursors: CursorTable,
        uplink: Uplink,
        topics: Topics,
        guard: Guard,
    ) -> None:
        self.config = config
        self.spool: Spool
        self._folder = folder
        self.overviews = Overviews(folder.parent / "overview")
        self._queue_bytes = queue_bytes
        self._options = self._options_of(config, reserve_bytes)
        self._cursors = cursors
        self._uplink = uplink
        self._topics = topics
        self._guard = guard
        #: of the streams that go on, by their names
        self._pumps: dict[str, SamplePump] = {}
        self._durable: dict[str, int] = {}
        self._recovered = asyncio.Event()
        self._replays = 0
        self._was_failing = self._was_exhausted = False
        self.handlers: Mapping[str, Handler] = {
            "streams": self._list,
            "replay": self._replay,
            "recorded": self._recorded,
            **RecorderGroups(self, cursors).handlers,
        }

    def _options_of(self, config: SpoolConfig, reserve_bytes: int) -> SpoolOptions:
        return SpoolOptions(
            commit_s=config.commit_s,
            keep_s=config.keep_s,
            max_bytes=config.max_bytes,
            queue_bytes=self._queue_bytes,
            reserve_bytes=reserve_bytes,
            segment_bytes=min(64_000_000, config.max_bytes // 4),
            when_full="overwrite" if config.overwrites else "stop",
        )

    def use(self, config: SpoolConfig, reserve_bytes: int) -> None:
        """Another configuration from now on, but for `commit_s`."""
        self.config = config
        self._options = self._options_of(config, reserve_bytes)
        self.spool.use(self._options)

    async def open(self) -> None:
        """Raises `SpoolFailed`."""
        began = time.monotonic()
        self.spool = await asyncio.to_thread(Spool.open, self._folder, self._options)
        self.spool.on_fault = self._fault
        self.spool.changed = self._changed
        self.spool.taken = self.overviews.note
        for fault in self._guard.faults.open():  # of an earlier daemon; what is still wrong is told again
            if fault.device == OF_THE_SPOOL:
                self._guard.over(fault.kind, OF_THE_SPOOL)
        self.spool.start()
        LOG.info("%s is ready after %.2f s: %s", self._folder, time.monotonic() - began, self.spool.recovery)

    async def close(self) -> None:
        """All that was taken is on disk, or the log says that it is not."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.spool.close()
        except TimeoutError:
            LOG.error("the disk of %s does not answer: what it was given last may be lost", self._folder)
        except PicobridgeError as error:
            LOG.error("%s", error)
        await asyncio.to_thread(self.overviews.close)

    def attach(self, pump: SamplePump) -> None:
        """Let a pump's oldest blocks go when they are durable and it is full."""
        self._pumps[pump.stream] = pump

    def detach(self, pump: SamplePump) -> None:
        """Nothing comes of it any more; what came is on disk."""
        del self._pumps[pump.stream]
        self._durable.pop(pump.stream, None)
        self.overviews.forget(pump.stream)

    def require_room(self, expected_bytes: int, promised_bytes: int) -> None:
        """Raises `RunFailed` where a run's samples would not fit beside what is promised to others."""
        try:
            free = self.spool.free_bytes()
        except OSError as error:
            raise RunFailed(
                f"how much of the disk of {self._folder} is free cannot be found out: {error}",
                operation="run",
                hint="Is the disk of the state directory there?",
            ) from error
        needed = self._options.reserve_bytes + expected_bytes + promised_bytes
        if self.spool.exhausted or free < needed:
            raise RunFailed(
                f"the disk of {self._folder} is too full to begin a run: {free / 1e6:.0f} MB are free, "
                f"{needed / 1e6:.0f} MB are needed ({expected_bytes / 1e6:.0f} MB for its samples, "
                f"{promised_bytes / 1e6:.0f} MB for runs under way)"
                + (f"; {self.spool.lacking}" if self.spool.lacking else ""),
                operation="begin a run",
                hint=HINTS[FaultKind.EXHAUSTED],
            )

    async def retain(self) -> None:
        """Delete what nobody needs, and store faults that the disk did not take when they came; now and then, until
        cancelled."""
        while True:
            self._recovered.clear()
            for work, what in (
                (self._guard.faults.store_again, "faults cannot be stored"),
                (self._release, "old samples cannot be deleted"),
            ):
                try:
                    await work()
                except (PicobridgeError, OSError) as error:
                    LOG.error("%s: %s", what, error)
            self._changed()
            with suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_S):
                    await self._recovered.wait()

    def extents(self) -> dict[str, Extent]:
        """What there is of each stream."""
        known = {
            stream: Extent(
                found.first_index,
                found.next_index,
                tuple((gap.first_index, gap.next_index) for gap in found.missing),
            )
            for stream, found in self.spool.streams().items()
        }
        for stream, pump in self._pumps.items():  # what was taken a moment ago is not on disk yet
            known[stream] = replace(known.get(stream, Extent(0, 0)), next_index=pump.next_index)
        return known

    # --- what the disk does --------------------------------------------------------------------------------------

    def _changed(self) -> None:
        for stream, pump in self._pumps.items():
            pump.relieve()
            durable = self.spool.durable(stream)
            if self._durable.get(stream, 0) != durable:  # the device's state says how much is
                self._durable[stream] = durable
                pump.changed()
        failing, exhausted = self.spool.error is not None, self.spool.exhausted
        if self._was_failing and not failing:
            self._over(FaultKind.DISK)
        if self._was_exhausted and not exhausted:
            self._over(FaultKind.EXHAUSTED)
        self._was_failing, self._was_exhausted = failing, exhausted

    def _over(self, kind: FaultKind) -> None:
        self._guard.over(kind, OF_THE_SPOOL)
        self._recovered.set()

    def _fault(self, kind: FaultKind, text: str) -> None:
        self._guard.latch(kind, OF_THE_SPOOL, text, hint=HINTS[kind])
        if kind is FaultKind.EXHAUSTED:
            self._was_exhausted = True
        elif kind is FaultKind.DISK and self.spool.error is not None:
            self._was_failing = True
        else:  # nothing goes on being wrong: it happened, and somebody has to know
            self._guard.over(kind, OF_THE_SPOOL)

    async def _release(self) -> None:
        streams = self.spool.streams()
        floors = {stream: known.next_index for stream, known in streams.items()}
        if self.config.recorders:
            floors = dict.fromkeys(streams, 0)
            cursors = {(cursor.recorder, cursor.stream): cursor.next_index for cursor in await self._cursors.all()}
            for stream in streams:
                floors[stream] = min(cursors.get((recorder, stream), 0) for recorder in self.config.recorders)
        await asyncio.to_thread(self.spool.release, floors)
        await asyncio.to_thread(self.overviews.tidy)
        known = {*self.spool.streams(), *self._pumps}
        if gone := {cursor.stream for cursor in await self._cursors.all()} - known:
            await self._cursors.forget_streams(gone)

    # --- requests ------------------------------------------------------------------------------------------------

    async def _list(self, params: Mapping[str, Any]) -> Any:
        """What there is of each stream, and how far each recorder has it."""
        accept(params)
        recorded: dict[str, dict[str, int]] = {}
        for cursor in await self._cursors.all():
            recorded.setdefault(cursor.stream, {})[cursor.recorder] = cursor.next_index
        known: dict[str, Any] = {
            stream: self._described(stream, found.device, found, recorded)
            for stream, found in self.spool.streams().items()
        }
        for stream, pump in self._pumps.items():  # what was taken a moment ago is not on disk yet
            known.setdefault(stream, self._described(stream, stream.rpartition("-")[0], None, recorded))
            known[stream]["next_index"] = pump.next_index
        return list(known.values())

    def _described(
        self, stream: str, device: str, found: StreamRange | None, recorded: Mapping[str, Mapping[str, int]]
    ) -> dict[str, Any]:
        return {
            "stream": stream,
            "device": device,
            "first_index": found.first_index if found else 0,
            "next_index": found.next_index if found else 0,
            "durable": found.next_index if found else 0,
            "missing": [[gap.first_index, gap.next_index, gap.reason] for gap in (found.missing if found else ())],
            "recorded": dict(recorded.get(stream, {})),
        }

    async def _recorded(self, params: Mapping[str, Any]) -> Any:
        """A recorder has everything of a stream before an index."""
        accept(params, "recorder", "stream", "next_index")
        recorder = checked_name(params.get("recorder"), "recorder")
        caller = CALLER.get()
        if caller.user and not is_of(caller.user, recorder):
            raise Refused(
                f"{caller.user} may not say what {recorder} has recorded",
                hint=f"Call the recorder {caller.user}, or {caller.user}-something.",
            )
        stream = self._known_stream(params)
        next_index = min(whole_number(params, "next_index"), self.reached(stream))
        cursor = await self._cursors.acknowledge(recorder, stream, next_index, at_ns=time.time_ns())
        return {"recorder": recorder, "stream": stream, "next_index": cursor.next_index}

    async def _replay(self, params: Mapping[str, Any]) -> Any:
        """Samples of the past once more, to the asker's own topic; answered when a broker has taken them."""
        accept(params, "stream", "first_index", "next_index")
        stream = self._known_stream(params)
        first = whole_number(params, "first_index")
        after = whole_number(params, "next_index")
        if after <= first:
            raise InvalidValue(f"next_index is {after}; accepted: more than first_index, {first}")
        if not (reply_to := REPLY_TO.get()):
            raise InvalidValue("reply_to is missing; accepted: a topic below <prefix>/reply/; samples go beside it")
        if self._replays >= REPLAYS_AT_ONCE:
            raise Busy(f"{self._replays} replays are under way", hint="Ask again when one has been answered.")
        self._replays += 1
        try:
            topic = self._topics.replay_of(reply_to)
            done = await self._sent_again(stream, first, await self.until_durable(stream, first, after), topic)
        finally:
            self._replays -= 1
        return {
            "stream": stream,
            "first_index": first,
            "next_index": done.next_index,
            "messages": done.messages,
            "missing": [list(gap) for gap in done.missing],
            "topic": topic,
        }

    async def _sent_again(self, stream: str, first: int, after: int, topic: str) -> Replayed:
        async def read(index: int, limit_bytes: int) -> Sequence[Stored]:
            return await asyncio.to_thread(self.spool.read, stream, index, limit_bytes)

        replay = Replay(read, self._uplink.wake, first, after, REPLAY_BYTES)
        self._uplink.attach_past(replay, topic)
        try:
            return await replay.run()
        finally:
            self._uplink.detach_past(replay)

    def knows(self, stream: str) -> bool:
        """Whether the spool has samples of it, or will have."""
        return stream in self._pumps or stream in self.spool.streams()

    def reached(self, stream: str) -> int:
        """The index of the next sample of a known stream. Nobody has more of it than there is."""
        pump = self._pumps.get(stream)
        return pump.next_index if pump is not None else self.spool.streams()[stream].next_index

    async def until_durable(self, stream: str, first: int, after: int) -> int:
        """Up to which index of those asked for there are samples on disk; what was taken a moment ago is waited for.

        Raises `Busy` if there is nothing yet: it is not missing, it is not there.
        """
        pump = self._pumps.get(stream)
        if pump is None:
            return after
        wanted = min(after, pump.next_index)
        with suppress(TimeoutError):
            async with asyncio.timeout(DURABLE_S):
                await self.spool.synced(stream, wanted)
        on_disk = min(wanted, self.spool.durable(stream))
        if on_disk <= first:
            raise Busy(
                f"sample {first} of {stream} is not on disk yet; there are {on_disk}",
                hint="Ask again later." if self.spool.error is None else self.spool.error.hint,
            )
        return on_disk

    def _known_stream(self, params: Mapping[str, Any]) -> str:
        stream = text_of(params, "stream")
        known = {*self.spool.streams(), *self._pumps}
        if stream not in known:
            raise InvalidValue(f"stream is {stream!r:.100}; accepted: {', '.join(sorted(known)[-10:]) or 'none'}")
        return stream
