"""What a run has found so far, for whoever looks on: pages of items, so that nobody has to have seen them come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drivers.plain import to_plain

#: Of one answer: what a sheet's cells take is then below 200 kB.
MOST = 500


class Items:
    """Of one run. `header` is what the items are about; `edition` counts how often it was told, from 1."""

    def __init__(self) -> None:
        self._header: dict[str, Any] = {}
        self._edition = 0
        self._items: list[dict[str, Any]] = []

    def tell(self, header: Mapping[str, Any] | None, items: Iterable[Mapping[str, Any]]) -> None:
        """A header replaces the one before; items go behind those told before."""
        if header is not None:
            self._header = to_plain(header)
            self._edition += 1
        self._items.extend(to_plain(list(items)))

    def clear(self) -> None:
        """The result has all of it now."""
        self._header, self._edition, self._items = {}, 0, []

    def describe(self) -> dict[str, Any] | None:
        """For the run's state: whether there is more to ask for. None if the run tells none."""
        return {"count": len(self._items), "edition": self._edition} if self._edition or self._items else None

    def page(self, since: int, edition: int) -> dict[str, Any]:
        """From the item number `since` on, `MOST` at the most; the header unless it is of that `edition`."""
        items = self._items[since : since + MOST]
        return {
            "edition": self._edition,
            "header": None if edition == self._edition else self._header,
            "items": items,
            "next": since + len(items),
            "count": len(self._items),
        }
