"""At the end: is what the recorder has what the instruments sent, and nothing else?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy

from drivers.samples import Flag
from tests.faults.witness import Pair

from .account import Place, Row, account_of
from .instruments import Sent


@dataclass(slots=True)
class Compared:
    """Of one potentiostat. `rows` counts what became of each of its readings. `without_value` are recorded samples that
    have none, `foreign` those that were never sent."""

    sent: int = 0
    recorded: int = 0
    runs: int = 0
    without_value: int = 0
    foreign: int = 0
    longest_kill: int = 0
    rows: dict[Row, int] = field(default_factory=lambda: dict.fromkeys(Row, 0))
    examples: list[str] = field(default_factory=list)

    @property
    def unexplained(self) -> int:
        """How many readings too few or too many the rows have; and recorded samples that are in none."""
        known = self.rows[Row.RECORDED] + self.without_value + self.foreign
        return abs(self.sent - sum(self.rows.values())) + abs(self.recorded - known)


def check_indices(name: str, rows: numpy.ndarray) -> list[str]:
    """What is wrong with a stream's indices: from zero on, none left out, none twice."""
    wrong = numpy.flatnonzero(rows["index"] != numpy.arange(len(rows)))
    if not len(wrong):
        return []
    return [f"{name}: sample {rows['index'][wrong[0]]} is where {wrong[0]} should be, of {len(rows)}"]


def compare(device: str, streams: Sequence[numpy.ndarray], sent: Sent) -> Compared:
    """`streams` are the device's, the oldest first."""
    found = Compared(sent=len(sent.pairs), recorded=sum(map(len, streams)))
    places: list[Place] = []
    for rows in streams:
        edges = [0, *(numpy.flatnonzero(numpy.diff(rows["run"].astype(numpy.int64))) + 1).tolist(), len(rows)]
        for begin, end in pairwise(edges):
            if begin < end:
                _find_run(f"{device}, run {rows['run'][begin]:08x}", rows[begin:end], sent, places, found)
    account = account_of(sent, places)
    found.rows, found.longest_kill = account.counts, account.longest_kill
    for at in account.missing:
        _example(found, f"{device}: {sent.pairs[at]} was sent as its reading {at} and is not recorded")
    return found


def _find_run(name: str, rows: numpy.ndarray, sent: Sent, places: list[Place], found: Compared) -> None:
    """Where in what was sent the samples of a run are; after the last of `places`, to which they are added."""
    found.runs += 1
    gap = (rows["flags"] & int(Flag.GAP)) != 0
    pairs = list(zip(rows["voltage_v"].tolist(), rows["current_a"].tolist(), gap.tolist(), strict=True))
    first = True
    for offset, (voltage, current, _) in enumerate(pairs):
        if numpy.isnan(voltage) and numpy.isnan(current):
            found.without_value += 1
            continue
        following = None if first and offset + 1 < len(pairs) and pairs[offset + 1][2] else _next(pairs, offset)
        begin = places[-1].at + 1 if places else 0
        here = _find(sent.pairs, begin, (voltage, current), following if first else None)
        if here is None:
            found.foreign += 1
            _example(found, f"{name}: sample {rows['index'][offset]}, {voltage}, {current}, was not sent")
            continue
        places.append(Place(here, found.runs))
        first = False


def _next(pairs: Sequence[tuple[float, float, bool]], offset: int) -> Pair | None:
    return pairs[offset + 1][:2] if offset + 1 < len(pairs) else None


def _find(sent: Sequence[Pair], place: int, wanted: Pair, following: Pair | None) -> int | None:
    """Where `wanted` was sent, from `place` on, with `following` soon after it."""
    for index in range(place, len(sent)):
        if sent[index] == wanted and (following is None or following in sent[index + 1 : index + 4]):
            return index
    return None


def _example(found: Compared, text: str) -> None:
    if len(found.examples) < 10:
        found.examples.append(text)


def counted(found: Mapping[str, Compared], row: Row) -> int:
    """Over all devices."""
    return sum(each.rows[row] for each in found.values())
