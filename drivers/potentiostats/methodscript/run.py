"""One script under way: a task that reads, checks limits and sees the cell off, whoever takes the samples and how fast.

The task owns the link from loading the script until the cell is proven off. So a limit is met at once although the
samples may be taken late, and the cell goes off although nobody takes them any more.
"""

from __future__ import annotations

import asyncio

import numpy as np

from ...clock import Clock
from ...errors import (
    CellNotOff,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    LinkError,
    PicobridgeError,
    ProtocolError,
    RunFailed,
)
from ...samples import EndReason, SampleBlock
from ...techniques import Galvanostatic, Impedance, OpenCircuit, Potentiostatic
from ...transports import Conversation, Link
from ..limits import LimitWatch
from .assembly import Assembler, Segment
from .models import Model
from .protocol import Protocol, device_error, hint_for_lost_reply
from .script import Plan
from .stream import Echo, ErrorLine, Event, Marker, StreamParser, Unreadable
from .values import NO_RANGE, Packets

#: this many damaged lines without a good one between them, and the wire is not to be trusted
UNREADABLE_LINES = 10
#: samples that nobody took before the run is ended
PENDING_SAMPLES = 4_000_000
_CELL_OFF_ATTEMPTS = 3
#: how often a silent device is looked at, because an abort shortens how long it may be silent
_LOOK_S = 1.0


