"""The measurement loops: what they set, when they measure, what they hand to the script's variables."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import pairwise

from ...world import Timeline
from .circuit import GALVANOSTAT, HIGH_SPEED, Circuit, Measured
from .language import Node
from .memory import Memory
from .models import MockModel

_NS = 1_000_000_000
#: measuring takes this part of an interval unless the mains filter is set
_ACQUISITION = 0.5

#: number of the scan (None: no scans), and for each variable its name, its type and the value
Points = AsyncGenerator[tuple[int | None, list[tuple[str, str, Measured]]], None]


class Loops:
    def __init__(
        self,
        model: MockModel,
        circuit: Circuit,
        memory: Memory,
        timeline: Timeline,
        let_pass: Callable[[int], Awaitable[None]],
    ) -> None:
        self._model, self._circuit, self._memory = model, circuit, memory
        self._timeline, self._pass = timeline, let_pass
        self.mains_hz = 0.0
        #: when the point under way was due: the instrument's own timing is exact, however late its simulation is
        self.due_ns: int | None = None

    def start(self, technique: str, node: Node) -> Points:
        circuit = self._circuit
        if technique == "ocp" and circuit.cell_is_on:
            raise self._memory.fault(0x0014)
        if technique != "ocp" and not circuit.cell_is_on:
            raise self._memory.fault(0x4027)
        if technique == "eis":
            return self._impedance(node)
        if (technique == "cp") != (circuit.mode == GALVANOSTAT) and technique != "ocp":
            raise self._memory.fault(0x0023)
        if technique in ("cv", "lsv"):
            return self._sweep(technique, node)
        return self._at_intervals(technique, node)

    async def _at_intervals(self, technique: str, node: Node) -> Points:
        *outputs, interval_text, run_text = node.arguments
        circuit = self._circuit
        interval, run = self._memory.ns(interval_text), self._memory.ns(run_text)
        if interval <= 0 or run <= 0:
            raise self._memory.fault(0x4204)
        if technique == "ocp":
            circuit.listen()
        elif technique == "cp":
            circuit.current_a = self.current(outputs.pop())
            circuit.drive()
        else:
            circuit.potential_v = self.potential(outputs.pop())
            circuit.drive()
        start = self._timeline.now_ns
        window = self._window(interval)
        for number in range(1, run // interval + 1):
            await self._wait_until(start + number * interval)
            potential, current, at_limit = circuit.measure(start + number * interval, window)
            if technique == "ocp":
                yield None, [(outputs[0], "ab", potential)]
            elif technique == "cp":
                yield None, [(outputs[0], "ab", potential), (outputs[1], "ba", current)]
            else:
                if at_limit:
                    raise self._memory.fault(0x0032)
                applied = Measured(circuit.potential_v)
                yield None, [(outputs[0], "da", applied), (outputs[1], "ba", current)]

    async def _sweep(self, technique: str, node: Node) -> Points:
        outputs = node.arguments[:2]
        *corner_texts, step_text, rate_text = node.arguments[2:]
        corners = [self.potential(text) for text in corner_texts]
        step, rate = self._memory.number(step_text), self._memory.number(rate_text)
        if step <= 0 or rate <= 0:
            raise self._memory.fault(0x4204)
        path = list(_path(corners if technique == "lsv" else [*corners, corners[0]], step))
        if len(path) < 2:
            raise self._memory.fault(0x4029)
        dwell = round(step / rate * _NS)
        scans = int(node.options.get("nscans", "1").rstrip("i"))
        due = self._timeline.now_ns
        for scan in range(scans):
            for volts in path:
                self._circuit.potential_v = volts
                self._circuit.drive()
                due += dwell
                await self._wait_until(due)
                _, current, at_limit = self._circuit.measure(due, self._window(dwell))
                if at_limit:
                    raise self._memory.fault(0x0032)
                point = [(outputs[0], "da", Measured(volts)), (outputs[1], "ba", current)]
                yield (scan if scans > 1 else None), point

    async def _impedance(self, node: Node) -> Points:
        outputs = node.arguments[:3]
        amplitude, first, last, count = (self._memory.number(text) for text in node.arguments[3:7])
        if self._circuit.mode != HIGH_SPEED:
            raise self._memory.fault(0x0023)
        if not 0 < amplitude <= self._model.amplitude_max_v:
            raise self._memory.fault(0x0012)
        if not 0 < min(first, last) <= max(first, last) <= self._model.frequency_max_hz:
            raise self._memory.fault(0x0011)
        if count < 1:
            raise self._memory.fault(0x4204)
        self._circuit.potential_v = self.potential(node.arguments[7])
        self._circuit.drive()
        due = self._timeline.now_ns
        for number in range(int(count)):
            frequency = first * (last / first) ** (number / (count - 1)) if count > 1 else first
            due += round((0.05 + 3 / frequency) * _NS)
            await self._wait_until(due)
            z = self._circuit.impedance(frequency)
            ranged = self._circuit.ranged(amplitude / abs(z))
            yield (
                None,
                [
                    (outputs[0], "dc", Measured(frequency)),
                    (outputs[1], "cc", Measured(z.real, ranged.status, ranged.range_index)),
                    (outputs[2], "cd", Measured(z.imag, ranged.status, ranged.range_index)),
                ],
            )

    async def _wait_until(self, due_ns: int) -> None:
        await self._pass(due_ns - self._timeline.now_ns)
        self.due_ns = due_ns

    def _window(self, interval_ns: int) -> int:
        """How long a conversion takes: whole mains periods where the filter is set and one fits."""
        if self.mains_hz:
            periods = math.floor(interval_ns * self.mains_hz / _NS)
            if periods:
                return round(periods * _NS / self.mains_hz)
        return max(1, round(interval_ns * _ACQUISITION))

    def potential(self, text: str) -> float:
        volts = self._memory.number(text)
        if not self._model.low_v <= volts <= self._model.high_v:
            raise self._memory.fault(0x000F)
        return volts

    def current(self, text: str) -> float:
        amperes = self._memory.number(text)
        if abs(amperes) > self._model.current_max_a:
            raise self._memory.fault(0x4205)
        return amperes


def _path(corners: list[float], step: float) -> Iterator[float]:
    """From corner to corner in steps, every corner once."""
    for begin, end in pairwise(corners):
        count = max(0, round(abs(end - begin) / step))
        for number in range(count):
            yield begin + (end - begin) * number / count
    yield corners[-1]
