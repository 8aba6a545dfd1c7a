"""Numbers of MethodSCRIPT measurement packets, exactly.

A packet is `P` and variables separated by `;`. A variable is two letters (its type), seven hexadecimal digits, one SI
prefix and metadata separated by `,`:

    Pda7F85F3Fu;ba48D503Dp,10,288

value = (digits - 0x8000000) * prefix. A space is the prefix "none", also at the end of a line; `i` marks an integer;
five spaces and `nan` mark "no value". Metadata: `1` + one digit is the status, `2` + two digits the range index, `4` +
one digit the noise level; others may come. Sources: PalmSens MethodSCRIPT_Examples at bd1a44a
(Example_Python/palmsens/mscript.py, Example_C/README.adoc); MethodSCRIPT manual v1.8 chapters 4 and 5 as two
third-party drivers quote it.

Every value is the double nearest to the decimal number that was sent. A 28-bit integer and a power of ten up to 1e22
are both exact doubles, so one multiplication or one division of the two is correctly rounded; `integer * 1e-15` would
not be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

OFFSET = 0x8000000
NAN_FIELD = b"     nan"
#: SI prefix to power of ten
EXPONENTS = {
    "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, " ": 0, "i": 0,
    "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
#: range index of a variable that came without one
NO_RANGE = -1

_VARIABLE = re.compile(rb"([a-z]{2})(?:([0-9A-Fa-f]{7})([afpnumkMGTPE i]?)|( {5}nan))((?:,[^,;]*)*)")
_FACTORS = {
    ord(prefix): (float(10 ** max(exponent, 0)), float(10 ** max(-exponent, 0)))
    for prefix, exponent in EXPONENTS.items()
}

_INVALID = 255
_HEX = np.full(256, _INVALID, np.uint8)
for _digit in range(16):
    _HEX[ord(f"{_digit:x}")] = _HEX[ord(f"{_digit:X}")] = _digit
_KNOWN_PREFIX = np.zeros(256, bool)
_MULTIPLIER = np.ones(256)
_DIVISOR = np.ones(256)
for _code, (_up, _down) in _FACTORS.items():
    _KNOWN_PREFIX[_code], _MULTIPLIER[_code], _DIVISOR[_code] = True, _up, _down
_WEIGHTS = 16.0 ** np.arange(6, -1, -1)
_NAN_BYTES = np.frombuffer(NAN_FIELD, np.uint8)


@dataclass(frozen=True, slots=True)
class Packets:
    """Consecutive packets with the same variables.

    `types` names the variables; `values` (float64), `status` (uint8) and `ranges` (int16, `NO_RANGE` where none came)
    have shape (packets, variables). Values in the variable's SI unit; NaN where the device sent its marker for "no
    value".
    """

    types: tuple[str, ...]
    values: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint8]
    ranges: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Row:
    """One packet, as `Packets` with plain lists."""

    types: tuple[str, ...]
    values: list[float]
    status: list[int]
    ranges: list[int]


def parse_packet(line: bytes) -> Row | None:
    """One line without its LF; None if it is not a packet, whole and well-formed."""
    if not line.startswith(b"P"):
        return None
    types: list[str] = []
    values: list[float] = []
    status: list[int] = []
    ranges: list[int] = []
    parts = line[1:].split(b";")
    for index, part in enumerate(parts):
        match = _VARIABLE.fullmatch(part)
        if match is None:
            return None
        kind, digits, prefix, nan, metadata = match.groups()
        if nan:
            value = float("nan")
        elif prefix:
            up, down = _FACTORS[prefix[0]]
            value = (int(digits, 16) - OFFSET) * up / down
        elif index == len(parts) - 1 and not metadata:
            value = float(int(digits, 16) - OFFSET)  # the line's last blank was trimmed on the way
        else:
            return None
        known = _metadata(metadata)
        if known is None:
            return None
        types.append(kind.decode())
        values.append(value)
        status.append(known[0])
        ranges.append(known[1])
    return Row(tuple(types), values, status, ranges)


def _metadata(text: bytes) -> tuple[int, int] | None:
    """(status, range) out of `,10,288,40`; None if one of the two is damaged."""
    status, range_index = 0, NO_RANGE
    for item in text.split(b",")[1:]:
        kind, digits = item[:1], item[1:]
        if kind not in (b"1", b"2"):
            continue
        numbers = _HEX[np.frombuffer(digits, np.uint8)] if len(digits) == int(kind) else None
        if numbers is None or numbers.max() == _INVALID:
            return None
        if kind == b"1":
            status = int(numbers[0])
        else:
            range_index = int(numbers[0]) * 16 + int(numbers[1])
    return status, range_index


def stack(rows: list[Row]) -> Packets:
    """Rows of the same types, at least one, as arrays."""
    return Packets(
        rows[0].types,
        np.array([row.values for row in rows], np.float64),
        np.array([row.status for row in rows], np.uint8),
        np.array([row.ranges for row in rows], np.int16),
    )


class Layout:
    """Where in a line of bytes everything is: the same for all packets of an ordinary measurement loop."""

    def __init__(self, line: bytes) -> None:
        """`line` is a whole, well-formed packet without its LF."""
        constant = [0]
        free: list[int] = []
        types: list[str] = []
        starts: list[int] = []
        self._status: list[tuple[int, int]] = []
        self._ranges: list[tuple[int, int]] = []
        position = 1
        for variable, part in enumerate(line[1:].split(b";")):
            constant += [position - 1, position, position + 1]
            types.append(part[:2].decode())
            starts.append(position + 2)
            column = position + 10
            for item in part.split(b",")[1:]:
                constant += [column, column + 1] if item else [column]
                if item[:1] == b"1":
                    self._status.append((variable, column + 2))
                elif item[:1] == b"2":
                    self._ranges.append((variable, column + 2))
                else:
                    free += range(column + 2, column + 1 + len(item))
                column += 1 + len(item)
            position += len(part) + 1
        self.types = tuple(types)
        self.length = len(line)
        self._constant = np.array(constant)
        self._expected = np.frombuffer(line, np.uint8)[self._constant]
        self._starts = np.array(starts)
        self._digits = (self._starts[:, None] + np.arange(7)).ravel()
        meta = [column for _, column in self._status] + [column + k for _, column in self._ranges for k in (0, 1)]
        self._meta = np.array(meta, np.intp)
        self._free = np.array(free, np.intp)

    def fits(self, line: bytes) -> bool:
        """Whether `line` has the same variables and metadata; its digits are not looked at."""
        if len(line) != self.length:
            return False
        return bool((np.frombuffer(line, np.uint8)[self._constant] == self._expected).all())

    def decode(self, lines: npt.NDArray[np.uint8]) -> tuple[Packets, npt.NDArray[np.bool_]]:
        """`lines` has shape (n, length). Returns the packets and which of them fit this layout (others are rubbish)."""
        count, variables = len(lines), len(self.types)
        fits: npt.NDArray[np.bool_] = (lines[:, self._constant] == self._expected).all(axis=1)
        if len(self._free):
            content = lines[:, self._free]
            fits &= ((content != ord(",")) & (content != ord(";"))).all(axis=1)
        digits = _HEX[lines[:, self._digits]]
        prefixes = lines[:, self._starts + 7]
        values = digits.reshape(count, variables, 7).astype(np.float64) @ _WEIGHTS
        values -= OFFSET
        values *= _MULTIPLIER[prefixes]
        values /= _DIVISOR[prefixes]
        if digits.max() == _INVALID or not _KNOWN_PREFIX[prefixes].all():
            self._without_value(lines, digits, prefixes, values, fits)
        status = np.zeros((count, variables), np.uint8)
        ranges = np.full((count, variables), NO_RANGE, np.int16)
        if len(self._meta):
            numbers = _HEX[lines[:, self._meta]]
            if numbers.max() == _INVALID:
                fits &= (numbers != _INVALID).all(axis=1)
            for index, (variable, _) in enumerate(self._status):
                status[:, variable] = numbers[:, index]
            for index, (variable, _) in enumerate(self._ranges):
                high = numbers[:, len(self._status) + 2 * index]
                ranges[:, variable] = high.astype(np.int16) * 16 + numbers[:, len(self._status) + 2 * index + 1]
        return Packets(self.types, values, status, ranges), fits

    def _without_value(
        self,
        lines: npt.NDArray[np.uint8],
        digits: npt.NDArray[np.uint8],
        prefixes: npt.NDArray[np.uint8],
        values: npt.NDArray[np.float64],
        fits: npt.NDArray[np.bool_],
    ) -> None:
        """Tell the marker for "no value" from damaged digits."""
        bad = (digits.reshape(*values.shape, 7) == _INVALID).any(axis=2) | ~_KNOWN_PREFIX[prefixes]
        fields = lines[:, (self._starts[:, None] + np.arange(8)).ravel()].reshape(*values.shape, 8)
        nothing = (fields == _NAN_BYTES).all(axis=2)
        values[nothing] = np.nan
        fits &= ~(bad & ~nothing).any(axis=1)


def layout_of(line: bytes) -> Layout | None:
    """The layout of a line like `line`, or None if it is not a packet that the block parser can take."""
    row = parse_packet(line)
    if row is None or any(len(part.partition(b",")[0]) != 10 for part in line[1:].split(b";")):
        return None
    return Layout(line)
