"""Charge as it runs on: by the trapezoid over the device's time, block by block or chunk by chunk."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from drivers.samples import SampleBlock

from .statistics import Floats

TIME, CURRENT = "time_s", "current_a"


class RunningCharge:
    """From the index `begin` on. Not across missing samples, nor from one technique to the next; samples without a
    current are left out."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        #: coulombs so far
        self.total_c = 0.0
        #: seconds and amperes of the last sample, if the next one can follow it
        self.last: tuple[float, float] | None = None
        self._next = begin
        self._start_ns: int | None = None

    def add(self, block: SampleBlock) -> Floats | None:
        """The charge up to each sample of the block that did not come before, which are its last ones; None if there
        are none."""
        first = max(block.first_index, self._next)
        if first >= block.next_index:
            return None
        self._go_on(first, block.start_time_ns)
        self._next = block.next_index
        count = block.next_index - first
        if CURRENT not in block.data or TIME not in block.data:
            self.last = None
            return np.full(count, self.total_c)
        time_s, current = block[TIME][-count:], block[CURRENT][-count:]
        good = np.isfinite(current) & np.isfinite(time_s)
        times, currents = time_s[good], current[good]
        if self.last is not None:
            times = np.concatenate(([self.last[0]], times))
            currents = np.concatenate(([self.last[1]], currents))
        if not len(times):
            return np.full(count, self.total_c)
        areas = np.diff(times) * (currents[:-1] + currents[1:]) / 2
        # a sample's charge ends with the trapezoid up to it; the first of all has none before it
        steps = np.zeros(count)
        places = np.flatnonzero(good)
        steps[places[len(places) - len(areas) :]] = areas
        charges: Floats = self.total_c + np.cumsum(steps)
        self.total_c = float(charges[-1])
        self.last = float(times[-1]), float(currents[-1])
        return charges

    def add_chunks(self, chunks: npt.NDArray[np.void], size: int) -> Floats:
        """The charge up to the end of each chunk of `size` samples; see `chunks.dtype_of`. They begin where the last
        block ended, or after it."""
        names = ("first", "charge_c", "head_ns", "head_s", "head_a", "tail_ns", "tail_s", "tail_a", "single")
        charges = []
        for first, charge, head_ns, head_s, head_a, tail_ns, tail_s, tail_a, single in zip(
            *(chunks[name].tolist() for name in names), strict=True
        ):
            self._go_on(first, head_ns)
            if self.last is not None and not math.isnan(head_s):
                self.total_c += (head_s - self.last[0]) * (head_a + self.last[1]) / 2
            self.total_c += charge
            if not math.isnan(tail_s):
                self.last = tail_s, tail_a
            elif not single:
                self.last = None
            self._next, self._start_ns = first + size, tail_ns
            charges.append(self.total_c)
        return np.array(charges)

    def _go_on(self, first: int, start_ns: int) -> None:
        if first != self._next or start_ns != self._start_ns:
            self.last = None
        self._start_ns = start_ns
