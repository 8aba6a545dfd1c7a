"""The variables of a running script, and the line it is at."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from .circuit import Measured
from .encoding import encode, literal

_NS = 1_000_000_000
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip


class RuntimeFault(Exception):
    """The instrument gives up: no `on_finished:`, and the cell stays as it is."""

    def __init__(self, code: int, line: int) -> None:
        super().__init__(f"!{code:04X}: Line {line}")
        self.code, self.line = code, line


@dataclass
class Variable:
    value: float = 0.0
    kind: str = "aa"
    integer: bool = False
    status: int = 0
    range_index: int | None = None
    measured: bool = False

    def text(self) -> str:
        shown = self.kind + encode(self.value, integer=self.integer)
        if self.measured:
            shown += f",1{self.status:X}"
            if self.range_index is not None:
                shown += f",2{self.range_index:02X}"
            if self.kind == "ba":
                shown += ",40"
        return shown


class Memory:
    """Declared variables by name. `line` is where the script is, for its errors."""

    def __init__(self) -> None:
        self.line = 0
        self._variables: dict[str, Variable] = {}

    def fault(self, code: int) -> RuntimeFault:
        return RuntimeFault(code, self.line)

    def declare(self, name: str) -> None:
        self._variables[name] = Variable()

    def set_number(self, name: str, text: str, kind: str) -> None:
        number = literal(text)
        self._variables[name] = Variable(self.number(text), kind, integer=bool(number and number[1]))

    def set_time(self, name: str, seconds: float) -> None:
        self._variables[name] = Variable(seconds, "eb")

    def copy(self, source: str, target: str) -> None:
        self._variables[target] = replace(self._variables[source])

    def text(self, name: str) -> str:
        """As in a packet."""
        return self._variables[name].text()

    def store(self, name: str, kind: str, measured: Measured) -> None:
        """What was set has no metadata, what was measured has."""
        self._variables[name] = Variable(
            measured.value,
            kind,
            status=measured.status,
            range_index=measured.range_index,
            measured=kind not in ("da", "dc"),
        )

    def compute(self, command: str, target: str, operand: str) -> None:
        variable, number = self._variables[target], self.number(operand)
        if command == "add_var":
            variable.value += number
        elif command == "sub_var":
            variable.value -= number
        elif command == "mul_var":
            variable.value *= number
        elif number == 0:
            raise self.fault(0x0028)
        else:
            variable.value /= number

    def number(self, text: str) -> float:
        return float(self._exact(text))

    def ns(self, text: str) -> int:
        return round(self._exact(text) * _NS)

    def holds(self, left: str, comparison: str, right: str) -> bool:
        return _COMPARE[comparison](self.number(left), self.number(right))

    def _exact(self, text: str) -> Decimal:
        number = literal(text)
        return Decimal(repr(self._variables[text].value)) if number is None else number[0]
