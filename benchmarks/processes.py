"""The parts of a measurement, each in a process of its own, so that each one's processor time is its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

_CONTEXT = multiprocessing.get_context("spawn")
START_TIMEOUT_S = 60.0


class PartFailed(Exception):
    """A part broke or was not heard of in time; the message is its own traceback."""


class Part:
    """`with Part(work, *arguments) as part:`: `work(pipe, *arguments)` runs in a process until the pipe says None.

    The first thing that `work` sends (where it listens, or anything) means that it is ready; it is then in `ready`.
    """

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_begin, args=(work, theirs, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.ready: Any = None

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send(self, message: Any) -> None:
        self._pipe.send(message)

    def receive(self, timeout_s: float) -> Any:
        """What the part sends next. Raises `PartFailed`."""
        try:
            if not self._pipe.poll(timeout_s):
                raise PartFailed(f"nothing heard for {timeout_s:g} s")
            message = self._pipe.recv()
        except EOFError:
            raise PartFailed("the process ended") from None
        if isinstance(message, _Broken):
            raise PartFailed(message.text)
        return message

    def __enter__(self) -> Self:
        try:
            self.ready = self.receive(START_TIMEOUT_S)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # it has ended already
            self._pipe.send(None)
        self._process.join(10.0 if error is None else 1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


class _Broken:
    def __init__(self, text: str) -> None:
        self.text = text


def _begin(work: Callable[..., None], pipe: Connection, arguments: tuple[Any, ...]) -> None:
    try:
        work(pipe, *arguments)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # whoever wanted to know is gone
    except BaseException:
        pipe.send(_Broken(traceback.format_exc()))


async def heard(pipe: Connection) -> Any:
    """What the pipe says next, without blocking the event loop."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(pipe.fileno(), arrived.set)
    try:
        while not pipe.poll():
            arrived.clear()
            await arrived.wait()
        return pipe.recv()
    finally:
        loop.remove_reader(pipe.fileno())
