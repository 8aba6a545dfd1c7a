"""Faults on the bytes between an instrument and its client, switched on at run time or by a script.

Each fault is a rule that sees every reply (one call of `Instrument.send`) or every request, counts them from the moment
it was armed, and acts on the `nth` one and on the following ones, `times` in all (None: until `clear`). Rules act in
the order in which they were armed. All chance comes from the seed, so the same run has the same faults.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class Apart(bytes):
    """A piece that the client gets to see before the next one is sent."""


class Rule:
    """One armed fault. `hits` is how often it has acted so far."""

    def __init__(self, act: Callable[[bytes], list[bytes]], nth: int, times: int | None) -> None:
        if nth < 1 or (times is not None and times < 1):
            raise ValueError(f"nth is {nth} and times {times}; both count from 1")
        self._act = act
        self._nth = nth
        self._times = times
        self._seen = 0
        self.hits = 0

    def apply(self, data: bytes) -> list[bytes]:
        self._seen += 1
        if self._seen < self._nth or (self._times is not None and self.hits >= self._times):
            return [data]
        self.hits += 1
        return self._act(data)


class Faults:
    """The faults of one served instrument. Every method that arms one returns its `Rule`."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._on_replies: list[Rule] = []
        self._on_requests: list[Rule] = []
        self._held: list[bytes] = []
        self._merged: list[bytes] = []
        self._holding = asyncio.Event()
        #: set by the wire: sends bytes to the client as they are
        self.transmit: Callable[[bytes], None] = lambda data: None

    # --- faults on replies -----------------------------------------------------------------------------------------

    def split(self, *, nth: int = 1, times: int | None = None) -> Rule:
        """The reply comes byte by byte (on a packet wire: a packet each)."""
        return self._reply(lambda data: [Apart(data[i : i + 1]) for i in range(len(data))], nth, times)

    def merge(self, count: int = 2, *, nth: int = 1, times: int | None = None) -> Rule:
        """Replies are held until there are `count` of them, then sent as one."""
        return self._reply(lambda data: self._merge(data, count), nth, times)

    def drop(self, *, nth: int = 1, times: int | None = 1, offset: int = 0, count: int | None = None) -> Rule:
        """The reply is lost, or only `count` bytes of it from `offset` on (negative: from the end)."""

        def act(data: bytes) -> list[bytes]:
            start = max(0, len(data) + offset) if offset < 0 else offset
            left = data[:start] + (b"" if count is None else data[start + count :])
            return [left] if left else []

        return self._reply(act, nth, times)

    def duplicate(self, *, nth: int = 1, times: int | None = 1) -> Rule:
        """The reply comes twice."""
        return self._reply(lambda data: [data, data], nth, times)

    def corrupt(
        self, *, nth: int = 1, times: int | None = 1, offset: int | None = None, mask: int | None = None
    ) -> Rule:
        """One byte of the reply has bits flipped: that at `offset` (negative: from the end) by `mask`, or by chance."""

        def act(data: bytes) -> list[bytes]:
            if not data:
                return [data]
            spoiled = bytearray(data)
            spoiled[self._random.randrange(len(data)) if offset is None else offset] ^= (
                self._random.randrange(1, 256) if mask is None else mask
            )
            return [bytes(spoiled)]

        return self._reply(act, nth, times)

    def late(self, *, nth: int = 1, times: int | None = 1) -> Rule:
        """The reply is held back until the next request has arrived, or until `release`."""
        return self._reply(self._hold, nth, times)

    def silence(self, *, nth: int = 1, times: int | None = None) -> Rule:
        """The instrument takes its requests but nothing comes back."""
        return self._reply(lambda data: [], nth, times)

    def garbage(
        self, data: bytes | None = None, *, length: int = 7, after: bool = False, nth: int = 1, times: int | None = 1
    ) -> Rule:
        """Bytes that mean nothing come before the reply (or after it): `data`, else `length` random ones."""

        def act(reply: bytes) -> list[bytes]:
            noise = self._random.randbytes(length) if data is None else data
            return [reply + noise if after else noise + reply]

        return self._reply(act, nth, times)

    # --- faults on requests ----------------------------------------------------------------------------------------

    def deaf(self, *, nth: int = 1, times: int | None = None) -> Rule:
        """What the client sends is lost on the way: the instrument never gets it."""
        rule = Rule(lambda data: [], nth, times)
        self._on_requests.append(rule)
        return rule

    # --- control ---------------------------------------------------------------------------------------------------

    def script(self, entries: Iterable[Mapping[str, Any]]) -> list[Rule]:
        """Arm faults from plain data such as a TOML file has: `{"fault": "drop", "nth": 3}`; `data` is in hex.

        Raises `ValueError` for an unknown fault or parameter.
        """
        rules = []
        for entry in entries:
            options = dict(entry)
            name = options.pop("fault", None)
            if name not in KINDS:
                raise ValueError(f"fault {name!r}; accepted: {', '.join(KINDS)}")
            if "data" in options:
                options["data"] = bytes.fromhex(options["data"])
            try:
                rules.append(getattr(self, name)(**options))
            except TypeError as error:
                raise ValueError(f"fault {name!r} with {options}: {error}") from None
        return rules

    def clear(self) -> None:
        """Switch all faults off. What is held back is lost."""
        self._on_replies.clear()
        self._on_requests.clear()
        self._merged.clear()
        self._held.clear()
        self._holding.clear()

    def release(self) -> None:
        """Send what `late` holds back, now."""
        held, self._held = self._held, []
        self._holding.clear()
        for data in held:
            self.transmit(data)

    async def holding(self) -> None:
        """Wait until `late` holds a reply back."""
        await self._holding.wait()

    # --- the wire's side -------------------------------------------------------------------------------------------

    def outgoing(self, reply: bytes) -> list[bytes]:
        """The pieces that the client gets for one reply."""
        return _pipe(self._on_replies, reply)

    def incoming(self, request: bytes) -> list[bytes]:
        """The pieces that the instrument gets; sends a late reply first."""
        if self._held:
            self.release()
        return _pipe(self._on_requests, request)

    def _reply(self, act: Callable[[bytes], list[bytes]], nth: int, times: int | None) -> Rule:
        rule = Rule(act, nth, times)
        self._on_replies.append(rule)
        return rule

    def _merge(self, data: bytes, count: int) -> list[bytes]:
        self._merged.append(data)
        if len(self._merged) < count:
            return []
        merged, self._merged = self._merged, []
        return [b"".join(merged)]

    def _hold(self, data: bytes) -> list[bytes]:
        self._held.append(data)
        self._holding.set()
        return []


KINDS = ("split", "merge", "drop", "duplicate", "corrupt", "late", "silence", "garbage", "deaf")


def _pipe(rules: list[Rule], data: bytes) -> list[bytes]:
    pieces = [data]
    for rule in rules:
        pieces = [out for piece in pieces for out in rule.apply(piece)]
    return pieces
