"""The method `history`: samples of the past as a curve of a few thousand points that keeps every peak.

Everything is done in a thread, in slices: the event loop and the samples that come come first.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bridge.access.caller import CALLER
from bridge.analysis.envelope import Envelope
from bridge.transfer.plain import Encoded, to_plain
from drivers.errors import Busy, InvalidValue

from .params import accept, text_of, whole_number

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

#: Buckets of an answer, so that it stays below what brokers take.
POINTS = 4000
#: Texts of so many numbers make an answer of a megabyte at most.
_NUMBERS = 40_000
#: Ranges of missing samples that are listed; there may be more.
MISSING = 500
#: Answered at a time; and waiting, of one sender.
AT_ONCE = 2
WAITING = 8
#: And so many of all: they hold places that other requests want.
WAITING_OF_ALL = 24


#: Gives an envelope what there is of a stream before an index, for as long as it is wanted; in a thread.
Fill = Callable[[str, Envelope, int, Callable[[], bool]], None]
#: Waits until a range of a stream is on disk; up to which index it is. Raises `InvalidValue` for a stream that nobody
#: knows, `Busy` for one of which there is nothing yet.
Reached = Callable[[str, int, int], Awaitable[int]]


class History:
    """`handlers` are the methods of requests."""

    def __init__(self, fill: Fill, reached: Reached) -> None:
        self.handlers: Mapping[str, Handler] = {"history": self._history}
        self._fill = fill
        self._reached = reached
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting: dict[str, int] = {}
        self._own: dict[str, asyncio.Lock] = {}

    async def _history(self, params: Mapping[str, Any]) -> Any:
        accept(params, "stream", "first_index", "next_index", "points", "columns", "charge_from")
        stream = text_of(params, "stream")
        first = whole_number(params, "first_index")
        after = whole_number(params, "next_index")
        if after <= first:
            raise InvalidValue(f"next_index is {after}; accepted: more than first_index, {first}")
        columns = _columns(params)
        points = _points(params, columns)
        charge_from = whole_number(params, "charge_from") if params.get("charge_from") is not None else None
        if charge_from is not None and charge_from > first:
            raise InvalidValue(f"charge_from is {charge_from}; accepted: at most first_index, {first}")
        async with self._turn(CALLER.get().user or CALLER.get().name):
            on_disk = await self._reached(stream, first, after)
            envelope = Envelope(first, on_disk, points, columns, charge_from)
            gone = threading.Event()
            work = asyncio.get_running_loop().run_in_executor(None, self._answer, stream, on_disk, envelope, gone)
            try:
                return await asyncio.shield(work)
            finally:
                gone.set()  # of a request that was cancelled the thread reads no more

    def _answer(self, stream: str, after: int, envelope: Envelope, gone: threading.Event) -> Encoded:
        self._fill(stream, envelope, after, lambda: not gone.is_set())
        return Encoded(_text(_described(stream, envelope, after)).encode("ascii"))

    @asynccontextmanager
    async def _turn(self, sender: str) -> AsyncIterator[None]:
        """One of a sender at a time, and `AT_ONCE` of all."""
        if sum(self._waiting.values()) >= WAITING_OF_ALL:
            raise Busy("too many requests for history wait already", hint="Ask again in a moment.")
        if self._waiting.get(sender, 0) >= WAITING:
            raise Busy(
                f"{WAITING} requests for history of {sender} wait already", hint="Ask again when one is answered."
            )
        self._waiting[sender] = self._waiting.get(sender, 0) + 1
        try:
            async with self._own.setdefault(sender, asyncio.Lock()), self._turns:
                yield
        finally:
            self._waiting[sender] -= 1
            if not self._waiting[sender]:
                del self._waiting[sender], self._own[sender]


def _columns(params: Mapping[str, Any]) -> frozenset[str] | None:
    names = params.get("columns")
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > 32:
        raise InvalidValue(f"columns is {names!r:.100}; accepted: a list of names of columns")
    return frozenset(names)


def _points(params: Mapping[str, Any], columns: frozenset[str] | None) -> int:
    points = whole_number(params, "points", POINTS)
    if not 1 <= points <= POINTS:
        raise InvalidValue(f"points is {points}; accepted: from 1 to {POINTS}")
    return min(points, _NUMBERS // (4 + 2 * (3 if columns is None else len(columns))))


def _described(stream: str, envelope: Envelope, after: int) -> dict[str, Any]:
    curve = envelope.curve()
    columns: dict[str, Any] = {
        name: {"unit": unit, "min": curve.low[name].tolist(), "max": curve.high[name].tolist()}
        for name, unit in curve.units.items()
    }
    buckets: dict[str, Any] = {
        "index": curve.index.tolist(),
        "n": curve.count.tolist(),
        "t_s": curve.time_s.tolist(),
        "flags": curve.flags.tolist(),
        "columns": columns,
    }
    if len(curve.charge_c):
        buckets["charge_c"] = curve.charge_c.tolist()
    return {
        "stream": stream,
        "first_index": envelope.first_index,
        "next_index": after,
        "start_time_ns": curve.start_time_ns,
        "count": int(curve.count.sum()),
        "width": envelope.width,
        "missing": [list(each) for each in curve.missing[:MISSING]],
        "buckets": buckets,
    }


def _text(value: Any) -> str:
    """JSON, a list at a time: json holds all threads up for as long as one call takes."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(key)}:{_text(item)}' for key, item in value.items())}}}"
    return json.dumps(to_plain(value), allow_nan=False, separators=(",", ":"))
