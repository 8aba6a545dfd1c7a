"""The host's loop for instruments that are read one sample at a time.

It runs in a task of its own: each sample is read and checked against the technique's limits as it comes, also while the
consumer of the blocks is busy with something else. When the run ends, for whatever reason, the source is switched off
before anybody is told. So a slow consumer never keeps a cell under current with nobody looking.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import RunFailed
from ..samples import SAMPLE_COLUMNS, EndReason, SampleBlock
from ..techniques import Technique
from ..uninterrupted import to_the_end
from .limits import LimitWatch

#: Samples are handed on together while less real time than this has passed since the last block: up to 200 blocks a
#: second, so one sample a block at the rates of these instruments, long ones when a simulation runs as fast as it can.
EMIT_AFTER_S = 0.005
BLOCK_MAX = 1024
#: So many samples may wait for a consumer that does not come; then the run is ended, with the source off.
BACKLOG_MAX = 500_000


class Reading(NamedTuple):
    """One sample. `time_s` counts from the start of the run; `flags` is made of `drivers.samples.Flag`."""

    time_s: float
    voltage_v: float
    current_a: float
    flags: int = 0


async def poll(
    technique: Technique,
    read_one: Callable[[], Awaitable[Reading | None]],
    *,
    switch_off: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    wait: Callable[[], Awaitable[None]] | None = None,
    stream: str = "",
    start_time_ns: int = 0,
    attributes: Mapping[str, Any] | None = None,
) -> AsyncGenerator[SampleBlock, None]:
    """Read until a limit of `technique`, until `read_one` returns None (its program is over), or until `stop` is set.

    `wait`, if given, is awaited before each reading and given up when `stop` is set; a reading under way is finished.
    `switch_off` is called once, as soon as the run has ended, `read_one` or `wait` has failed, or the generator was
    left, which then waits for it.

    Indices start at 0; the last block has `end` set (and may be empty). Samples read before an error are handed on
    before it is raised. Raises what `read_one`, `wait` and `switch_off` raise, an error of `switch_off` first;
    `RunFailed` if nobody takes the samples.
    """
    pending = _Pending(stream, start_time_ns, attributes or {})
    loop = asyncio.get_running_loop()
    last_emission = float("-inf")
    ending, news = asyncio.Event(), asyncio.Event()
    over = False  # the last sample is there, and is held back until the source is off
    stopping = asyncio.ensure_future(stop.wait())
    stopping.add_done_callback(lambda _: ending.set())

    async def read_until_ended() -> EndReason:
        limits = LimitWatch(technique)
        while not ending.is_set():
            if wait is not None:
                await _unless_set(ending, wait)
            reading = None if ending.is_set() or stop.is_set() else await read_one()
            if reading is None:
                break
            pending.add(reading)
            news.set()
            end = crossed(limits, reading)
            if end is not None:
                return end
            if len(pending) >= BACKLOG_MAX:
                raise RunFailed(f"nobody has taken the last {len(pending)} samples: the source is switched off")
        return EndReason.STOPPED if ending.is_set() or stop.is_set() else EndReason.FINISHED

    async def read_then_switch_off() -> EndReason:
        nonlocal over
        try:
            end = await read_until_ended()
            over = True
        except Exception as failure:
            over = True
            try:
                await switch_off()
            except Exception as error:
                raise error from error.__cause__ or failure
            raise
        await switch_off()
        return end

    reader = asyncio.create_task(read_then_switch_off(), name="poll")
    reader.add_done_callback(lambda _: news.set())
    try:
        while not reader.done():
            await news.wait()
            await _pass(reader, last_emission + EMIT_AFTER_S - loop.time())
            news.clear()
            if len(pending) and not over:
                last_emission = loop.time()
                yield pending.block()
        while len(pending) > BLOCK_MAX:
            yield pending.block()
        if reader.exception() is None:
            yield pending.block(reader.result())
        elif len(pending):
            yield pending.block()
        reader.result()
    finally:
        ending.set()
        stopping.cancel()
        await to_the_end(asyncio.wait([reader, stopping]))
        reader.exception()  # on leaving early it is the driver's to see that the cell is off


def crossed(limits: LimitWatch, reading: Reading) -> EndReason | None:
    """Why this one sample ends the technique, or None."""
    time, voltage, current = np.array([reading[:3]]).T
    return limits.check_samples(time, voltage, current, np.array([reading.flags], dtype=np.uint32))


def empty_block(end: EndReason, start_time_ns: int = 0) -> SampleBlock:
    """The one block of a run that ended before its first sample."""
    return _Pending("", start_time_ns, {}).block(end)


async def _unless_set(ending: asyncio.Event, wait: Callable[[], Awaitable[None]]) -> None:
    """Await `wait`, or less if `ending` is set meanwhile."""
    if ending.is_set():
        return
    waiting = asyncio.ensure_future(wait())
    interruption = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait((waiting, interruption), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
    finally:
        for task in (waiting, interruption):
            task.cancel()
        await asyncio.gather(waiting, interruption, return_exceptions=True)


async def _pass(reader: asyncio.Task[Any], seconds: float) -> None:
    """Let time pass while the reader goes on, or less if it ends."""
    if seconds > 0:
        await asyncio.wait([reader], timeout=seconds)


class _Pending:
    """Samples not handed on yet, and the index of the first of them."""

    def __init__(self, stream: str, start_time_ns: int, attributes: Mapping[str, Any]) -> None:
        self._stream = stream
        self._start_time_ns = start_time_ns
        self._attributes = dict(attributes)
        self._readings: list[Reading] = []
        self._first_index = 0

    def __len__(self) -> int:
        return len(self._readings)

    def add(self, reading: Reading) -> None:
        self._readings.append(reading)

    def block(self, end: EndReason | None = None) -> SampleBlock:
        """The next samples, at most `BLOCK_MAX`."""
        readings = self._readings[:BLOCK_MAX]
        columns = zip(*readings, strict=True) if readings else ((), (), (), ())
        names = (column.name for column in SAMPLE_COLUMNS)
        block = SampleBlock.of(
            SAMPLE_COLUMNS,
            dict(zip(names, columns, strict=True)),
            stream=self._stream,
            first_index=self._first_index,
            start_time_ns=self._start_time_ns,
            end=end,
            attributes=self._attributes,
        )
        self._first_index = block.next_index
        del self._readings[: len(readings)]
        return block
