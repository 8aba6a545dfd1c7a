"""A command parser for SCPI: short and long forms, optional nodes, compound messages, parameters.

Written from the rules of SCPI-1999 volume 1 (chapters 6 and 7) and IEEE 488.2: a mnemonic is taken in its short form
(the capitals) or in full, nothing between; after `;` a header goes on in the path of the one before unless it starts
with `:` or `*`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

Setter = Callable[[Sequence[str]], object]
Getter = Callable[[Sequence[str]], str | Awaitable[str]]


class ScpiError(Exception):
    """An entry for the error queue."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


def undefined_header() -> ScpiError:
    return ScpiError(-113, "Undefined header")


def header_pattern(spec: str) -> re.Pattern[str]:
    """`"SOURce[1]:CURRent[:LEVel]"` as a pattern for headers in capitals without a leading colon."""

    def mnemonic(match: re.Match[str]) -> str:
        word = match[0]
        short = "".join(c for c in word if c.isupper() or c.isdigit() or c == "*")
        full = word.upper()
        return re.escape(full) if short == full else f"(?:{re.escape(full)}|{re.escape(short)})"

    text = re.sub(r"[A-Za-z*][A-Za-z]*\d*", mnemonic, spec.replace("[1]", "§"))
    return re.compile(text.replace("[", "(?:").replace("]", ")?").replace("§", "1?") + r"\Z")


class Commands:
    """The headers that one instrument knows."""

    def __init__(self) -> None:
        self._entries: list[tuple[re.Pattern[str], Setter | None, Getter | None]] = []

    def add(self, spec: str, setter: Setter | None = None, getter: Getter | None = None) -> None:
        self._entries.append((header_pattern(spec), setter, getter))

    def find(self, header: str) -> tuple[Setter | None, Getter | None]:
        for pattern, setter, getter in self._entries:
            if pattern.match(header):
                return setter, getter
        raise undefined_header()


def units(message: str) -> list[tuple[str, bool, list[str]]]:
    """The parts of a message as (header in capitals from the root, whether it asks, parameters)."""
    found: list[tuple[str, bool, list[str]]] = []
    path = ""
    for unit in split_outside_quotes(message, ";"):
        text = unit.strip()
        if not text:
            continue
        header, _, rest = text.partition(" ")
        header = header.upper()
        asks = header.endswith("?")
        header = header.removesuffix("?")
        if header.startswith("*"):
            full = header
        else:
            full = header[1:] if header.startswith(":") else path + header
            path = full[: full.rfind(":") + 1]
        parameters = [p.strip() for p in split_outside_quotes(rest, ",")] if rest.strip() else []
        found.append((full, asks, parameters))
    return found


def split_outside_quotes(text: str, separator: str) -> list[str]:
    parts, quote, start = [], "", 0
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == separator:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")


def one(parameters: Sequence[str]) -> str:
    if not parameters:
        raise ScpiError(-109, "Missing parameter")
    if len(parameters) > 1:
        raise ScpiError(-108, "Parameter not allowed")
    return parameters[0]


def number(parameters: Sequence[str], low: float, high: float) -> float:
    text = one(parameters)
    named = {"MIN": low, "MINIMUM": low, "MAX": high, "MAXIMUM": high}
    if text.upper() in named:
        return named[text.upper()]
    if not _NUMBER.match(text):
        raise ScpiError(-104, "Data type error")
    value = float(text)
    if not low <= value <= high:
        raise ScpiError(-222, "Parameter data out of range")
    return value


def boolean(parameters: Sequence[str]) -> bool:
    text = one(parameters).upper()
    if text in ("ON", "1"):
        return True
    if text in ("OFF", "0"):
        return False
    raise ScpiError(-104, "Data type error")


def choice(parameters: Sequence[str], *specs: str) -> str:
    """The short form of the one of `specs` ("CURRent") that is meant; quotes are allowed."""
    text = one(parameters).strip("'\"").upper()
    for spec in specs:
        if header_pattern(spec).match(text):
            return "".join(c for c in re.sub(r"\[.*?\]", "", spec) if c.isupper() or c.isdigit())
    raise ScpiError(-224, "Illegal parameter value")
