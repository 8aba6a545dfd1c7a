"""The two command sets, as text. Nothing here talks to an instrument.

One message holds one command or one query: some instruments of this kind do not take several in a line, and an error
then names the command that caused it. Every number goes out in exponent form with ten digits, so that a picoampere
arrives as a picoampere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from .options import Keithley24xxOptions
from .plan import Plan
from .readings import RawReading


def exact(value: float) -> str:
    return f"{value:.9E}"


class Dialect(ABC):
    """What is said for each step. `wraps_at_s`: when the stamps of readings start again (None: see `DeviceTime`)."""

    name: ClassVar[str]
    wraps_at_s: ClassVar[float | None]
    #: makes the source let go of the cell, in this order: the off state is set before the output goes off
    off: ClassVar[tuple[str, ...]]
    #: queries that prove it, with the beginning of the answer that does
    off_proof: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]]

    @abstractmethod
    def tidy(self, plan: Plan, options: Keithley24xxOptions) -> list[str]:
        """Undo what somebody may have left set at the front panel. An instrument that knows one of these not is none
        the worse for it."""

    @abstractmethod
    def configure(self, plan: Plan, options: Keithley24xxOptions) -> list[str]:
        """Function, level zero, fixed source range, what to measure."""

    @abstractmethod
    def limit_query(self, plan: Plan) -> str: ...

    @abstractmethod
    def limit(self, plan: Plan, limit: float) -> str: ...

    @abstractmethod
    def limit_and_range(self, plan: Plan, limit: float, present: float) -> list[str]:
        """Compliance and measuring range in an order that the instrument takes; `present` is the compliance so far."""

    @abstractmethod
    def integration(self, plan: Plan, periods: float) -> list[str]: ...

    @abstractmethod
    def read_query(self) -> str: ...

    @abstractmethod
    def parse(self, line: str, plan: Plan) -> RawReading:
        """Raises `ProtocolError`, `DeviceError`."""

    def level(self, plan: Plan, value: float) -> str:
        return f":SOUR:{source_of(plan)}:LEV {exact(value)}"

    def level_query(self, plan: Plan) -> str:
        return f":SOUR:{source_of(plan)}:LEV?"

    def source_range_query(self, plan: Plan) -> str:
        return f":SOUR:{source_of(plan)}:RANG?"


def source_of(plan: Plan) -> str:
    return "CURR" if plan.sources_current else "VOLT"


def measured_of(plan: Plan) -> str:
    return "VOLT" if plan.sources_current else "CURR"


def terminals(options: Keithley24xxOptions) -> list[str]:
    return [f":ROUT:TERM {options.terminals.upper()[:4]}"] if options.terminals else []
