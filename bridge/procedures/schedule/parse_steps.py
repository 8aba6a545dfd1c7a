"""Reads one step of a schedule: its kind, its own keys, and the conditions that end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from drivers.errors import InvalidValue
from drivers.quantities import quantity

from . import amounts, language
from .amounts import Amount
from .language import NEXT, REGISTERS, STEP_QUANTITIES, Condition, Step, Test, Then
from .reader import Reader, in_unit, text, whole, yes_or_no

_OTHER_NAMES = {
    "ocv": "open_circuit",
    "ocp": "open_circuit",
    "constant_current": "cc",
    "constant_voltage": "cv",
    "cc_cv": "cccv",
    "cyclic_voltammetry": "sweep",
    "eis": "impedance",
}


@dataclass(frozen=True, slots=True)
class CellFacts:
    """What steps refer to: the cell's area and capacity, the sampling unless a step says other, the user's counters."""

    area_m2: float | None
    capacity_c: float | None
    interval_s: float
    dv_dt_window_s: float
    counters: tuple[str, ...]


class StepReader:
    def __init__(self, number: int, table: object, facts: CellFacts, problems: list[str]) -> None:
        name = table.get("name") if isinstance(table, Mapping) else None
        self._named = isinstance(name, str) and bool(name.strip())
        self._reader = Reader(f"step {number}" + (f" {name!r}" if self._named else ""), table, problems)
        self._number = number
        self._facts = facts

    def read(self) -> Step | None:
        """The step, with stand-ins for what is wrong (which is remembered); None if even its kind is not known."""
        r = self._reader
        name = r.take("name", text("name"), f"step {self._number}")
        do = r.raw("do")
        kind = str(do).strip().lower().replace("-", "_").replace(" ", "_")
        kind = _OTHER_NAMES.get(kind, kind)
        make = self._kinds().get(kind)
        if make is None:
            accepted = ", ".join(self._kinds())
            r.problem(f"do is missing; accepted: {accepted}" if do is None else f"do is {do!r}; accepted: {accepted}")
            return None
        step = make({"name": name, "number": self._number})
        r.done()
        return step

    def _kinds(self) -> Mapping[str, Callable[[dict[str, Any]], Step]]:
        return {
            "rest": lambda common: language.Rest(**self._measured(common)),
            "open_circuit": lambda common: language.OpenCircuit(**self._measured(common)),
            "cc": lambda common: self._constant_current(common, 0),
            "charge": lambda common: self._constant_current(common, 1),
            "discharge": lambda common: self._constant_current(common, -1),
            "cv": self._constant_voltage,
            "cccv": self._constant_current_voltage,
            "pulse": self._pulse,
            "sweep": self._sweep,
            "impedance": lambda common: self._procedure(common, "impedance"),
            "procedure": lambda common: self._procedure(common, ""),
            "ask": self._ask,
            "set": self._set,
            "branch": self._branch,
            "loop": self._loop,
            "cycle": lambda common: language.NextCycle(**common),
        }

    def _measured(self, common: dict[str, Any], direction: int = 0) -> dict[str, Any]:
        r, facts = self._reader, self._facts
        return {
            **common,
            "until": self._until(direction),
            "interval_s": r.take("interval", in_unit("s", "interval", above=0), facts.interval_s),
            "dv_dt_window_s": r.take("dv_dt_window", in_unit("s", "dv_dt_window", above=0), facts.dv_dt_window_s),
        }

    def _current(self, key: str, *, unsigned: bool) -> Amount:
        def convert(value: Any) -> Amount:
            amount = amounts.current(value, self._facts.area_m2, field=key)
            amount.si(self._facts.capacity_c)
            if unsigned and amount.value <= 0:
                raise InvalidValue(f"{key} is {value!r}; an unsigned current such as '5 pA' or 'C/20' is accepted")
            if amount.value == 0:
                raise InvalidValue(f"{key} is {value!r}; for no current use do = 'rest' or 'open_circuit'")
            return amount

        return self._reader.need(key, convert, Amount(1e-12), "'5 pA', '50 uA/cm2' or 'C/20'")

    def _voltage(self, key: str) -> float:
        return self._reader.need(key, in_unit("V", key), 0.0, "'4.2 V'")

    def _constant_current(self, common: dict[str, Any], direction: int) -> Step:
        current = self._current("current", unsigned=direction != 0)
        signed = -current if direction < 0 else current
        return language.ConstantCurrent(**self._measured(common, 1 if signed.value > 0 else -1), current=signed)

    def _constant_voltage(self, common: dict[str, Any]) -> Step:
        return language.ConstantVoltage(
            **self._measured(common),
            voltage_v=self._voltage("voltage"),
            current_limit=self._current("current_limit", unsigned=True),
        )

    def _constant_current_voltage(self, common: dict[str, Any]) -> Step:
        return language.ConstantCurrentVoltage(
            **self._measured(common),
            current=self._current("current", unsigned=False),
            voltage_v=self._voltage("voltage"),
        )

    def _pulse(self, common: dict[str, Any]) -> Step:
        r = self._reader
        current = self._current("current", unsigned=False)
        return language.Pulse(
            **self._measured(common, 1 if current.value > 0 else -1),
            current=current,
            duration_s=r.need("duration", in_unit("s", "duration", above=0), 1.0, "'10 s'"),
            before_s=r.take("before", in_unit("s", "before", above=0), 10.0),
            after_s=r.take("after", in_unit("s", "after", at_least=0), 0.0),
            delays_s=r.take("delays", delays, (0.01, 1.0)),
        )

    def _sweep(self, common: dict[str, Any]) -> Step:
        r = self._reader
        return language.Sweep(
            **self._measured(common),
            begin_v=r.take("begin", in_unit("V", "begin"), None),
            vertex1_v=self._voltage("vertex1"),
            vertex2_v=self._voltage("vertex2"),
            rate_v_per_s=r.need("rate", in_unit("V/s", "rate", above=0), 1e-3, "'0.1 mV/s'"),
            step_v=r.take("step", in_unit("V", "step", above=0), 0.005),
            cycles=r.take("cycles", whole("cycles"), 1),
            current_limit=self._current("current_limit", unsigned=True),
        )

    def _procedure(self, common: dict[str, Any], procedure: str) -> Step:
        r = self._reader
        if not procedure:
            procedure = r.need("procedure", text("procedure"), "", "'impedance'")
        parameters = r.raw("parameters", {})
        if not isinstance(parameters, Mapping):
            r.problem(f"parameters is {parameters!r}; a table such as {{ points = 21 }} is accepted")
            parameters = {}
        return language.Perform(**common, procedure=procedure, parameters=dict(parameters))

    def _ask(self, common: dict[str, Any]) -> Step:
        r = self._reader

        def choices(value: Any) -> dict[str, Then]:
            if isinstance(value, list) and value and all(isinstance(c, str) for c in value):
                return dict.fromkeys(value, NEXT)
            if isinstance(value, Mapping) and value:
                return {str(choice): self._then(then, f"choices.{choice}") for choice, then in value.items()}
            raise InvalidValue(f"choices is {value!r}; a list of texts or a table of answer = 'goto NAME' is accepted")

        return language.Ask(
            **common,
            text=r.need("text", text("text"), "", "'Is the shutter closed?'"),
            choices=r.take("choices", choices, {"done": NEXT}),
        )

    def _set(self, common: dict[str, Any]) -> Step:
        r = self._reader

        def values(key: str) -> dict[str, float]:
            table = r.raw(key, {})
            if not isinstance(table, Mapping):
                r.problem(f"{key} is {table!r}; a table such as {{ count = 1 }} is accepted")
                return {}
            for name in table:
                if name not in self._facts.counters:
                    known = ", ".join(self._facts.counters) or "none is there: declare it in [counters]"
                    r.problem(f"{key} names the counter {name!r}; accepted: {known}")
            inner = Reader(f"{r.where}: {key}", table, r.problems)
            return {name: inner.take(name, in_unit("1", name), 0.0) for name in table}

        step = language.Set(**common, values=values("set"), added=values("add"))
        if not step.values and not step.added:
            r.problem("sets nothing; give set = { count = 0 } or add = { count = 1 }")
        return step

    def _branch(self, common: dict[str, Any]) -> Step:
        otherwise = self._reader.take("otherwise", lambda value: self._then(value, "otherwise"), NEXT)
        return language.Branch(**common, until=self._until(0), otherwise=otherwise)

    def _loop(self, common: dict[str, Any]) -> Step:
        r = self._reader
        return language.Loop(
            **common,
            until=self._until(0),
            to=r.need("to", text("to"), "", "the name of an earlier step"),
            times=r.take("times", whole("times"), None),
            counts_cycles=r.take("counts_cycles", yes_or_no("counts_cycles"), None),
        )

    # --- conditions ------------------------------------------------------------------------------------------------

    def _until(self, direction: int) -> tuple[Condition, ...]:
        """Conditions in the order written. `direction` is the current's sign, which a bare voltage needs."""
        r = self._reader
        given = r.raw("until", [])
        tables = given if isinstance(given, list) else [given]
        found = []
        for place, table in enumerate(tables, 1):
            where = f"{r.where}: until[{place}]" if isinstance(given, list) else f"{r.where}: until"
            condition = self._condition(Reader(where, table, r.problems), table, direction)
            if condition is not None:
                found.append(condition)
        return tuple(found)

    def _condition(self, reader: Reader, table: object, direction: int) -> Condition | None:
        if not isinstance(table, Mapping):
            return None  # the reader has said so
        then = reader.take("then", lambda value: self._then(value, "then"), NEXT)
        tests = []
        accepted = (*STEP_QUANTITIES, *REGISTERS, *self._facts.counters)
        for key in table:
            if key == "then":
                continue
            if key not in accepted:
                reader.problem(f"{key!r} cannot be tested; accepted: {', '.join(accepted)}, and then")
                reader.raw(key)
                continue
            test = reader.take(key, partial(self._test, key, direction), None)
            if test is not None:
                tests.append(test)
        if not tests and not [key for key in table if key != "then"]:
            reader.problem("has no test; give one such as voltage = '>= 4.2 V'")
        return Condition(tuple(tests), then) if tests else None

    def _test(self, key: str, direction: int, value: Any) -> Test:
        operator, rest = amounts.comparison(value)
        unit, usual = STEP_QUANTITIES.get(key) or REGISTERS.get(key) or ("1", ">=")
        if operator is None:
            operator = usual or {1: ">=", -1: "<="}.get(direction, "")
        if not operator:
            raise InvalidValue(f"{key} is {value!r}; say in which direction, such as '>= {rest}' or '<= {rest}'")
        if key == "current":
            limit = amounts.current(rest, self._facts.area_m2, field=key)
            limit.si(self._facts.capacity_c)
            if limit.value <= 0:
                raise InvalidValue(f"{key} is {value!r}; it is judged by its magnitude: an unsigned one is accepted")
        elif unit == "C":
            limit = amounts.charge(rest, self._facts.area_m2, field=key)
            limit.si(self._facts.capacity_c)
        else:
            limit = Amount(quantity(rest, unit, field=key), False, str(rest))
        if key in ("time", "capacity", "energy") and operator in ("<", "<="):
            raise InvalidValue(f"{key} is {value!r}; it only grows: '>= {rest}' is accepted")
        return Test(key, operator, limit)

    def _then(self, value: Any, field: str) -> Then:
        words = str(value).split(None, 1)
        if words == ["next"] or words == ["stop"] or words == ["fault"]:
            return Then(words[0])
        if len(words) == 2 and words[0] == "goto":
            return Then("goto", words[1].strip())
        raise InvalidValue(f"{field} is {value!r}; accepted: next, stop, fault, goto NAME")


def delays(value: Any) -> tuple[float, ...]:
    """Delays after a current step, in seconds, in order. Raises `InvalidValue`."""
    given = value if isinstance(value, list | tuple) else [part for part in str(value).split(",") if part.strip()]
    found = tuple(sorted(quantity(part, "s", field="delays") for part in given))
    if not found or found[0] <= 0:
        raise InvalidValue(f"delays is {value!r}; times after the step such as ['10 ms', '1 s'] are accepted")
    return found
