"""The audit: who wanted what, on disk before it is done, and what came of it."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from drivers.errors import AuditFailed, InvalidValue, PicobridgeError
from drivers.plain import to_plain

from .acts import Act
from .audit_log import MAX_BYTES, AuditLog, Opening

LOG = logging.getLogger("picobridge.audit")

#: Of longer lists, such as the set points of a waveform, the audit has the first items and the length.
_LONGEST_LIST = 16
_LONGEST_TEXT = 500
_DEEPEST = 8


class Audit:
    """Records that come while a write is under way go with the next one: one sync for all of them.

    The thread that writes is the audit's own. `head` is the number and the hash of the last record on disk.
    """

    def __init__(
        self,
        folder: Path,
        clock_ns: Callable[[], int] = time.time_ns,
        *,
        max_bytes: int = MAX_BYTES,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._log = AuditLog(folder, clock_ns, max_bytes=max_bytes, sync=sync)
        self._thread = ThreadPoolExecutor(1, "picobridge-audit")
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[int]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> Opening:
        """Find the end of what there is. Raises `AuditFailed`."""
        try:
            opening: Opening = await self._call(self._log.open)
        except OSError as error:
            await self.close()
            raise _failed(error) from error
        return opening

    async def close(self) -> None:
        """After all that was asked for is written."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])
        await self._call(self._log.close)
        self._thread.shutdown()

    @property
    def head(self) -> tuple[int, str]:
        return self._log.head

    # --- before, and after -------------------------------------------------------------------------------------------

    async def intent(self, act: Act, **fields: Any) -> int:
        """That somebody wants this done, on disk when it returns: the record's number, for `outcome`.

        `fields` are what belongs to it: `lease`, `fence`, `rules` and whatever else. Raises `AuditFailed`: the act must
        then not be done.
        """
        return await self.record("intent", **fields, **act_fields(act))

    async def outcome(self, of: int, error: PicobridgeError | None = None, **fields: Any) -> int:
        """What came of record `of`. To be awaited only where somebody needs it on disk: `note` is the other way."""
        return await self.record("outcome", **fields, **_outcome(of, error))

    async def record(self, kind: str, **fields: Any) -> int:
        """Anything else: a refusal, a lease, an override, a fault and who acknowledged it. Raises `AuditFailed`."""
        return await asyncio.shield(self._add(kind, fields))

    def note(self, kind: str, **fields: Any) -> asyncio.Future[int]:
        """As `record`, of what must not wait for a disk: an emergency stop, an outcome. The future need not be awaited;
        a failure is logged."""
        future = self._add(kind, fields)
        future.add_done_callback(_tell)
        return future

    def note_outcome(self, of: int, error: PicobridgeError | None = None, **fields: Any) -> asyncio.Future[int]:
        """As `outcome`, by `note`."""
        return self.note("outcome", **fields, **_outcome(of, error))

    # --- how ---------------------------------------------------------------------------------------------------------

    def _add(self, kind: str, fields: Mapping[str, Any]) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(({"kind": kind, **{name: shortened(value) for name, value in fields.items()}}, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="audit")
        return future

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                numbers = await self._call(functools.partial(self._log.append, [record for record, _ in batch]))
            except OSError as error:
                for _, future in batch:
                    future.set_exception(_failed(error))
            else:
                for (_, future), number in zip(batch, numbers, strict=True):
                    future.set_result(number)

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def act_fields(act: Act) -> dict[str, Any]:
    """What the audit says of an act."""
    return {
        "act": act.name,
        "device": act.device,
        "method": act.method,
        "arguments": dict(act.arguments),
        "kinds": act.kinds,
        "by": act.by,
        "run": act.run or None,
        "mode": act.mode or None,
    }


def shortened(value: Any, depth: int = 0) -> Any:
    """JSON values out of anything, with long lists and texts cut, so that nobody fills the disk through the audit, and
    what has no JSON form as text: a record is never refused for what it says."""
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        items = list(value.items())
        kept = {str(shortened(str(name))): shortened(item, depth + 1) for name, item in items[:_LONGEST_LIST]}
        return kept if len(items) <= _LONGEST_LIST else kept | {"...": f"{len(items)} in all"}
    if isinstance(value, Set):
        return shortened(sorted(value, key=repr), depth)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        kept_items = [shortened(item, depth + 1) for item in value[:_LONGEST_LIST]]
        return kept_items if len(value) <= _LONGEST_LIST else [*kept_items, f"... {len(value)} in all"]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a whole number beyond 64 bits"
    try:
        plain = to_plain(value)
    except InvalidValue:
        plain = repr(value)
    if isinstance(plain, str) and len(plain) > _LONGEST_TEXT:
        return f"{plain[:_LONGEST_TEXT]}... ({len(plain)} characters)"
    return plain if isinstance(plain, str | int | float | bool | None) else shortened(plain, depth + 1)


def _outcome(of: int, error: PicobridgeError | None) -> dict[str, Any]:
    return {"of": of, "done": error is None, "error": None if error is None else error.to_dict()}


def _failed(error: OSError) -> AuditFailed:
    return AuditFailed(f"the audit could not be written: {error.strerror or error}")


def _tell(future: asyncio.Future[int]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        LOG.error("not in the audit: %s", error)
