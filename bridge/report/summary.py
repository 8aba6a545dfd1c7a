"""What a page says about one result: the types that page modules return, and pieces that most of them need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from drivers.samples import SampleBlock

#: Rows of cells, as text that a person reads: units and digits are the page's to choose (`bridge.analysis.formatting`).
Rows = Sequence[Sequence[str]]

#: Samples of a run, by the name of the device that took them, in the order in which they came.
Samples = Mapping[str, Sequence[SampleBlock]]

Tone = Literal["pass", "fail", "doubt"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a header row. `title` may be empty where the page has only one table."""

    title: str
    header: Sequence[str]
    rows: Rows


@dataclass(frozen=True, slots=True)
class Summary:
    """A result in words. All text is plain; the page escapes it.

    `verdict` is a word or two ("pass", "completed", "short"), `tone` its colour, `reason` one sentence why. `rows` are
    pairs of name and value. `method` are pairs of name and how that number was obtained (method, samples, window,
    assumptions), shown below the numbers. `code` is a title and a program, shown last.
    """

    title: str
    verdict: str = ""
    tone: Tone = "doubt"
    reason: str = ""
    rows: Rows = ()
    tables: Sequence[Table] = ()
    method: Rows = ()
    code: tuple[str, str] = ("", "")


def blocks_of(samples: Samples) -> list[SampleBlock]:
    """All blocks, device after device."""
    return [block for blocks in samples.values() for block in blocks]


def instrument(result: Mapping[str, Any]) -> str:
    """Who measured, from the result's `instrument`: "Keithley 6430, serial number 1, firmware 2 (pstat)"."""
    who = result.get("instrument") or {}
    name = " ".join(str(who[key]) for key in ("make", "model") if who.get(key))
    serial = f", serial number {who['serial']}" if who.get("serial") else ""
    firmware = f", firmware {who['firmware']}" if who.get("firmware") else ""
    device = str(who.get("device", ""))
    return f"{name}{serial}{firmware} ({device})" if name else device


def when(time_ns: int) -> str:
    """A UTC time as text, to the second."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