class ScriptRun:
    """Start it, take blocks with `next_block` until None, and `end` it in any case."""

    def __init__(
        self, link: Link, protocol: Protocol, clock: Clock, model: Model, plan: Plan, load_apart: bool
    ) -> None:
        self._link, self._protocol, self._clock = link, protocol, clock
        self._model, self._plan, self._load_apart = model, plan, load_apart
        #: an aborted script ends with the point under way, which may take an interval or a slow frequency
        self._abort_s = max(protocol.abort_timeout_s, plan.point_s)
        self._watch = LimitWatch(plan.technique)
        self._assembler = Assembler(plan)
        self._parser = StreamParser()
        self._pending: list[Segment] = []
        self._waiting = 0
        self._next_index = 0
        self._last_time_s = 0.0
        self._start_time_ns = 0
        self._reason: EndReason | None = None
        self._script: list[str] = []
        self._left_out: frozenset[str] = frozenset()
        self._started = False
        self._stopping = False
        self._abort_sent = False
        self._aborts = 0
        self._abort_time = 0.0
        self._abort_echoed = False
        self._unreadable = 0
        self._still_ran = True
        self._over = False
        self._finished = False
        self._wake = asyncio.Event()
        self.error: PicobridgeError | None = None
        self._task = asyncio.get_running_loop().create_task(self._execute(), name=f"{link.name} {plan.technique.name}")

    # --- what the driver's side does -----------------------------------------------------------------------------

    async def next_block(self) -> SampleBlock | None:
        """The next samples; the last block has `end`. None after that. Raises what ended the run."""
        while True:
            if self._pending:
                segment = self._take()
                last = self._over and self.error is None and not self._pending
                return self._block(segment, self._finish() if last else None)
            if self._over:
                if self.error is not None:
                    raise self.error
                reason = self._finish()
                return None if reason is None else self._block(None, reason)
            self._wake.clear()
            await self._wake.wait()

    async def stop(self) -> None:
        """Ask the device to abort, at once; returns without waiting."""
        self._stopping = True
        if not self._over:
            await self._abort()

    async def end(self) -> None:
        """Stop if it still runs and wait until the cell is proven off, even if cancelled meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        if not self._task.done():
            try:
                await self.stop()
            except asyncio.CancelledError as error:
                cancelled = error
        while not self._task.done():
            try:
                await asyncio.wait({self._task})
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    # --- the task ------------------------------------------------------------------------------------------------

    async def _execute(self) -> None:
        try:
            async with self._link.transaction(f"run {self._plan.technique.name}") as talk:
                await self._transact(talk)
        except PicobridgeError as error:
            hint_for_lost_reply(error)
            self.error = error
        except asyncio.CancelledError:
            self.error = RunFailed("the task of the run was cancelled")
            raise
        except Exception as error:
            self.error = RunFailed(f"{type(error).__name__}: {error}")
            self.error.__cause__ = error
        finally:
            self._over = True
            self._wake.set()

    async def _transact(self, talk: Conversation) -> None:
        failure: BaseException | None = None
        if self._stopping:
            return
        if self._load_apart:
            await self._load(talk, "l")
            if self._stopping:
                return
        try:
            if self._load_apart:
                self._started = True
                await self._protocol.start(talk)
            else:
                await self._load(talk, "e")
                self._started = True
            self._start_time_ns = self._clock.time_ns()
            if self._stopping:
                await self._abort()
            await self._stream(talk)
        except BaseException as error:
            failure = error
        exchange = talk.sent, talk.received  # what failed, if something did: the clean-up is another matter
        if not (self._started or self._load_apart) and isinstance(failure, DeviceError):
            raise failure
        await self._see_cell_off(talk, failure)
        talk.sent, talk.received = exchange
        if failure is not None and not self._ended_unheard(failure):
            raise failure

    async def _load(self, talk: Conversation, command: str) -> None:
        """Load the script; if the device refuses a line that it can do without, again without those lines."""
        while True:
            self._script = self._plan.text(self._left_out)
            try:
                return await self._protocol.load(talk, command, self._script)
            except DeviceError as refusal:
                group = self._plan.group_of(refusal.detail.get("line") or 0, self._left_out)
                if not group:
                    refusal.message = f"the script was refused, nothing was energised: {refusal.message}"
                    raise
                self._left_out |= {group}

    async def _stream(self, talk: Conversation) -> None:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while not self._parser.ended:
            try:
                data = await talk.read_some(_LOOK_S)
            except DeviceTimeout:
                if not self._abort_sent and loop.time() - heard >= self._plan.silence_s:
                    raise DeviceTimeout(f"the running script said nothing for {self._plan.silence_s:g} s") from None
            else:
                heard = loop.time()
                for event in self._parser.feed(data):
                    self._handle(event)
                self._wake.set()
            if self._abort_sent:
                await self._insist(loop.time() - self._abort_time)
            elif self._reason_to_abort():
                await self._abort()
        self._assembler.check_end()
        talk.unread(self._parser.rest)
        if self._abort_sent and not self._abort_echoed:
            await self._protocol.read_line(talk)  # Z!0006: the script had ended before it heard
            await self._protocol.recover(talk)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Packets):
            self._unreadable = 0
            for segment in self._assembler.add(event):
                self._take_in(segment)
        elif isinstance(event, ErrorLine):
            if event.text.startswith("Z!"):
                self._abort_echoed = True
                return
            failure = device_error(event, self._script)
            failure.received = event.text.encode("ascii", "replace")
            raise failure
        elif isinstance(event, Echo):
            self._abort_echoed = self._abort_echoed or event.command == "Z"
        elif isinstance(event, Unreadable):
            self._assembler.lost_line()
            self._unreadable += 1
            if self._unreadable >= UNREADABLE_LINES:
                raise ProtocolError(
                    f"{self._unreadable} lines in a row could not be read, the last {event.line[:40]!r}",
                    hint="Check the cable and the baud rate; did the instrument restart?",
                )
        elif isinstance(event, Marker) and event.opens and event.kind == "M":
            self._started = True

    def _take_in(self, segment: Segment) -> None:
        self._pending.append(segment)
        self._waiting += len(segment)
        if self._waiting > PENDING_SAMPLES:
            raise RunFailed(f"{self._waiting} samples are waiting and nobody takes them")
        data = segment.data
        self._last_time_s = float(data["time_s"][-1])
        if isinstance(self._plan.technique, Impedance):
            return
        reason = self._watch.check_samples(data["time_s"], data["voltage_v"], data["current_a"], data["flags"])
        if self._reason in (None, EndReason.DURATION) and reason is not None:
            self._reason = reason

    def _reason_to_abort(self) -> bool:
        """A limit does; the duration is the device's own to keep, unless it does not."""
        if self._reason is None:
            return False
        if self._reason is not EndReason.DURATION:
            return True
        technique = self._plan.technique
        assert isinstance(technique, OpenCircuit | Galvanostatic | Potentiostatic)
        return self._last_time_s > technique.duration_s + max(1.0, 2 * technique.interval_s)

    async def _abort(self) -> None:
        if self._started and not self._abort_sent:
            self._abort_sent = True
            self._aborts = 1
            self._abort_time = asyncio.get_running_loop().time()
            try:
                await self._link.urgent(b"Z\n")
            except LinkError:
                self._abort_sent = False  # the reading side meets the same fault, and reports it

    async def _insist(self, since_abort_s: float) -> None:
        """Abort again if it was not echoed: it may be lost. Raises `DeviceTimeout` if the script goes on for ever."""
        if self._parser.ended:
            return
        if since_abort_s >= self._abort_s:
            raise DeviceTimeout(f"the script did not end within {self._abort_s:g} s of the abort")
        if not self._abort_echoed and since_abort_s >= self._aborts * self._protocol.reply_timeout_s:
            self._aborts += 1
            await self._link.urgent(b"Z\n")

    # --- the end -------------------------------------------------------------------------------------------------

    async def _see_cell_off(self, talk: Conversation, failure: BaseException | None) -> None:
        """Prove the cell off by a script of its own, which a runtime error needs: it skips `on_finished:`."""
        deaf = isinstance(failure, DeviceError)
        in_step = failure is None or deaf
        problem: PicobridgeError | None = failure if isinstance(failure, DeviceLost) else None
        for _ in range(_CELL_OFF_ATTEMPTS):
            if isinstance(problem, DeviceLost):
                break
            try:
                if deaf:
                    deaf = False
                    await self._protocol.recover(talk)
                if not in_step:
                    self._still_ran = await self._protocol.quiet(talk, self._abort_s)
                await self._protocol.cell_off(talk)
            except (LinkError, DeviceError) as error:
                problem, in_step = error, False
            else:
                return
        assert problem is not None
        raise CellNotOff(
            f"the cell could not be switched off and proven off: {problem.message}; the instrument goes on by itself"
            " until its script ends",
            cause=type(problem).__name__,
        ) from problem

    def _ended_unheard(self, failure: BaseException) -> bool:
        """Whether all that went wrong is that the empty line at the script's end got lost."""
        over = isinstance(failure, DeviceTimeout) and not self._still_ran and not self._parser.depth
        return over and self._next_index + self._waiting > 0

    def _finish(self) -> EndReason | None:
        """Why it ended, the first time; None afterwards."""
        if self._finished:
            return None
        self._finished = True
        if self._reason not in (None, EndReason.DURATION):
            return self._reason
        if self._stopping:
            return EndReason.STOPPED
        return self._reason or self._own_end()

    def _own_end(self) -> EndReason:
        """The device ended it: by its time, by the charge limit that its time was cut to, or by a limit of its own."""
        technique = self._plan.technique
        if not isinstance(technique, OpenCircuit | Galvanostatic | Potentiostatic):
            return EndReason.FINISHED
        slack = 1.5 * technique.interval_s
        if self._plan.capacity_s is not None and self._last_time_s >= self._plan.capacity_s - slack:
            return EndReason.CAPACITY
        if self._last_time_s >= technique.duration_s - slack:
            return EndReason.DURATION
        return EndReason.FINISHED

    def _take(self) -> Segment:
        """The oldest samples, with those behind them on the same range."""
        same = 1
        while same < len(self._pending) and self._pending[same].range_index == self._pending[0].range_index:
            same += 1
        taken, self._pending = self._pending[:same], self._pending[same:]
        segment = taken[0] if same == 1 else _joined(taken)
        self._waiting -= len(segment)
        return segment

    def _block(self, segment: Segment | None, end: EndReason | None) -> SampleBlock:
        columns = self._assembler.columns
        range_index = NO_RANGE if segment is None else segment.range_index
        attributes: dict[str, object] = {"technique": self._plan.technique.name, "model": self._model.name}
        attributes |= self._plan.attributes
        if self._assembler.time_is_computed:
            attributes["time"] = self._assembler.time_is_computed
        if range_index != NO_RANGE:
            attributes["current_range"] = self._model.range_labels.get(range_index, f"index {range_index}")
        if isinstance(self._plan.technique, OpenCircuit):
            attributes["current"] = "not measured; the cell is disconnected"
        if self._left_out:
            attributes["left_out"] = sorted(self._left_out)
        block = SampleBlock.of(
            columns,
            {column.name: () for column in columns} if segment is None else segment.data,
            first_index=self._next_index,
            start_time_ns=self._start_time_ns,
            end=end,
            attributes=attributes,
        )
        self._next_index = block.next_index
        return block


def _joined(segments: list[Segment]) -> Segment:
    names = segments[0].data
    return Segment({name: np.concatenate([s.data[name] for s in segments]) for name in names}, segments[0].range_index)
