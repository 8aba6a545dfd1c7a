"""The procedures that a run has performed as parts of itself, and what it and they have saved for a resume."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from bridge.procedures.description import Procedure
from bridge.transfer.plain import dumps, to_plain
from drivers.errors import InvalidValue, PicobridgeError, RunFailed

from .catalogue import Catalogue
from .part import SEPARATOR, Part

if TYPE_CHECKING:
    from .run import Run

#: So many parts are told of, the newest: a run may have thousands.
SHOWN = 100

#: The titles from the run down to a part; the run itself has none.
Path = tuple[str, ...]


class Parts:
    """`description` is the run's procedure, None for a single technique. `keep` puts all that was saved on disk;
    `saved` is what the interrupted run had saved, as `saves` gives it. `changed` is called when a part begins or ends.
    """

    def __init__(
        self,
        run: Run,
        description: Procedure | None,
        catalogue: Catalogue,
        keep: Callable[[list[Any]], Awaitable[None]],
        saved: Sequence[Any],
        changed: Callable[[], None],
    ) -> None:
        #: whether a technique under way may be ended for a pause: whoever runs it can be paused, and all above it
        self.pausable = description is not None and description.pausable
        #: whether what runs now may move a tip with the cell on
        self.approaches = description is not None and description.approaches
        self._resumable = description is not None and description.resumable
        self._run = run
        self._catalogue = catalogue
        self._keep = keep
        self._changed = changed
        self._saves: dict[Path, Any] = {tuple(path): state for path, state in saved}
        self._entries: list[dict[str, Any]] = []

    def describe(self) -> list[dict[str, Any]]:
        """The newest parts, the oldest of them first."""
        return [dict(entry) for entry in self._entries[-SHOWN:]]

    @property
    def saves(self) -> list[Any]:
        """What a resume needs: pairs of path and state. Nothing if the procedure does not know how to resume."""
        return [[list(path), state] for path, state in self._saves.items()] if self._resumable else []

    def saved_of(self, path: Path) -> Mapping[str, Any]:
        return dict(self._saves.get(path, {}))

    async def save(self, path: Path, state: Mapping[str, Any]) -> None:
        """On disk when it returns. Raises `InvalidValue` for what is no JSON, `RunFailed` if the disk takes nothing."""
        dumps(state)
        self._saves[path] = to_plain(state)
        await self._write()

    async def perform(
        self,
        name: str,
        parameters: Mapping[str, Any],
        path: Path,
        share: tuple[float, float] | None,
        *,
        pausable: bool,
    ) -> dict[str, Any]:
        """See `Context.perform`. `pausable` is whether whoever performs it can be paused."""
        procedure = self._catalogue.find(name)
        parsed = procedure.parse(parameters)
        self._check_roles(procedure)
        entry: dict[str, Any] = {
            "procedure": name,
            "title": SEPARATOR.join(path),
            "status": "running",
            "started_ns": time.time_ns(),
            "ended_ns": None,
        }
        self._entries.append(entry)
        self._changed()
        part = Part(self._run, self, path, share, pausable=pausable and procedure.pausable, saved=self.saved_of(path))
        above, self.pausable = self.pausable, part.pausable
        approached, self.approaches = self.approaches, procedure.approaches
        shown = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(parsed)}
        watch = self._run.watch
        try:
            with nullcontext() if watch is None else watch.part(name, shown):
                result = await procedure.run(part, parsed)
            entry["status"] = "finished"
        except BaseException as error:
            entry["status"] = "aborted" if isinstance(error, asyncio.CancelledError) else "failed"
            if isinstance(error, PicobridgeError):
                error.annotate(device="", operation=name)
            raise
        finally:
            self.pausable, self.approaches = above, approached
            entry["ended_ns"] = time.time_ns()
            self._changed()
        if self._saves.pop(path, None) is not None:  # performed again under the same title, it begins from the start
            await self._write()
        if self._run.described is not None:
            self._run.described.part(name, entry["title"], result)
        return result

    def _check_roles(self, procedure: Procedure) -> None:
        for role, wanted in procedure.roles.items():
            if wanted.required and not self._run.has(role):
                raise InvalidValue(
                    f"{procedure.name} needs a {wanted.interface} in the role {role}, and run {self._run.run} has none",
                    operation=procedure.name,
                )

    async def _write(self) -> None:
        if not self._resumable:
            return
        try:
            await self._keep(self.saves)
        except OSError as error:
            raise RunFailed(
                f"what the run needs to be gone on with cannot be written: {error}",
                hint="Is the disk of the state directory full?",
            ) from error
