"""Commands that both command sets share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .scpi import Commands, boolean, choice, number

if TYPE_CHECKING:
    from .instrument import Keithley24xxMock

_OFF_STATES = ("HIMPedance", "NORMal", "ZERO", "GUARd")


class CommonCommands(Commands):
    """IEEE 488.2, error queue, output, source level and range, integration."""

    def __init__(self, instrument: Keithley24xxMock) -> None:
        super().__init__()
        self.instrument = instrument
        self.source = instrument.source
        self.front = True
        self.four_wire = False
        self._ieee488()
        self._source()
        self.add("OUTPut[1][:STATe]", self._output, lambda p: str(int(self.source.output)))
        self.add("ROUTe:TERMinals", self._terminals, lambda p: "FRON" if self.front else "REAR")
        self.add("SYSTem:LFRequency", None, lambda p: f"{self.source.mains_hz:g}")

    def reading_text(self, value: float | None) -> str:
        raise NotImplementedError

    def error_text(self, code: int, text: str) -> str:
        return f'{code:+d},"{text}"' if code else f'{code},"{text}"'

    def _ieee488(self) -> None:
        instrument = self.instrument
        self.add("*IDN", None, lambda p: instrument.identity)
        self.add("*RST", lambda p: instrument.preset())
        self.add("*CLS", lambda p: instrument.errors.clear())
        self.add("*ESE", self._event_enable, lambda p: str(instrument.event_enable))
        self.add("*ESR", None, lambda p: "0")
        self.add("*STB", None, lambda p: "0")
        self.add("*OPC", lambda p: None, lambda p: "1")
        self.add("*WAI", lambda p: None)
        if instrument.model == "2450":
            self.add("*LANG", self._set_language, lambda p: instrument.language)
        self.add("SYSTem:ERRor[:NEXT]", None, lambda p: self.next_error())
        self.add("STATus:QUEue[:NEXT]", None, lambda p: self.next_error())
        self.add("SYSTem:CLEar", lambda p: instrument.errors.clear())

    def _source(self) -> None:
        self.add("SOURce[1]:FUNCtion[:MODE]", self._function, lambda p: self.source.function)
        for quantity, spec in (("CURR", "CURRent"), ("VOLT", "VOLTage")):
            self._source_of(quantity, spec)

    def _source_of(self, quantity: str, spec: str) -> None:
        source = self.source
        self.add(
            f"SOURce[1]:{spec}[:LEVel][:IMMediate][:AMPLitude]",
            lambda p: source.set_level(quantity, number(p, -1e4, 1e4)),
            lambda p: self.setting_text(source.level[quantity]),
        )
        self.add(
            f"SOURce[1]:{spec}:RANGe",
            lambda p: source.set_source_range(quantity, abs(number(p, -1e4, 1e4))),
            lambda p: self.setting_text(self.range_answer(source.source_range[quantity])),
        )
        self.add(
            f"SOURce[1]:{spec}:RANGe:AUTO",
            lambda p: source.source_auto.__setitem__(quantity, boolean(p)),
            lambda p: str(int(source.source_auto[quantity])),
        )
        self.add(f"[SENSe[1]:]{spec}[:DC]:NPLCycles", self._nplc, lambda p: self.setting_text(source.nplc))

    def setting_text(self, value: float) -> str:
        return f"{value:.6E}"

    def range_answer(self, full_scale: float) -> float:
        return full_scale

    def next_error(self) -> str:
        code, text = self.instrument.errors.popleft() if self.instrument.errors else (0, "No error")
        return self.error_text(code, text)

    def _set_language(self, parameters: Sequence[str]) -> None:
        """Takes effect with the next power-on."""
        self.instrument.next_language = choice(parameters, "SCPI", "TSP", "SCPI2400")

    def _event_enable(self, parameters: Sequence[str]) -> None:
        self.instrument.event_enable = int(number(parameters, 0, 255))

    def _output(self, parameters: Sequence[str]) -> None:
        self.source.output = boolean(parameters)
        self.source.apply()

    def off_state(self, quantities: Sequence[str], parameters: Sequence[str]) -> None:
        state = choice(parameters, *_OFF_STATES)
        for quantity in quantities:
            self.source.off_state[quantity] = state
        self.source.apply()

    def _terminals(self, parameters: Sequence[str]) -> None:
        front = choice(parameters, "FRONt", "REAR") == "FRON"
        if front != self.front:
            self.source.output = False
            self.source.apply()
        self.front = front

    def _function(self, parameters: Sequence[str]) -> None:
        function = choice(parameters, "CURRent[:DC]", "VOLTage[:DC]")
        if function != self.source.function:
            self.source.output = False
        self.source.function = function
        self.source.apply()

    def _nplc(self, parameters: Sequence[str]) -> None:
        self.source.nplc = number(parameters, 0.01, 10)

    def switch(self, spec: str, initial: bool = False) -> None:
        """A setting of no consequence here that can be set and read."""
        held = {"on": initial}
        self.add(spec, lambda p: held.__setitem__("on", boolean(p)), lambda p: str(int(held["on"])))
