"""From the text of a schedule (TOML) to the frozen language. Wrong values are all told at once, each with its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drivers import toml_text
from drivers.errors import InvalidValue
from drivers.quantities import quantity

from . import amounts
from .amounts import Amount
from .language import REGISTERS, Loop, NextCycle, Safety, Schedule, Step
from .parse_steps import CellFacts, StepReader
from .reader import Reader, in_unit, one_of, text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse(
    source: str, *, file: str = "schedule", area_m2: float | None = None, capacity_c: float | None = None
) -> Schedule:
    """The schedule in `source`. `area_m2` and `capacity_c` override the file's.

    Raises `InvalidValue` whose message has one line for each thing that is wrong, naming `file`, step, key, value and
    what is accepted. What a schedule means (unreachable steps, ends that never come) is `validate`'s.
    """
    try:
        tables = toml_text.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(
            f"{file} is not valid TOML: {error}", hint="https://toml.io shows how it is written."
        ) from None
    problems: list[str] = []
    schedule = _read(tables, problems, area_m2, capacity_c, source)
    refuse(file, problems)
    return schedule


def refuse(file: str, problems: list[str]) -> None:
    """Raises `InvalidValue` if there are any."""
    if problems:
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        lines = "".join(f"\n  {problem}" for problem in problems) if len(problems) > 1 else f": {problems[0]}"
        raise InvalidValue(f"{file} has {count}{lines}", problems=problems)


def _read(
    tables: Mapping[str, Any], problems: list[str], area_m2: float | None, capacity_c: float | None, source: str
) -> Schedule:
    top = Reader("top level", tables, problems)
    name = top.take("name", text("name"), "schedule")
    cell = Reader("[cell]", top.raw("cell", {}), problems)
    given_area = cell.take("area", in_unit("m**2", "area", above=0), None)
    area = given_area if area_m2 is None else area_m2
    reference = cell.take("reference", one_of("reference", "nominal", "theoretical", "measured"), "nominal")
    capacities = {key: _capacity(cell, key, area) for key in ("capacity", "theoretical_capacity")}
    stray = cell.take("stray", in_unit("F", "stray", at_least=0), 0.0)
    cell.done()
    key = "theoretical_capacity" if reference == "theoretical" else "capacity"
    chosen = capacities[key] if capacity_c is None else capacity_c
    if chosen is None and reference != "nominal":
        cell.problem(f"reference is {reference!r}, which needs {key}, such as '1.15 pAh'")
    record = Reader("[record]", top.raw("record", {}), problems)
    interval = record.take("interval", in_unit("s", "interval", above=0), 1.0)
    window = record.take("dv_dt_window", in_unit("s", "dv_dt_window", above=0), 60.0)
    record.done()
    counters = _counters(top.raw("counters", {}), problems)
    facts = CellFacts(area, chosen, interval, window, tuple(counters))
    given = top.raw("step", [])
    if not isinstance(given, list) or not given:
        top.problem("there is no [[step]]; a schedule has one at least")
        given = []
    steps: list[Step] = []
    for number, table in enumerate(given, 1):
        step = StepReader(number, table, facts, problems).read()
        if step is not None:
            steps.append(step)
    safety = _safety(Reader("[safety]", top.raw("safety", {}), problems), area)
    top.done()
    return Schedule(
        name=name,
        steps=_with_cycles(steps),
        safety=safety,
        area_m2=area,
        capacity_c=chosen,
        reference=reference,
        stray_f=stray,
        counters=counters,
        text=source,
    )


def _capacity(cell: Reader, key: str, area_m2: float | None) -> float | None:
    def convert(value: Any) -> float | None:
        amount = amounts.charge(value, area_m2, field=key)
        if amount.of_reference or amount.value <= 0:
            raise InvalidValue(f"{key} is {value!r}; a charge such as '1.15 pAh' or '115 uAh/cm2' is accepted")
        return amount.value

    return cell.take(key, convert, None)


def _counters(table: Any, problems: list[str]) -> dict[str, float]:
    reader = Reader("[counters]", table, problems)
    found: dict[str, float] = {}
    for name in table if isinstance(table, Mapping) else ():
        if not _NAME.fullmatch(name) or name in REGISTERS or name in ("then", "time", "voltage", "current"):
            reader.problem(f"{name!r} cannot be a counter: letters, digits and _ are accepted, and no register's name")
        found[name] = reader.take(name, in_unit("1", name), 0.0)
    return found


def _safety(reader: Reader, area_m2: float | None) -> Safety:
    def pair(value: Any) -> tuple[float | None, float | None]:
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidValue(f"voltage is {value!r}; a pair such as ['1.8 V', '4.3 V'] is accepted")
        low, high = (quantity(v, "V", field="voltage") for v in value)
        if low >= high:
            raise InvalidValue(f"voltage is {value!r}; the lower limit comes first")
        return low, high

    def most(value: Any) -> Amount | None:
        amount = amounts.current(value, area_m2, field="current_max")
        if amount.value <= 0:
            raise InvalidValue(f"current_max is {value!r}; an unsigned current such as '1 nA' is accepted")
        return amount

    nothing: tuple[float | None, float | None] = (None, None)
    low, high = reader.take("voltage", pair, nothing)
    safety = Safety(
        voltage_min_v=low,
        voltage_max_v=high,
        current_max=reader.take("current_max", most, None),
        charge_factor=reader.take("charge_factor", in_unit("1", "charge_factor", above=1), 1.2),
        step_time_s=reader.take("step_time", in_unit("s", "step_time", above=0), 172_800.0),
    )
    reader.done()
    return safety


def _with_cycles(steps: list[Step]) -> tuple[Step, ...]:
    """Loops that do not say whether they count cycles: the outermost ones do, unless steps of their own count them."""
    counted = any(isinstance(step, NextCycle) for step in steps)
    places = {step.name: place for place, step in enumerate(steps)}
    spans = {place: places[step.to] for place, step in enumerate(steps) if isinstance(step, Loop) and step.to in places}
    result: list[Step] = []
    for place, step in enumerate(steps):
        if isinstance(step, Loop) and step.counts_cycles is None:
            begin = spans.get(place, place)
            inner = any(other > place and spans[other] <= begin for other in spans)
            step = replace(step, counts_cycles=not inner and not counted)
        result.append(step)
    return tuple(result)
