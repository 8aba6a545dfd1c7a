"""At the end: is what the recorder has what the instruments sent, and nothing else?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy

from drivers.samples import Flag
from tests.faults.witness import Pair

from .instruments import Sent

#: After something was wrong on the wire, the driver throws away what came until it is in step again: so many at most.
_OUT_OF_STEP = 8
#: A run begins within so many readings after its source was connected.
_LEADING = 16


@dataclass(slots=True)
class Compared:
    """Of one potentiostat. `missing` are samples that the instrument sent, whole, between two that were recorded of
    the same run; `spoilt` likewise, but a fault of the wire was next to them. `after_the_end` are those between a
    run's last and its source off, `longest_end` the most of one run. `foreign` are recorded ones that were never sent.
    """

    sent: int = 0
    recorded: int = 0
    runs: int = 0
    without_value: int = 0
    missing: int = 0
    spoilt: int = 0
    setting_up: int = 0
    after_the_end: int = 0
    longest_end: int = 0
    at_a_kill: int = 0
    longest_kill: int = 0
    no_taker: int = 0
    foreign: int = 0
    examples: list[str] = field(default_factory=list)


def check_indices(name: str, rows: numpy.ndarray) -> list[str]:
    """What is wrong with a stream's indices: from zero on, none left out, none twice."""
    wrong = numpy.flatnonzero(rows["index"] != numpy.arange(len(rows)))
    if not len(wrong):
        return []
    return [f"{name}: sample {rows['index'][wrong[0]]} is where {wrong[0]} should be, of {len(rows)}"]


def compare(device: str, streams: Sequence[numpy.ndarray], sent: Sent) -> Compared:
    """`streams` are the device's, the oldest first."""
    found = Compared(sent=len(sent.pairs), recorded=sum(map(len, streams)))
    place = 0
    for rows in streams:
        edges = [0, *(numpy.flatnonzero(numpy.diff(rows["run"].astype(numpy.int64))) + 1).tolist(), len(rows)]
        for begin, end in pairwise(edges):
            if begin < end:
                place = _compare_run(f"{device}, run {rows['run'][begin]:08x}", rows[begin:end], sent, place, found)
    return found


def _compare_run(name: str, rows: numpy.ndarray, sent: Sent, place: int, found: Compared) -> int:
    """`place` is where to look from in what was sent; returns where the run ended."""
    found.runs += 1
    gap = (rows["flags"] & int(Flag.GAP)) != 0
    pairs = list(zip(rows["voltage_v"].tolist(), rows["current_a"].tolist(), gap.tolist(), strict=True))
    first = True
    for offset, (voltage, current, _) in enumerate(pairs):
        if numpy.isnan(voltage) and numpy.isnan(current):
            found.without_value += 1
            continue
        following = None if first and offset + 1 < len(pairs) and pairs[offset + 1][2] else _next(pairs, offset)
        here = _find(sent.pairs, place, (voltage, current), following if first else None)
        if here is None:
            found.foreign += 1
            _example(found, f"{name}: sample {rows['index'][offset]}, {voltage}, {current}, was not sent")
            continue
        if not first:
            _count_between(name, int(rows["index"][offset]), place, here, sent, found)
        place, first = here + 1, False
    at = bisect_left(sent.on, place)
    _count_end(place, sent.on[at] if at < len(sent.on) else len(sent.pairs), sent, found)
    return place


def _count_end(place: int, off: int, sent: Sent, found: Compared) -> None:
    at = bisect_left(sent.killed, place)
    if at < len(sent.killed) and sent.killed[at] <= off:
        killed = sent.killed[at]
        lost = sum(index not in sent.spoilt for index in range(place, killed))
        found.at_a_kill += lost
        found.longest_kill = max(found.longest_kill, lost)
        found.no_taker += off - killed
        return
    whole = sum(index not in sent.spoilt for index in range(place, off))
    found.after_the_end += whole
    found.longest_end = max(found.longest_end, whole)


def _next(pairs: Sequence[tuple[float, float, bool]], offset: int) -> Pair | None:
    return pairs[offset + 1][:2] if offset + 1 < len(pairs) else None


def _find(sent: Sequence[Pair], place: int, wanted: Pair, following: Pair | None) -> int | None:
    """Where `wanted` was sent, from `place` on, with `following` soon after it."""
    for index in range(place, len(sent)):
        if sent[index] == wanted and (following is None or following in sent[index + 1 : index + 4]):
            return index
    return None


def _count_between(name: str, index: int, place: int, here: int, sent: Sent, found: Compared) -> None:
    at = bisect_right(sent.on, here) - 1
    if at >= 0 and sent.on[at] >= place:  # another technique of the same run
        begun = sent.on[at]
        _count_end(place, begun, sent, found)
        found.setting_up += min(here - begun, _LEADING)
        place = min(here, begun + _LEADING)
    near = range(place - _OUT_OF_STEP, here + 1)
    excused = not sent.spoilt.isdisjoint(near)
    for left_out in range(place, here):
        if left_out in sent.spoilt:
            continue
        if excused:
            found.spoilt += 1
        else:
            found.missing += 1
            _example(found, f"{name}: before sample {index}, {sent.pairs[left_out]} was sent and is not recorded")


def _example(found: Compared, text: str) -> None:
    if len(found.examples) < 10:
        found.examples.append(text)


def as_numbers(found: Mapping[str, Compared], name: str) -> int:
    """One count over all devices."""
    return sum(int(getattr(each, name)) for each in found.values())
