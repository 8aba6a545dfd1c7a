"""Standard Test Data Format V4, for the programs of a semiconductor line: one file a sheet, a sheet being a wafer.

Written from the published specification (V4, Teradyne 1988): records of a two-byte length, type and sub-type, little
endian (CPU type 2). A `PTR` holds its result as a 32-bit float: the format knows no other; the CSV has all digits.
Written here because Semi-ATE-STDF, the one library that writes, has not been maintained since 2022, and thirteen small
records are all that is needed; the tests read it back with pystdf.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: flags of PRR: this part replaces an earlier one with the same coordinates; it failed; no pass or fail is told
_SUPERSEDES, _FAILED = 0x02, 0x08
#: flags of PTR: no pass or fail is told (it is the bin that decides); of its optional data: what is not there
_NO_VERDICT = 0x40
_NO_LOW, _NO_HIGH = 0x40, 0x80
_NO_SPEC_LIMITS = 0x0C | 0x02  # and a reserved bit that is to be 1
_MISSING_TIME = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Test:
    """One tested quantity: its number and name, its unit, and the limits (infinite where there is none)."""

    number: int
    name: str
    unit: str
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class Part:
    """One visit to one cell. `results` by test number; `site` from 1; `time_ms` is how long it took."""

    name: str
    row: int
    column: int
    head: int
    site: int
    hard: int
    soft: int
    passed: bool
    supersedes: bool
    time_ms: int
    results: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is said once. Times are UTC seconds since 1970."""

    lot: str
    sheet: str
    started_s: int
    finished_s: int
    node: str
    job: str
    program: str
    version: str
    operator: str = ""
    cell_height_mm: float = 0.0
    cell_width_mm: float = 0.0
    bins: Sequence[tuple[int, int, str, bool]] = field(default_factory=tuple)
    """soft, hard, name, passes"""


def write_stdf(sheet: Sheet, tests: Sequence[Test], parts: Sequence[Part]) -> bytes:
    """The file. Parts that another one supersedes stay in it; the counts are of those that stand."""
    sites = sorted({(part.head, part.site) for part in parts})
    standing = list({(part.row, part.column): part for part in parts}.values())
    good = sum(part.passed for part in standing)
    out = [_far(), _mir(sheet), *_sdr(sites), _wcr(sheet), _wir(sheet)]
    told: set[int] = set()
    for part in parts:
        out.append(_record(5, 10, struct.pack("<BB", part.head, part.site)))
        measured = 0
        for test in tests:
            if test.number in part.results and math.isfinite(part.results[test.number]):
                measured += 1
                out.append(_ptr(part, test, first=test.number not in told))
                told.add(test.number)
        out.append(_prr(part, measured))
    out.append(_wrr(sheet, len(standing), len(parts) - len(standing), good))
    out += [_tsr(test, parts) for test in tests]
    out += _bin_records(sheet, standing)
    out.append(_record(1, 30, struct.pack("<BBIIIII", 255, 255, len(parts), len(parts) - len(standing), 0, good, 0)))
    out.append(_record(1, 20, struct.pack("<I", sheet.finished_s) + b" " + _text("") + _text("")))
    return b"".join(out)


def _record(kind: int, sub: int, body: bytes) -> bytes:
    if len(body) > 0xFFFF:
        raise ValueError(f"record {kind}/{sub} has {len(body)} bytes; at most 65535 fit")
    return struct.pack("<HBB", len(body), kind, sub) + body


def _text(value: str) -> bytes:
    data = value.encode("latin-1", "replace")[:255]
    return bytes((len(data),)) + data


def _far() -> bytes:
    return _record(0, 10, struct.pack("<BB", 2, 4))


def _mir(sheet: Sheet) -> bytes:
    head = (
        struct.pack("<IIB", sheet.started_s, sheet.started_s, 1) + b"P" + b" " + b" " + struct.pack("<H", 65535) + b" "
    )
    texts = (
        sheet.lot, "thin-film battery", sheet.node, "picobridge", sheet.job, sheet.version, "", sheet.operator,
        sheet.program, sheet.version,
    )  # fmt: skip
    return _record(1, 10, head + b"".join(map(_text, texts)))


