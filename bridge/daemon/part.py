"""A procedure within another one: the run's context, with its steps and what it saves in a place of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bridge.procedures.context import Answer, Question
from drivers.interfaces import Device

if TYPE_CHECKING:
    from .parts import Parts
    from .run import Run

#: A step of a part is shown as TITLE: STEP.
SEPARATOR = ": "


class Part:
    """A `bridge.procedures.context.Context`. `path` are the titles from the run down to this one."""

    def __init__(
        self,
        whole: Run,
        parts: Parts,
        path: tuple[str, ...],
        share: tuple[float, float] | None,
        *,
        pausable: bool,
        saved: Mapping[str, Any],
    ) -> None:
        self.run = whole.run
        #: whether it can be paused, and all above it
        self.pausable = pausable
        self.saved = saved
        self._whole = whole
        self._parts = parts
        self._path = path
        self._share = share

    def device(self, role: str) -> Device:
        return self._whole.device(role)

    def every_device(self, role: str) -> tuple[Device, ...]:
        return self._whole.every_device(role)

    def has(self, role: str) -> bool:
        return self._whole.has(role)

    def witnessed(self, device: str, quantity: str, value: Any, by: str) -> None:
        self._whole.witnessed(device, quantity, value, by)

    def describe_sample(self, **known: float | None) -> None:
        self._whole.describe_sample(**known)

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        scaled = None
        if fraction is not None and self._share is not None:
            begin, end = self._share
            scaled = begin + (end - begin) * fraction
        self._whole.progress(SEPARATOR.join((*self._path, step)), scaled, **values)

    def note(self, text: str, **values: Any) -> None:
        self._whole.note(text, **values)

    def show(self, header: Mapping[str, Any] | None = None, items: Iterable[Mapping[str, Any]] = ()) -> None:
        self._whole.show(header, items)

    async def save(self, **state: Any) -> None:
        await self._parts.save(self._path, state)

    @property
    def pausing(self) -> bool:
        return self.pausable and self._whole.pausing

    async def pause_point(self) -> None:
        if self.pausable:
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
        if share is not None:
            begin, end = self._share or (None, None)
            share = None if begin is None or end is None else _within(begin, end, share)
        return await self._parts.perform(name, parameters, (*self._path, title or name), share, pausable=self.pausable)


def _within(begin: float, end: float, share: tuple[float, float]) -> tuple[float, float]:
    return begin + (end - begin) * share[0], begin + (end - begin) * share[1]
