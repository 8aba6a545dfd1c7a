"""How much room on a disk runs need: one that is to start, worked out before, and those under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Bytes of a sample in a record, and again in the spool: four columns and what their header costs, rounded up.
BYTES_PER_SAMPLE = 40
#: It may be twice what was worked out before the disk is full.
MARGIN = 2
#: How long a run is taken to last whose parameters do not say.
UNKNOWN_S = 7 * 86_400.0
#: Of a procedure that does not say how often it samples.
INTERVAL_S = 0.1


def expected_bytes(parsed: Any, potentiostats: int) -> int:
    """What a record of this run takes at most, by its own parameters, for each of the places where it is kept.

    `duration_s` and `interval_s` of the parameters count, times `cycles` where there are any; a run whose length is not
    known is taken to last a week.
    """
    duration_s = getattr(parsed, "duration_s", None) or UNKNOWN_S
    interval_s = getattr(parsed, "interval_s", None) or INTERVAL_S
    repeated = getattr(parsed, "cycles", 1) or 1
    if not hasattr(parsed, "duration_s"):
        repeated = 1  # the week is for all of them
    samples = duration_s / interval_s * repeated * potentiostats
    return int(MARGIN * BYTES_PER_SAMPLE * samples)


class Promised:
    """Room that was found for runs before they started, for each of the places where they are kept."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[int, Callable[[], int]]] = {}

    def add(self, run: str, expected: int, samples: Callable[[], int]) -> None:
        """`expected` as `expected_bytes` gives it; `samples` says how many the run has taken so far."""
        self._runs[run] = expected, samples

    def remove(self, run: str) -> None:
        """It has ended, or was not started after all."""
        self._runs.pop(run, None)

    @property
    def bytes(self) -> int:
        """What is still to be written."""
        left = (expected - MARGIN * BYTES_PER_SAMPLE * samples() for expected, samples in self._runs.values())
        return sum(max(0, each) for each in left)
