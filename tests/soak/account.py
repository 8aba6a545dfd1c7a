"""What became of every reading that a potentiostat gave to its wire: each is in one row, or it is missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from .instruments import CONNECTED, KILLED, Mark, Sent

#: After something was wrong on the wire, the driver throws away what came until it is in step again: so many at most.
_OUT_OF_STEP = 8
#: A technique begins within so many readings after its source was connected.
LEADING = 16


class Row(StrEnum):
    """The value is the row's name in the table."""

    RECORDED = "recorded"
    UNPLUGGED = "sent while unplugged"
    SPOILT = "kept back or changed on the wire"
    OUT_OF_STEP = "thrown away beside such a one"
    SETTING_UP = "read before a technique's first sample"
    AFTER_THE_END = "sent after a technique's last sample"
    AT_A_KILL = "not on disk at a kill"
    NO_TAKER = "sent with no daemon there"
    MISSING = "missing"


class Place(NamedTuple):
    """A recorded sample: its place in what was sent, and which of the recorded runs it is of."""

    at: int
    run: int


@dataclass(slots=True)
class Account:
    """`rows` has one for each reading in `Sent.pairs`; `missing` are the places of those. `longest_kill` is the most
    that was not on disk at one kill."""

    rows: list[Row]
    missing: list[int] = field(default_factory=list)
    longest_kill: int = 0

    @property
    def counts(self) -> dict[Row, int]:
        return {row: self.rows.count(row) for row in Row}


def account_of(sent: Sent, recorded: Sequence[Place]) -> Account:
    """`recorded` in ascending order of places."""
    rows = [Row.MISSING] * len(sent.pairs)
    for at, _ in recorded:
        rows[at] = Row.RECORDED
    account = Account(rows)
    for before, after in pairwise([Place(-1, -1), *recorded, Place(len(rows), -1)]):
        for stretch in _stretches(sent.marks, before, after):
            for at in range(stretch.begin, stretch.end):
                rows[at] = _row_of(at, stretch, sent)
            if stretch.ended == KILLED:
                lost = rows[stretch.begin : stretch.end].count(Row.AT_A_KILL)
                account.longest_kill = max(account.longest_kill, lost)
    account.missing = [at for at, row in enumerate(rows) if row is Row.MISSING]
    return account


class _Stretch(NamedTuple):
    """Readings that follow each other, none of them recorded, and what happened before the first and after the last of
    them: a mark, or "" for a recorded sample. `is_inside` says that those two are of the same run."""

    begin: int
    end: int
    began: str
    ended: str
    is_inside: bool


def _stretches(marks: Sequence[Mark], before: Place, after: Place) -> Iterator[_Stretch]:
    first = bisect_right(marks, before.at, key=attrgetter("at"))
    last = bisect_right(marks, after.at, key=attrgetter("at"))
    edges = [Mark(before.at + 1, ""), *marks[first:last], Mark(after.at, "")]
    for one, following in pairwise(edges):
        if one.at < following.at:
            is_inside = len(edges) == 2 and before.run == after.run
            yield _Stretch(one.at, following.at, one.what, following.what, is_inside)


def _row_of(at: int, stretch: _Stretch, sent: Sent) -> Row:
    if at in sent.unplugged:
        return Row.UNPLUGGED
    if at in sent.spoilt:
        return Row.SPOILT
    if stretch.began == KILLED:
        return Row.NO_TAKER
    if stretch.ended == KILLED:
        return Row.AT_A_KILL
    if stretch.began == CONNECTED and at < stretch.begin + LEADING:
        return Row.SETTING_UP
    if not stretch.began and not stretch.is_inside:
        return Row.AFTER_THE_END
    near = range(stretch.begin - _OUT_OF_STEP, stretch.end + 1)
    if sent.spoilt.isdisjoint(near) and sent.unplugged.isdisjoint(near):
        return Row.MISSING
    return Row.OUT_OF_STEP
