"""A wire that says what an input says, on an event loop whose time passes only when everybody waits."""

from __future__ import annotations

import asyncio
import atexit
import random
import zlib
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from drivers.errors import DeviceTimeout, InvalidValue, PicobridgeError
from drivers.transports import Address, Conversation, Link, Transport

T = TypeVar("T")


class _NothingToSelect:
    """Stands where a loop has its selector: waiting takes no time but the loop's own."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everybody waits, and nothing will ever happen")
        self.now += timeout
        return []


class InstantLoop(asyncio.BaseEventLoop):
    """An event loop without descriptors: a sleep of an hour is over at once, and the same happens every time."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _NothingToSelect()

    def time(self) -> float:
        return self._selector.now

    def _process_events(self, event_list: list[Any]) -> None:
        pass


_loop: list[InstantLoop] = []


def play(work: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result. It must end by itself: a wait without an end is an `AssertionError`."""
    if not _loop:
        loop = InstantLoop()
        loop.set_debug(False)
        atexit.register(loop.close)
        _loop.append(loop)
    return _loop[0].run_until_complete(work)


class InstantClock:
    """The clock for drivers on that loop."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time_ns(self) -> int:
        return round(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Says(Transport):
    """A wire on which `chunks` arrive, one a read, then nothing more. What is written goes nowhere.

    With `answers` a write brings the next so many chunks, and nothing comes before it.
    """

    def __init__(self, chunks: Iterable[bytes], *, packets: bool = False, answers: int = 0) -> None:
        super().__init__(Address.parse("tcp:fuzz:1"))
        self.packets = packets
        self._coming = list(reversed(list(chunks)))
        self._here: list[bytes] = []
        self._answers = answers
        if not answers:
            self._here, self._coming = self._coming, []

    async def _do_open(self) -> None:
        pass

    async def _do_close(self) -> None:
        pass

    async def _do_write(self, data: bytes, timeout_s: float) -> None:
        for _ in range(self._answers):
            if self._coming:
                self._here.insert(0, self._coming.pop())

    async def _do_read(self, timeout_s: float) -> bytes:
        if not self._here:
            await asyncio.sleep(timeout_s)
            raise DeviceTimeout(f"no answer from {self.address} within {timeout_s:.3g} s")
        return self._here.pop()

    async def _do_leftovers(self) -> bytes:
        data = b"".join(reversed(self._here))
        self._here.clear()
        return data


async def talk(transport: Transport) -> Conversation:
    """A conversation in the middle of a transaction."""

    async def in_step(_: Conversation) -> None:
        pass

    await transport.open()
    return Conversation(Link(transport, in_step, name="fuzz"))


def chunkings(data: bytes) -> list[list[bytes]]:
    """The same bytes as they may arrive: all at once, each by itself, and cut at odd places (always the same ones)."""
    dice = random.Random(zlib.crc32(data))
    cuts = sorted(dice.sample(range(len(data) + 1), min(len(data), dice.randint(1, 6)))) if data else []
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [[data] if data else [], [data[i : i + 1] for i in range(len(data))], [piece for piece in pieces if piece]]


def outcome(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns, or the class of the error that it raises: what must not depend on the chunking."""
    try:
        return play(work)
    except PicobridgeError as error:
        return type(error)


def lines(data: bytes) -> list[bytes]:
    """The lines of an input, each with its end, as the answers of an instrument one after the other."""
    return data.splitlines(keepends=True)


def text(data: bytes) -> str:
    """The input as text. Raises `InvalidValue` for bytes that are none, as whoever reads a file does."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"not UTF-8: {error}") from error
