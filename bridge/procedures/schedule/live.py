"""The technique under way within a step: its sums on top of what the step had done before, and its last samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.analysis.capacity import ah
from drivers.samples import Flag, SampleBlock

from ..common import range_label
from .judge import Floats, Samples
from .step_state import StepState
from .sums import Running

#: Samples kept from the end of a step, for the crossing of its limit and the slope there.
_TAIL = 10


class Live:
    """The technique under way: its sums on top of what the step had done before, and its last samples."""

    def __init__(self, before: StepState, interval_s: float) -> None:
        self._before = before
        self._now = StepState.from_dict(before.to_dict())
        self._charge, self._energy = Running(interval_s), Running(interval_s)
        self._last_s = 0.0
        self.tail_s: Floats = np.empty(0)
        #: the last samples of what a limit can be on
        self.tails: dict[str, Floats] = {}

    @property
    def time_s(self) -> float:
        return self._before.time_s + self._last_s

    @property
    def charges(self) -> tuple[float, float]:
        """(charge, discharge) of the step so far, in coulombs."""
        now = self._charge.total
        return self._before.charge_c + now.charge_c, self._before.discharge_c + now.discharge_c

    def add(self, block: SampleBlock, phase: str) -> Samples:
        """The block as the conditions see it. The noise around 0 A of an open circuit is counted as no charge."""
        state = self._now
        time, voltage, current = block["time_s"], block["voltage_v"], block["current_a"]
        if not state.start_time_ns:
            state.start_time_ns = block.start_time_ns
        through = np.zeros(len(block)) if phase == "open" else current
        charge = self._before.net_c + self._charge.add(time, through)
        energy = self._before.energy_in_j - self._before.energy_out_j + self._energy.add(time, voltage * through)
        known = voltage[np.isfinite(voltage)]
        if len(known):
            state.see_voltage(float(known[0]), float(known[-1]), float(known.min()), float(known.max()))
        flowing = current[np.isfinite(current)]
        if len(flowing):
            state.current_end_a = float(flowing[-1])
            state.current_max_a = max(state.current_max_a, float(np.abs(flowing).max()))
        state.samples += len(block)
        state.compliance += int(np.count_nonzero(block["flags"] & Flag.COMPLIANCE))
        self.see_range(block)
        self._last_s = float(time[-1])
        samples = Samples(
            self._before.time_s + time,
            voltage,
            np.abs(current) if phase == "cv" else np.full(len(block), np.nan),
            np.abs(charge),
            np.abs(energy),
        )
        self._remember(samples)
        return samples

    def see_range(self, block: SampleBlock) -> None:
        self._now.range = range_label(block.attributes) or self._now.range

    def _remember(self, samples: Samples) -> None:
        self.tail_s = np.concatenate((self.tail_s, samples.time_s))[-_TAIL:]
        for name, values in (
            ("voltage", samples.voltage_v),
            ("capacity", samples.capacity_c),
            ("energy", samples.energy_j),
        ):
            self.tails[name] = np.concatenate((self.tails.get(name, np.empty(0)), values))[-_TAIL:]

    def folded(self) -> StepState:
        """The step's state if the technique ended now."""
        state = StepState.from_dict(self._now.to_dict())
        state.handovers = self._before.handovers
        state.add_sums(self._last_s, self._charge.total, self._energy.total)
        return state

    def values(self) -> dict[str, Any]:
        """What is worth showing while it runs. No NaN: this goes out as JSON."""
        charge, discharge = self.charges
        shown = {
            "elapsed_s": self.time_s,
            "voltage_v": self._now.voltage_end_v,
            "current_a": self._now.current_end_a,
            "capacity_ah": ah(abs(charge - discharge)),
        }
        return {name: value for name, value in shown.items() if value is not None and math.isfinite(value)}
