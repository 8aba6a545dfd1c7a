"""Everything that is wrong with a file, collected, each with its key, its value and what would be accepted."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from drivers.errors import ConfigurationError, InvalidValue
from drivers.paths import expanded

T = TypeVar("T")


class Problems:
    """`source` is the file's name."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: list[str] = []

    def add(self, key: str, text: str) -> None:
        self.lines.append(f"{self.source}: {key} {text}")

    def raise_if_any(self) -> None:
        """Raises `ConfigurationError`."""
        if self.lines:
            raise ConfigurationError("\n".join(self.lines), problems=self.lines)


class Table:
    """One table of the file. `accepted` are its keys, None if any are (the caller checks them)."""

    def __init__(
        self, problems: Problems, path: str, values: Mapping[str, Any], accepted: tuple[str, ...] | None
    ) -> None:
        self.values = dict(values)
        self._problems = problems
        self._path = path
        if accepted is not None:
            for key in self.values:
                if key not in accepted:
                    self.problem(key, f"is not known; {suggestion(key, accepted)}")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def problem(self, key: str, text: str) -> None:
        self._problems.add(self._join(key), text)

    def table(self, key: str, accepted: tuple[str, ...] | None) -> Table:
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.problem(key, f"is {value!r}; accepted: a table [{self._join(key)}]")
            value = {}
        return type(self)(self._problems, self._join(key), value, accepted)

    def text(self, key: str, default: str | None) -> str:
        """Empty if missing and required (`default` None)."""
        if key not in self.values:
            if default is None:
                self.problem(key, "is missing")
            return default or ""
        value = self.values[key]
        if not isinstance(value, str) or (default is None and not value):
            self.problem(key, f"is {value!r}; accepted: text")
            return default or ""
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem(key, f"is {value!r}; accepted: a whole number from {low} to {high}")
            return default
        return value

    def texts(self, key: str, what: str) -> tuple[str, ...]:
        """A list of texts, called `what` in the error; empty if missing."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            self.problem(key, f"is {value!r}; accepted: a list of {what}")
            return ()
        return tuple(value)

    def boolean(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.problem(key, f"is {value!r}; accepted: true or false")
            return default
        return value

    def choice(self, key: str, default: str | None, accepted: tuple[str, ...]) -> str:
        value = self.text(key, default)
        if value and value not in accepted:
            self.problem(key, f"is {value!r}; {suggestion(value, accepted)}")
            return ""
        return value

    def checked(self, key: str, default: str, check: Callable[[Any], str]) -> str:
        """Through a function that raises `InvalidValue` with a message of the form "key is ..."."""
        value = self.values.get(key, default)
        try:
            return check(value)
        except InvalidValue as error:
            self.problem(key, error.message.removeprefix(f"{key} "))
            return default

    def path(self, key: str, folder: Path) -> Path | None:
        """A path, relative to `folder`; None if there is none, or none that can be one."""
        if not (text := self.text(key, "")):
            return None
        try:
            return expanded(text, folder)
        except InvalidValue as error:
            self.problem(key, f"is {error.message}")
            return None

    def file(self, key: str, folder: Path) -> Path | None:
        """A file that exists and can be read, relative to `folder`."""
        if (path := self.path(key, folder)) is None:
            return None
        try:
            path.open("rb").close()
        except OSError as error:
            self.problem(key, f"is {self.values[key]!r}, which cannot be read: {error.strerror}")
            return None
        return path

    def unknown(self, options_type: type[Any]) -> bool:
        """Report the keys that are no fields of a dataclass (a unit at the end may be left out)."""
        names = [field.name for field in dataclasses.fields(options_type)]
        wrong = [key for key in self.values if not any(name == key or name.startswith(f"{key}_") for name in names)]
        for key in wrong:
            self.problem(key, f"is not known; {suggestion(key, names)}")
        return bool(wrong)

    def _join(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def suggestion(text: str, accepted: Iterable[str]) -> str:
    """What is accepted, and which of it was probably meant."""
    names = list(accepted)
    close = difflib.get_close_matches(text, names, n=1)
    listed = f"accepted: {', '.join(names) or 'none'}"
    return f"{listed}; did you mean {close[0]!r}?" if close else listed
