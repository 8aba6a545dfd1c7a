"""The native SCPI command set of the 2450 (reference manual section 6), and what is left of it under TSP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import CommonCommands
from .scpi import Getter, ScpiError, Setter, boolean, choice, number

if TYPE_CHECKING:
    from .instrument import Keithley24xxMock

_OVERFLOW = 9.9e37
_ELEMENTS = ("READing", "RELative", "SOURce", "SOURSTATus", "STATus")


class Commands2450(CommonCommands):
    def __init__(self, instrument: Keithley24xxMock) -> None:
        super().__init__(instrument)
        self.measures = "CURR"
        self.read_back = {"CURR": True, "VOLT": True}
        self.buffered = 0
        self.buffer_start_s = 0.0
        self.add("OUTPut[1]:SMODe", lambda p: self.off_state(("CURR", "VOLT"), p), self._off_state_now)
        self.add("READ", None, lambda p: self._read(p))
        self.add("TRACe:CLEar", self._clear_buffer)
        self.add("TRACe:ACTual", None, lambda p: str(self.buffered))
        self.add("TRACe:FILL:MODE", lambda p: choice(p[:1], "CONTinuous", "ONCE"), lambda p: "CONT")
        self.add("FORMat[:DATA]", lambda p: choice(p, "ASCii"), lambda p: "ASC")
        self.add("[SENSe[1]:]FUNCtion[:ON]", self._set_function, lambda p: f'"{self.measures}:DC"')
        self.add("[SENSe[1]:]COUNt", lambda p: number(p, 1, 300000), lambda p: "1")
        for quantity, spec in (("CURR", "CURRent"), ("VOLT", "VOLTage")):
            self._of(quantity, spec)

    def find(self, header: str) -> tuple[Setter | None, Getter | None]:
        if self.instrument.language == "TSP" and not header.startswith("*"):
            raise ScpiError(-285, "TSP Syntax error at line 1: unexpected symbol near `:'")
        return super().find(header)

    def _of(self, quantity: str, spec: str) -> None:
        other, limit_node = ("VOLT", "VLIMit") if quantity == "CURR" else ("CURR", "ILIMit")
        self.add(
            f"OUTPut[1]:{spec}:SMODe",
            lambda p: self.off_state((quantity,), p),
            lambda p: self.source.off_state[quantity],
        )
        self.add(
            f"SOURce[1]:{spec}:{limit_node}[:LEVel]",
            lambda p: self._limit(other, p),
            lambda p: self.setting_text(self.source.limit[other]),
        )
        self.add(
            f"SOURce[1]:{spec}:READ:BACK",
            lambda p: self.read_back.__setitem__(quantity, boolean(p)),
            lambda p: str(int(self.read_back[quantity])),
        )
        self.add(
            f"[SENSe[1]:]{spec}[:DC]:RANGe[:UPPer]",
            lambda p: self._sense_range(quantity, p),
            lambda p: self.setting_text(self.source.sense_range[quantity]),
        )
        self.add(
            f"[SENSe[1]:]{spec}[:DC]:RANGe:AUTO",
            lambda p: self.source.sense_auto.__setitem__(quantity, boolean(p)),
            lambda p: str(int(self.source.sense_auto[quantity])),
        )
        self.add(f"[SENSe[1]:]{spec}[:DC]:UNIT", lambda p: choice(p, "VOLT", "AMP", "OHM", "WATT"))
        self.add(f"SOURce[1]:{spec}:DELay", lambda p: number(p, 0, 10000), lambda p: "0")
        self.switch(f"SOURce[1]:{spec}:DELay:AUTO")
        self.switch(f"[SENSe[1]:]{spec}[:DC]:AVERage[:STATe]")
        self.switch(f"[SENSe[1]:]{spec}[:DC]:AZERo[:STATe]", True)
        self.switch(f"[SENSe[1]:]{spec}[:DC]:RELative:STATe")
        self.switch(f"[SENSe[1]:]{spec}[:DC]:RSENse")
        self.switch(f"CALCulate[1]:{spec}[:DC]:MATH:STATe")

    def error_text(self, code: int, text: str) -> str:
        return f'{code},"{text};1;2026/01/01 00:00:00.000"' if code else '0,"No error;0;0 0"'

    def _off_state_now(self, parameters: Sequence[str]) -> str:
        return self.source.off_state[self.source.function]

    def _set_function(self, parameters: Sequence[str]) -> None:
        self.measures = choice(parameters, "CURRent[:DC]", "VOLTage[:DC]")

    def _limit(self, quantity: str, parameters: Sequence[str]) -> None:
        limit = number(parameters, 1e-9, 210)
        self.source.range_for(quantity, limit)
        self.source.limit[quantity] = limit
        self.source.apply()

    def _sense_range(self, quantity: str, parameters: Sequence[str]) -> None:
        self.source.sense_range[quantity] = self.source.range_for(quantity, abs(number(parameters, -210, 210)) / 1.05)
        self.source.sense_auto[quantity] = False
        self.source.apply()

    def _clear_buffer(self, parameters: Sequence[str]) -> None:
        self.buffered = 0

    async def _read(self, parameters: Sequence[str]) -> str:
        """`:READ? "defbuffer1", READ, SOUR ...`: the elements in the order asked for."""
        if parameters and parameters[0].strip("'\"") != "defbuffer1":
            raise ScpiError(-224, "Illegal parameter value")
        wanted = [choice([p], *_ELEMENTS) for p in parameters[1:]] or ["READ"]
        result = await self.source.measure()
        now_s = self.instrument.timeline.now_s
        if self.buffered == 0:
            self.buffer_start_s = now_s
        self.buffered += 1
        amounts = {"VOLT": result.voltage_v, "CURR": result.current_a}
        sourced = self.source.function
        source_value = amounts[sourced] if self.read_back[sourced] else self.source.programmed(sourced)
        held = result.real or result.by_range
        items = {
            "READ": self._text(amounts[self.measures]),
            "REL": f"{now_s - self.buffer_start_s:.9f}",
            "SOUR": self._text(source_value),
            "SOURSTAT": str((32 if held else 0) | (128 if self.source.output else 0)),
            "STAT": "8" if self.front else "0",
        }
        return ",".join(items[element] for element in wanted)

    def _text(self, value: float | None) -> str:
        return f"{_OVERFLOW if value is None else value:.6E}"
