"""One thread for the blocking calls of one instrument's library, abandoned when a call never comes back."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

#: None ends the thread
_Jobs: TypeAlias = "queue.SimpleQueue[Callable[[], None] | None]"


class Worker:
    """Runs calls one after the other on a daemon thread of its own, started with the first call.

    A thread of its own for each instrument, so that a hung one starves nobody; a daemon, so that a hung one does not
    keep the program from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: _Jobs = queue.SimpleQueue()
        self._ended: asyncio.Future[None] | None = None

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Queue a call. Cancelling the future does not stop a call under way; its result is then dropped."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._ended is None:
            self._ended = loop.create_future()
            arguments = (self._jobs, loop, self._ended)
            threading.Thread(target=_run, args=arguments, name=self._name, daemon=True).start()

        def job() -> None:
            if future.cancelled():
                return
            try:
                result = call()
            except BaseException as error:
                _report(loop, _set_exception, future, error)
            else:
                _report(loop, _set_result, future, result)

        self._jobs.put(job)
        return future

    def end(self) -> asyncio.Future[None] | None:
        """Let the thread end after the calls queued so far; gives what tells when, or None if there is no thread."""
        ended, self._ended = self._ended, None
        jobs, self._jobs = self._jobs, queue.SimpleQueue()
        if ended is not None:
            jobs.put(None)
        return ended

    async def stop(self, timeout_s: float) -> bool:
        """As `end`, and wait for it; false if the thread is hung and was abandoned."""
        ended = self.end()
        if ended is None:
            return True
        done, _ = await asyncio.wait([ended], timeout=timeout_s)
        return bool(done)


async def in_thread(call: Callable[[], T], undo: Callable[[T], None]) -> T:
    """Run one blocking call on a thread of its own. If the caller is cancelled, `undo` gets the late result."""
    worker = Worker("picobridge-open")
    future = worker.submit(call)
    # not waited for: a cancellation in that moment would lose the result
    worker.end()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(lambda late: None if late.cancelled() or late.exception() else undo(late.result()))
        raise


def _run(jobs: _Jobs, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
    while (job := jobs.get()) is not None:
        job()
    _report(loop, _set_result, ended, None)


def _report(loop: asyncio.AbstractEventLoop, setter: Callable[..., None], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(setter, *args)
    except RuntimeError:
        # the loop was closed while the call was under way: nobody is left to hear of it
        return


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
