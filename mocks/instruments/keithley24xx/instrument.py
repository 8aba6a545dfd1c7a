"""The instrument: bytes in, lines taken one after the other, replies out."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from inspect import isawaitable
from typing import Any, ClassVar

from ...instrument import Instrument
from ...world import World
from .commands_2400 import Commands2400
from .commands_2450 import Commands2450
from .scpi import Commands, ScpiError, undefined_header, units
from .source import HARDWARE, SourceMeter

NS = 1_000_000_000
_FIRMWARE = {
    "6430": "C27   Jul 12 2004 15:47:33/A02  /D/B",
    "2400": "C32   Oct  4 2010 14:20:11/A02  /S/K",
    "2450": "1.6.4c",
}
_ERRORS_MAX = 10


class Keithley24xxMock(Instrument):
    """A 6430 (default), 2400 or 2450.

    `language` is the 2450's command set: "SCPI", "SCPI2400" or "TSP". `conversions`: how many integrations a reading
    takes (a real 2400 with autozero takes several). `clock_s`: what the time stamp says at power-on, to see it wrap.
    `preamplifier`: whether the 6430's is plugged in, without which its low ranges are not there.
    """

    wire: ClassVar[str] = "tcp"

    def __init__(
        self,
        world: World,
        name: str,
        *,
        model: str = "6430",
        language: str = "SCPI",
        serial: str = "1141613",
        mains_hz: float = 50.0,
        conversions: int = 1,
        clock_s: float = 0.0,
        preamplifier: bool = True,
        reply_end: str = "\n",
    ) -> None:
        super().__init__(world, name)
        if model not in _FIRMWARE:
            raise ValueError(f"model {model!r}; accepted: {', '.join(_FIRMWARE)}")
        self.model = model
        self.next_language = language
        self.serial = serial
        self.reply_end = reply_end
        self._mains_hz, self._conversions, self._clock_s = mains_hz, conversions, clock_s
        hardware = HARDWARE[model if preamplifier or model != "6430" else "6430 without preamplifier"]
        self.source = SourceMeter(world, name, hardware, self.timeline)
        self._worker: asyncio.Task[None] | None = None
        self.reset()

    @property
    def cell_is_open(self) -> bool:
        """Whether the relay between the instrument and the cell is open: the only proof of "off"."""
        return self.source.cell_is_open

    def reset(self) -> None:
        self.language = self.next_language
        self._received = b""
        self._lines: deque[str] = deque()
        self.errors: deque[tuple[int, str]] = deque()
        self.event_enable = 0
        self.restart_clock(self._clock_s)
        self.preset()
        self.commands = self._commands()

    def preset(self) -> None:
        """`*RST`. It brings the NORMal off state back, and with it 0 V onto the terminals."""
        self.source.reset()
        self.source.mains_hz = self._mains_hz
        self.source.conversions = self._conversions

    def power_cycle(self) -> None:
        super().power_cycle()
        self._worker = None

    @property
    def clock_s(self) -> float:
        """Seconds since power-on or since it was set to zero; starts again after 99 999.999 s (6430 manual 17-48)."""
        return (self._clock_offset_s + (self.timeline.now_ns - self._clock_start_ns) / NS) % 100_000.0

    def restart_clock(self, from_s: float = 0.0) -> None:
        self._clock_start_ns, self._clock_offset_s = self.timeline.now_ns, from_s

    def fail(self, code: int, text: str) -> None:
        """Put an error into the queue, as an event inside the instrument does."""
        if len(self.errors) < _ERRORS_MAX:
            self.errors.append((code, text))
        else:
            self.errors[-1] = (-350, "Queue overflow")

    def receive(self, data: bytes) -> None:
        self._received += data
        *lines, self._received = re.split(rb"[\r\n]", self._received)
        self._lines.extend(line.decode("latin-1").strip() for line in lines if line.strip())
        if self._lines and (self._worker is None or self._worker.done()):
            self._worker = self.spawn(self._work())

    async def _work(self) -> None:
        while self._lines:
            line = self._lines.popleft()
            self.record.append(line)
            replies = await self._execute(line)
            if replies:
                self.send((";".join(replies) + self.reply_end).encode("latin-1"))

    async def _execute(self, line: str) -> list[str]:
        replies: list[str] = []
        try:
            for header, asks, parameters in units(line):
                setter, getter = self.commands.find(header)
                if asks and getter is not None:
                    answer = getter(parameters)
                    replies.append(await answer if isawaitable(answer) else answer)
                elif not asks and setter is not None:
                    setter(parameters)
                else:
                    raise undefined_header()
        except ScpiError as error:
            self.fail(error.code, error.text)
        return replies

    def _commands(self) -> Commands:
        commands: Any = Commands2450 if self.model == "2450" and self.language != "SCPI2400" else Commands2400
        result: Commands = commands(self)
        return result

    @property
    def identity(self) -> str:
        maker = "KEITHLEY INSTRUMENTS" if self.model == "2450" else "KEITHLEY INSTRUMENTS INC."
        return f"{maker},MODEL {self.model},{self.serial},{_FIRMWARE[self.model]}"
