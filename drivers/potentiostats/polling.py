"""The host's loop for instruments that are read one sample at a time.

Each sample is checked against the technique's limits as it comes. When the run ends, for whatever reason, the source is
switched off before anybody is told, so that a slow consumer never keeps a cell under current.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..samples import SAMPLE_COLUMNS, EndReason, SampleBlock
from ..techniques import Technique
from .limits import LimitWatch

T = TypeVar("T")

#: Samples are handed on together while less real time than this has passed since the last block: up to 200 blocks a
#: second, so one sample a block at the rates of these instruments, long ones when a simulation runs as fast as it can.
EMIT_AFTER_S = 0.005
BLOCK_MAX = 1024


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
    `switch_off` is called once, as soon as the run has ended or `read_one` or `wait` has failed. It is not called when
    the generator is closed or cancelled from outside: the caller's `finally` must see to that (with `to_the_end`).

    Indices start at 0; the last block has `end` set (and may be empty). Samples read before an error are handed on
    before it is raised. Raises what `read_one`, `wait` and `switch_off` raise; an error of `switch_off` goes first.
    """
    pending = _Pending(stream, start_time_ns, attributes or {})
    limits = LimitWatch(technique)
    loop = asyncio.get_running_loop()
    last_emission = float("-inf")
    end: EndReason | None = None
    failure: Exception | None = None
    while end is None and failure is None:
        try:
            if wait is not None:
                await _unless_stopped(stop, wait)
            reading = None if stop.is_set() else await read_one()
        except Exception as error:
            failure = error
            break
        if reading is None:
            end = EndReason.STOPPED if stop.is_set() else EndReason.FINISHED
            break
        pending.add(reading)
        end = crossed(limits, reading)
        if end is None and (loop.time() - last_emission >= EMIT_AFTER_S or len(pending) >= BLOCK_MAX):
            yield pending.block()
            last_emission = loop.time()
    try:
        await switch_off()
    except Exception as error:
        error.__cause__ = error.__cause__ or failure
        failure = error
    if failure is not None:
        if len(pending):
            yield pending.block()
        raise failure
    yield pending.block(end)


def crossed(limits: LimitWatch, reading: Reading) -> EndReason | None:
    """Why this one sample ends the technique, or None."""
    time, voltage, current = np.array([reading[:3]]).T
    return limits.check_samples(time, voltage, current, np.array([reading.flags], dtype=np.uint32))


def empty_block(end: EndReason, start_time_ns: int = 0) -> SampleBlock:
    """The one block of a run that ended before its first sample."""
    return _Pending("", start_time_ns, {}).block(end)


async def to_the_end(work: Awaitable[T]) -> T:
    """Await `work` to its end even if the caller is cancelled meanwhile; the cancellation is then raised afterwards.

    For switching a source off in a `finally`: `work` must bound its own time.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


async def _unless_stopped(stop: asyncio.Event, wait: Callable[[], Awaitable[None]]) -> None:
    """Await `wait`, or less if `stop` is set meanwhile."""
    if stop.is_set():
        return
    waiting = asyncio.ensure_future(wait())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
    finally:
        for task in (waiting, stopping):
            task.cancel()
        await asyncio.gather(waiting, stopping, return_exceptions=True)


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
        columns = zip(*self._readings, strict=True) if self._readings else ((), (), (), ())
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
        self._readings.clear()
        return block
