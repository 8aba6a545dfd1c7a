"""One thread for the blocking calls of one instrument's library, abandoned when a call never comes back."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """Runs calls one after the other on a daemon thread of its own, started with the first call.

    A thread of its own for each instrument, so that a hung one starves nobody; a daemon, so that a hung one does not
    keep the program from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Queue a call. Cancelling the future does not stop a call under way; its result is then dropped."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._thread is None:
            self._ended = loop.create_future()
            self._thread = threading.Thread(target=self._run, args=(loop, self._ended), name=self._name, daemon=True)
            self._thread.start()

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

    async def stop(self, timeout_s: float) -> bool:
        """End the thread after the calls queued so far; false if it is hung and was abandoned."""
        thread, ended = self._thread, self._ended
        if thread is None or ended is None:
            return True
        self._thread = self._ended = None
        jobs, self._jobs = self._jobs, queue.SimpleQueue()
        jobs.put(None)
        done, _ = await asyncio.wait([ended], timeout=timeout_s)
        if done:
            thread.join()
        return bool(done)

    def _run(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            job()
        _report(loop, _set_result, ended, None)


async def in_thread(call: Callable[[], T], undo: Callable[[T], None]) -> T:
    """Run one blocking call on a thread of its own. If the caller is cancelled, `undo` gets the late result."""
    worker = Worker("picobridge-open")
    future = worker.submit(call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(lambda late: None if late.cancelled() or late.exception() else undo(late.result()))
        raise
    finally:
        await worker.stop(1.0 if future.done() else 0.0)


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
