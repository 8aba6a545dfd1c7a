"""The runs that have ended: the newest stay on the broker and in the list, older ones are removed, whoever ran them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bridge.store.note_table import NoteTable
from bridge.transfer.plain import dumps, to_plain
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink

from .items import Items

#: So many ended runs stay on the broker and in the list; older ones are removed.
KEPT = 100
_NOTE = "runs.ended"


class EndedRuns:
    """What is kept of a run is its state, as published: all that it needed while it was under way can be let go."""

    def __init__(self, notes: NoteTable, uplink: Uplink, topics: Topics) -> None:
        self._notes = notes
        self._uplink = uplink
        self._topics = topics
        #: by name, those that ended first at the front; None for what is on the broker and not in the list: a run of an
        #: earlier daemon, or one whose end is not told yet
        self._states: dict[str, dict[str, Any] | None] = {}
        #: of those that this daemon ran: what they had found, unless their result has it
        self._items: dict[str, Items] = {}

    async def open(self) -> None:
        """Those of earlier daemons, which an outer broker still has. Raises `StoreError`."""
        self._states = dict.fromkeys(await self._notes.get(_NOTE, []))
        self._forget_old()

    def __contains__(self, name: object) -> bool:
        return name in self._states

    def states(self) -> list[dict[str, Any]]:
        return [state for state in self._states.values() if state is not None]

    def get(self, name: Any) -> dict[str, Any] | None:
        """The state of a run in the list; None if there is none of the name."""
        return self._states.get(name) if isinstance(name, str) else None

    def items(self, name: Any) -> Items | None:
        """What a run that ended in this daemon had found; None if there is none of the name."""
        return self._items.get(name) if isinstance(name, str) else None

    async def remember(self, *names: str) -> None:
        """These end now; on disk when it returns. Raises `StoreError`."""
        self._states.update({name: None for name in names if name not in self._states})
        await self._notes.put(_NOTE, list(self._states))

    def add(self, state: Mapping[str, Any], items: Items) -> None:
        """The state of one that has ended, which was published, and what it had found."""
        self._states[state["run"]] = to_plain(state)
        self._items[state["run"]] = items
        self._forget_old()

    def tell(self, state: Mapping[str, Any]) -> None:
        """As `add`, of one whose state is to be published."""
        self._states[state["run"]] = to_plain(state)
        self._uplink.retain(self._topics.run_state(state["run"]), dumps(state))

    def gone_on_with(self, name: str, by: str) -> None:
        """The run `by` goes on from where this one ended."""
        if (state := self.get(name)) is not None:
            self.tell({**state, "resumable": False, "resumed_by": by})

    def _forget_old(self) -> None:
        for name in list(self._states)[:-KEPT]:
            del self._states[name]
            self._items.pop(name, None)
            for topic in (self._topics.run_state, self._topics.run_result, self._topics.run_manifest):
                self._uplink.retain(topic(name), b"")


def state_of_earlier(name: str, entry: Mapping[str, Any], status: str, *, resumable: bool) -> dict[str, Any]:
    """The state of a run of an earlier daemon, out of its journal (which an older version may have written)."""
    return {
        "run": name,
        "procedure": entry.get("procedure", ""),
        "parameters": entry.get("parameters", {}),
        "devices": entry.get("devices", {}),
        "status": status,
        "step": entry.get("step", ""),
        "fraction": None,
        "values": {},
        "items": None,
        "started_ns": entry.get("started_ns"),
        "ended_ns": entry.get("ended_ns") or time.time_ns(),
        "error": entry.get("error"),
        "streams": {},
        "health": {"enabled": False},
        "folder": entry.get("folder"),
        "question": None,
        "pause": None,
        "pausable": False,
        "resumable": resumable,
        "resumes": None,
        "resumed_by": None,
        "parts": [],
    }
