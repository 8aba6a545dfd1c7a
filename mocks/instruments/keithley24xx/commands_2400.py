"""The command set of the 2400 and the 6430 (2400 series user's manual section 18)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import CommonCommands
from .scpi import ScpiError, boolean, choice, number

if TYPE_CHECKING:
    from .instrument import Keithley24xxMock

_OVERFLOW, _NO_VALUE = 9.9e37, 9.91e37
_ELEMENTS = ("VOLT", "CURR", "RES", "TIME", "STAT")


class Commands2400(CommonCommands):
    def __init__(self, instrument: Keithley24xxMock) -> None:
        super().__init__(instrument)
        self.elements = list(_ELEMENTS)
        self.concurrent = True
        self.measured = {"CURR"}
        self.source_delay_s = 0.0
        self.trigger_delay_s = 0.0
        self.trigger_count = 1
        self.add(
            "OUTPut[1]:SMODe",
            lambda p: self.off_state(("CURR", "VOLT"), p),
            lambda p: self.source.off_state[self.source.function],
        )
        self._sense()
        self._trigger()
        self._system()

    def _sense(self) -> None:
        self.add("[SENSe[1]:]FUNCtion[:ON]", self._functions_on, lambda p: ",".join(self._function_names()))
        self.add("[SENSe[1]:]FUNCtion[:ON]:ALL", lambda p: self.measured.update(("VOLT", "CURR")))
        self.add("[SENSe[1]:]FUNCtion:OFF", lambda p: self.measured.difference_update(self._functions(p)))
        self.add("[SENSe[1]:]FUNCtion:OFF:ALL", lambda p: self.measured.clear())
        self.add("[SENSe[1]:]FUNCtion:CONCurrent", self._set_concurrent, lambda p: str(int(self.concurrent)))
        self._of("CURR", "CURRent")
        self._of("VOLT", "VOLTage")
        self.switch("[SENSe[1]:]AVERage[:STATe]")

    def _of(self, quantity: str, spec: str) -> None:
        source = self.source
        self.add(
            f"[SENSe[1]:]{spec}[:DC]:PROTection[:LEVel]",
            lambda p: self._limit(quantity, p),
            lambda p: self.setting_text(source.limit[quantity]),
        )
        self.add(
            f"[SENSe[1]:]{spec}[:DC]:RANGe[:UPPer]",
            lambda p: self._sense_range(quantity, p),
            lambda p: self.setting_text(self.range_answer(source.sense_range[quantity])),
        )
        self.add(
            f"[SENSe[1]:]{spec}[:DC]:RANGe:AUTO",
            lambda p: self._sense_auto(quantity, p),
            lambda p: str(int(source.sense_auto[quantity])),
        )
        self.add(f"SOURce[1]:{spec}:MODE", lambda p: choice(p, "FIXed"), lambda p: "FIX")

    def _trigger(self) -> None:
        self.add("READ", None, lambda p: self._read())
        self.add("INITiate[:IMMediate]", lambda p: None)
        self.add("ABORt", lambda p: None)
        for layer in ("ARM", "TRIGger"):
            self.add(f"{layer}[:SEQuence][:LAYer]:SOURce", lambda p: choice(p, "IMMediate"), lambda p: "IMM")
        self.add("ARM:COUNt", lambda p: None, lambda p: "1")
        self.add("TRIGger[:SEQuence]:COUNt", self._set_count, lambda p: str(self.trigger_count))
        self.add("TRIGger[:SEQuence]:DELay", self._set_trigger_delay, lambda p: self.setting_text(self.trigger_delay_s))
        self.add("SOURce[1]:DELay", self._set_source_delay, lambda p: self.setting_text(self.source_delay_s))
        self.switch("SOURce[1]:DELay:AUTO")
        self.switch("SOURce[1]:CLEar:AUTO")
        self.add("TRACe:FEED:CONTrol", lambda p: choice(p, "NEVer", "NEXT"), lambda p: "NEV")

    def _system(self) -> None:
        self.add("SYSTem:TIME", None, lambda p: f"{self.instrument.clock_s:.3f}")
        self.add("SYSTem:TIME:RESet", lambda p: self.instrument.restart_clock())
        self.add("SYSTem:PRESet", lambda p: self.instrument.preset())
        self.add("STATus:PRESet", lambda p: None)
        self.add("FORMat:ELEMents", self._set_elements, lambda p: ",".join(self.elements))
        self.add("FORMat[:DATA]", lambda p: choice(p, "ASCii"), lambda p: "ASC")
        self.switch("SYSTem:RSENse")
        self.switch("SYSTem:AZERo[:STATe]", True)
        self.switch("CALCulate[1]:STATe")
        self.switch("CALCulate2:NULL:STATe")

    def range_answer(self, full_scale: float) -> float:
        """A real 2400 answers with the 5 % that the range goes beyond its name."""
        return 1.05 * full_scale

    def _functions(self, parameters: Sequence[str]) -> list[str]:
        return [choice([p], "CURRent[:DC]", "VOLTage[:DC]") for p in parameters]

    def _functions_on(self, parameters: Sequence[str]) -> None:
        functions = self._functions(parameters)
        if not self.concurrent:
            self.measured = set(functions[-1:])
        else:
            self.measured.update(functions)

    def _function_names(self) -> list[str]:
        return [f'"{name}:DC"' for name in ("VOLT", "CURR") if name in self.measured]

    def _set_concurrent(self, parameters: Sequence[str]) -> None:
        self.concurrent = boolean(parameters)

    def _limit(self, quantity: str, parameters: Sequence[str]) -> None:
        """Not below 0.1 % of the measuring range (6430 manual A-3)."""
        limit = abs(number(parameters, -1e4, 1e4))
        self.source.range_for(quantity, limit)
        if not self.source.sense_auto[quantity] and limit < 1e-3 * self.source.sense_range[quantity] * (1 - 1e-9):
            raise ScpiError(822, "Too small for sense range")
        self.source.limit[quantity] = limit
        self.source.apply()

    def _sense_range(self, quantity: str, parameters: Sequence[str]) -> None:
        """Not of the sourced quantity, and not wider than the compliance (2400 manual 18-62 notes 1 and 3)."""
        if quantity == self.source.function:
            raise ScpiError(823, "Invalid with source read-back on")
        wanted = self.source.range_for(quantity, abs(number(parameters, -1e4, 1e4)) / 1.05)
        if wanted > self.source.range_for(quantity, self.source.limit[quantity]):
            raise ScpiError(824, "Cannot exceed compliance range")
        self.source.sense_range[quantity] = wanted
        self.source.sense_auto[quantity] = False
        self.source.apply()

    def _sense_auto(self, quantity: str, parameters: Sequence[str]) -> None:
        if quantity == self.source.function:
            raise ScpiError(823, "Invalid with source read-back on")
        self.source.sense_auto[quantity] = boolean(parameters)
        self.source.apply()

    def _set_count(self, parameters: Sequence[str]) -> None:
        self.trigger_count = int(number(parameters, 1, 2500))

    def _set_trigger_delay(self, parameters: Sequence[str]) -> None:
        self.trigger_delay_s = number(parameters, 0, 999.9999)
        self.source.delay_s = self.trigger_delay_s + self.source_delay_s

    def _set_source_delay(self, parameters: Sequence[str]) -> None:
        self.source_delay_s = number(parameters, 0, 999.9999)
        self.source.delay_s = self.trigger_delay_s + self.source_delay_s

    def _set_elements(self, parameters: Sequence[str]) -> None:
        specs = ("VOLTage", "CURRent", "RESistance", "TIME", "STATus")
        chosen = {choice([p], *specs) for p in parameters}
        self.elements = [element for element in _ELEMENTS if element in chosen]

    async def _read(self) -> str:
        if not self.source.output:
            raise ScpiError(803, "Not permitted with OUTPUT off")
        return ",".join([await self._one_reading() for _ in range(self.trigger_count)])

    async def _one_reading(self) -> str:
        result = await self.source.measure()
        values = {"RES": _NO_VALUE, "TIME": self.instrument.clock_s}
        status = 1 << 2 if self.front else 0
        for name, value, bit in (("VOLT", result.voltage_v, 11), ("CURR", result.current_a, 12)):
            if name not in self.measured:
                sourced = name == self.source.function
                values[name] = self.source.programmed(name) if sourced else _NO_VALUE
                continue
            status |= 1 << bit
            values[name] = _OVERFLOW if value is None else value
            status |= 1 if value is None else 0
        status |= 1 << (15 if self.source.function == "CURR" else 14)
        status |= (1 << 3 if result.real else 0) | (1 << 16 if result.by_range else 0)
        values["STAT"] = status
        return ",".join(f"{values[element]:+.6E}" for element in self.elements)
