"""Reads tables of a TOML file key by key, and remembers everything that is wrong with them, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from drivers.errors import InvalidValue
from drivers.quantities import quantity

T = TypeVar("T")


class Reader:
    """One table. `where` is its name in messages; problems go to `problems`, which the readers of a file share."""

    def __init__(self, where: str, table: object, problems: list[str]) -> None:
        self.where = where
        self.problems = problems
        self._taken: set[str] = set()
        self._table: Mapping[str, Any] = table if isinstance(table, Mapping) else {}
        if not isinstance(table, Mapping):
            self.problem(f"is {table!r}; a table is accepted")

    def problem(self, text: str) -> None:
        self.problems.append(f"{self.where} {text}" if text.startswith("is ") else f"{self.where}: {text}")

    def has(self, key: str) -> bool:
        return key in self._table

    def raw(self, key: str, default: Any = None) -> Any:
        self._taken.add(key)
        return self._table.get(key, default)

    def take(self, key: str, convert: Callable[[Any], T], default: T) -> T:
        """The converted value, or `default` if it is not there or wrong (which is remembered)."""
        self._taken.add(key)
        if key not in self._table:
            return default
        try:
            return convert(self._table[key])
        except InvalidValue as error:
            self.problem(error.message)
            return default

    def need(self, key: str, convert: Callable[[Any], T], placeholder: T, example: str) -> T:
        """As `take`, of a key that has to be there."""
        if key not in self._table:
            self._taken.add(key)
            self.problem(f"{key} is missing; give one such as {example}")
            return placeholder
        return self.take(key, convert, placeholder)

    def done(self, extra: Iterable[str] = ()) -> None:
        """All known keys have been taken: what is left is not known."""
        known = sorted(self._taken | set(extra))
        for key in self._table:
            if key not in self._taken:
                self.problem(f"key {key!r} is not known; accepted: {', '.join(known)}")


def in_unit(
    unit: str, field: str, *, above: float | None = None, at_least: float | None = None
) -> Callable[[Any], float]:
    """A converter to SI for `Reader.take`."""

    def convert(value: Any) -> float:
        number = quantity(value, unit, field=field)
        if above is not None and not number > above:
            raise InvalidValue(f"{field} is {value!r}; more than {above:g} {unit} is accepted".rstrip())
        if at_least is not None and not number >= at_least:
            raise InvalidValue(f"{field} is {value!r}; at least {at_least:g} {unit} is accepted".rstrip())
        return number

    return convert


def text(field: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise InvalidValue(f"{field} is {value!r}; a text is accepted")
        return value.strip()

    return convert


def whole(field: str, *, at_least: int = 1) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise InvalidValue(f"{field} is {value!r}; a whole number of at least {at_least} is accepted")
        return value

    return convert


def yes_or_no(field: str) -> Callable[[Any], bool]:
    def convert(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidValue(f"{field} is {value!r}; true or false is accepted")
        return value

    return convert


def one_of(field: str, *choices: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in choices:
            raise InvalidValue(f"{field} is {value!r}; accepted: {', '.join(choices)}")
        return str(value)

    return convert
