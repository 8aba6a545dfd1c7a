"""A procedure within another one: the run's context, with its steps and what it saves in a place of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.procedures.context import Answer, Question
from bridge.procedures.description import Procedure
from drivers.interfaces import Device

if TYPE_CHECKING:
    from .run import Run

#: A step of one part is shown as TITLE: STEP.
_SEPARATOR = ": "


class Part:
    """A `bridge.procedures.context.Context`. `path` are the titles from the run down to this one."""

    def __init__(
        self, whole: Run, path: tuple[str, ...], procedure: Procedure, share: tuple[float, float] | None
    ) -> None:
        self.run = whole.run
        self._whole = whole
        self._path = path
        self._procedure = procedure
        self._share = share

    @property
    def saved(self) -> Mapping[str, Any]:
        return self._whole.saved_of(self._path)

    def device(self, role: str) -> Device:
        return self._whole.device(role)

    def every_device(self, role: str) -> tuple[Device, ...]:
        return self._whole.every_device(role)

    def has(self, role: str) -> bool:
        return self._whole.has(role)

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        scaled = fraction
        if fraction is not None:
            begin, end = self._share or (0.0, 0.0)
            scaled = begin + (end - begin) * fraction if self._share else None
        self._whole.progress(_SEPARATOR.join((*self._path, step)), scaled, **values)

    def note(self, text: str, **values: Any) -> None:
        self._whole.note(text, **values)

    async def save(self, **state: Any) -> None:
        await self._whole.save_for(self._path, state)

    @property
    def pausing(self) -> bool:
        return self._procedure.pausable and self._whole.pausing

    async def pause_point(self) -> None:
        if self._procedure.pausable:
            await self._whole.pause_point()

    async def ask(self, question: Question) -> Answer:
        return await self._whole.ask(question)

    async def perform(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        title: str = "",
        share: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        if share is not None and self._share is not None:
            begin, end = self._share
            share = (begin + (end - begin) * share[0], begin + (end - begin) * share[1])
        return await self._whole.perform_part(name, parameters, (*self._path, title or name), share)