def _sdr(sites: Sequence[tuple[int, int]]) -> Iterable[bytes]:
    for head in sorted({head for head, _ in sites}):
        own = bytes(site for h, site in sites if h == head)
        yield _record(1, 80, struct.pack("<BBB", head, 1, len(own)) + own + b"".join(_text("") for _ in range(16)))


def _wcr(sheet: Sheet) -> bytes:
    """Cell size in millimetres (unit 3); x to the right, y up, the web along x: no flat."""
    size = struct.pack("<fffB", 0.0, sheet.cell_height_mm, sheet.cell_width_mm, 3)
    return _record(2, 30, size + b" " + struct.pack("<hh", -32768, -32768) + b"R" + b"U")


def _wir(sheet: Sheet) -> bytes:
    return _record(2, 10, struct.pack("<BBI", 1, 255, sheet.started_s) + _text(sheet.sheet))


def _wrr(sheet: Sheet, parts: int, retests: int, good: int) -> bytes:
    body = struct.pack("<BBIIIIII", 1, 255, sheet.finished_s, parts, retests, 0, good, 0xFFFFFFFF)
    return _record(2, 20, body + _text(sheet.sheet) + b"".join(_text("") for _ in range(5)))


def _ptr(part: Part, test: Test, *, first: bool) -> bytes:
    body = struct.pack("<IBBBBf", test.number, part.head, part.site, _NO_VERDICT, 0, part.results[test.number])
    body += _text(test.name if first else "") + _text("")
    if first:
        optional = _NO_SPEC_LIMITS | (0 if math.isfinite(test.low) else _NO_LOW)
        optional |= 0 if math.isfinite(test.high) else _NO_HIGH
        low, high = (value if math.isfinite(value) else 0.0 for value in (test.low, test.high))
        body += struct.pack("<Bbbbff", optional, 0, 0, 0, low, high)
        body += _text(test.unit) + _text("%9.4g") + _text("%9.4g") + _text("%9.4g") + struct.pack("<ff", 0.0, 0.0)
    return _record(15, 10, body)


def _prr(part: Part, tests: int) -> bytes:
    flags = (_SUPERSEDES if part.supersedes else 0) | (0 if part.passed else _FAILED)
    time_ms = min(max(part.time_ms, 0), _MISSING_TIME)
    body = struct.pack(
        "<BBBHHHhhI", part.head, part.site, flags, tests, part.hard, part.soft, part.column, part.row, time_ms
    )
    return _record(5, 20, body + _text(part.name) + _text("") + b"\0")


def _tsr(test: Test, parts: Sequence[Part]) -> bytes:
    values = [part.results[test.number] for part in parts if math.isfinite(part.results.get(test.number, math.nan))]
    body = struct.pack("<BB", 255, 255) + b"P" + struct.pack("<IIII", test.number, len(values), 0xFFFFFFFF, 0)
    body += _text(test.name) + _text("") + _text("")
    # bits set: those of the figures below that are not valid, and those that are reserved
    low, high, total = (min(values), max(values), math.fsum(values)) if values else (0.0, 0.0, 0.0)
    squares = math.fsum(value * value for value in values)
    given = 0b11001000 | (0x04) | (0 if values else 0b00110011)
    body += struct.pack("<Bfffff", given, 0.0, low, high, _single(total), _single(squares))
    return _record(10, 30, body)


def _single(value: float) -> float:
    """Within what 32 bits hold."""
    return max(-3.4e38, min(3.4e38, value))


def _bin_records(sheet: Sheet, standing: Sequence[Part]) -> Iterable[bytes]:
    hard: dict[int, tuple[int, bool, list[str]]] = {}
    for soft, number, name, passes in sheet.bins:
        count = sum(part.soft == soft for part in standing)
        before, passed, names = hard.get(number, (0, False, []))
        hard[number] = (before + count, passed or passes, [*names, name])
        verdict = b"P" if passes else b"F"
        yield _record(1, 50, struct.pack("<BBHI", 255, 255, soft, count) + verdict + _text(name))
    for number, (count, passed, names) in sorted(hard.items()):
        verdict = b"P" if passed else b"F"
        yield _record(1, 40, struct.pack("<BBHI", 255, 255, number, count) + verdict + _text(", ".join(names)))
