"""What a configuration can say about one instrument."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InvalidValue
from ...interfaces import Options, option

TERMINATORS = {"lf": b"\n", "cr": b"\r", "crlf": b"\r\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keithley24xxOptions(Options):
    current_range: float | None = option(
        None, unit="A", help="full scale of the current range to use always, such as '1 nA'; otherwise by the current"
    )
    open_circuit_range: float | None = option(
        None,
        unit="A",
        help="range whose 0 A source stands for open circuit; otherwise current_range, or the range used last, "
        "or the lowest that settles within 0.1 s",
    )
    compliance: float = option(
        5.0,
        unit="V",
        help="voltage limit of the current source while nothing narrower is known; above the cell's voltage",
    )
    compliance_margin: float = option(
        0.1, unit="V", help="how far outside the voltage window the instrument's own limit is set"
    )
    current_compliance: float = option(
        100e-6, unit="A", help="current limit of the voltage source for techniques that name none"
    )
    nplc: float | None = option(
        None, unit="1", help="integration in mains periods, 0.01 to 10; otherwise 100 ms, or less for shorter intervals"
    )
    remote_sense: bool = option(False, help="four-wire sensing")
    terminals: str = option("", help="'front' or 'rear'; empty leaves the instrument's own setting")
    terminator: str = option(
        "auto", help="end of a command: 'lf', 'cr' or 'crlf'; 'auto' is crlf on serial wires and lf elsewhere"
    )
    timeout: float = option(3.0, unit="s", help="how long an answer may take beyond the measuring itself")

    def __post_init__(self) -> None:
        for name in ("compliance", "compliance_margin", "current_compliance", "timeout"):
            if getattr(self, name) <= 0:
                raise InvalidValue(f"option {name!r} is {getattr(self, name):g}; it must be greater than zero")
        if self.nplc is not None and not 0.01 <= self.nplc <= 10:
            raise InvalidValue(f"option 'nplc' is {self.nplc:g}; accepted: 0.01 to 10")
        if self.terminals not in ("", "front", "rear"):
            raise InvalidValue(f"option 'terminals' is {self.terminals!r}; accepted: 'front', 'rear', ''")
        if self.terminator not in ("auto", *TERMINATORS):
            accepted = ", ".join(("auto", *TERMINATORS))
            raise InvalidValue(f"option 'terminator' is {self.terminator!r}; accepted: {accepted}")
