"""The output of a running script, from bytes in pieces of any size to blocks of packets and what stands between them.

    script-output := line* LF                        ; the empty line ends the script
    line := 'M' hex4 | '*' | 'L' | '+' | 'C' 4digits | '-' | 'P' packet | 'T' text | 'Z' | 'Y' | '!' hex4 ...

`M`..`*` is a measurement loop, `L`..`+` a plain one, `C`..`-` one scan of a cyclic voltammogram; they nest. Sources:
PalmSens MethodSCRIPT_Examples (Example_Python/palmsens/mscript.py, instrument.py). XON, XOFF and CR are never data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .values import Layout, Packets, Row, layout_of, parse_packet, stack

#: everything below the blank but LF: XON and XOFF among them
CONTROLS = bytes(code for code in range(0x20) if code != 0x0A)

_ERROR = re.compile(rb"!([0-9A-Fa-f]{4})(?::\s*Line\s*(\d+)(?:,\s*Col\s*(\d+))?)?")
_ERROR_IN_TEXT = re.compile(rb"![0-9A-Fa-f]{4}:\s*Line\s*\d+")
_OPENING = {b"M": re.compile(rb"M[0-9A-Fa-f]{4}"), b"L": re.compile(rb"L"), b"C": re.compile(rb"C[0-9A-Fa-f]{4}")}
_CLOSING = {b"*": "M", b"+": "L", b"-": "C"}
_ECHOES = (b"Z", b"Y", b"h", b"H", b"R")

#: fewer packets than this in a piece are parsed line by line, which is quicker then
_FEW = 8
#: the longest line of the protocol is 255 characters; more without an end is a broken line
_LINE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Marker:
    """A loop begins (`opens`) or ends. `kind` is M, L or C; `text` the whole line."""

    kind: str
    opens: bool
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """What the script sent by `send_string`."""

    text: str


@dataclass(frozen=True, slots=True)
class Echo:
    """The device took a command while the script runs."""

    command: str


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """`!XXXX`, alone or after an echo; line and column (from 1) where the device tells."""

    code: int
    line: int | None = None
    column: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is nothing the protocol knows: damaged on the way."""

    line: bytes


@dataclass(frozen=True, slots=True)
class ScriptEnd:
    """The empty line."""


Event = Packets | Marker | Text | Echo | ErrorLine | Unreadable | ScriptEnd


def error_in(line: bytes) -> ErrorLine | None:
    """The error that a line reports, if it does: `!` and four hexadecimal digits anywhere in it."""
    match = _ERROR.search(line)
    if match is None:
        return None
    code, at_line, at_column = match.groups()
    return ErrorLine(
        int(code, 16),
        int(at_line) if at_line else None,
        int(at_column) if at_column else None,
        line.decode("ascii", "replace"),
    )


class StreamParser:
    """Feed it bytes as they come. After `ScriptEnd` it takes no more: `rest` is what came behind it."""

    def __init__(self) -> None:
        self._tail = b""
        self._open: list[str] = []
        self._aborting = False
        self._layout: Layout | None = None
        self._rows: list[Row] = []
        self._events: list[Event] = []
        self.ended = False
        self.rest = b""

    @property
    def depth(self) -> int:
        """How many loops are open."""
        return len(self._open)

    def feed(self, data: bytes) -> list[Event]:
        """Everything that the whole lines so far say, in order."""
        if self.ended:
            self.rest += data
            return []
        text = self._tail + data.translate(None, CONTROLS)
        end = text.rfind(b"\n") + 1
        block, self._tail = text[:end], text[end:]
        if len(block) < 256:
            self._lines(block)
        else:
            self._block(block)
        if len(self._tail) > _LINE_LIMIT:
            self._add(Unreadable(self._tail))
            self._tail = b"?"  # so that its end, when it comes, is not an empty line
        self._flush()
        events, self._events = self._events, []
        return events

    def _lines(self, block: bytes) -> None:
        position = 0
        while position < len(block):
            end = block.index(b"\n", position)
            self._line(block[position:end])
            position = end + 1
            if self.ended:
                self.rest, self._tail = block[position:] + self._tail, b""
                return

    def _block(self, block: bytes) -> None:
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == 0x0A)
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts
        packet = data[starts] == ord("P")
        change = np.flatnonzero((packet[1:] != packet[:-1]) | (lengths[1:] != lengths[:-1])) + 1
        bounds = [0, *change.tolist(), len(starts)]
        for first, last in pairwise(bounds):
            begin, end = int(starts[first]), int(ends[last - 1]) + 1
            if not packet[first] or last - first < _FEW:
                self._lines(block[begin:end])
            else:
                self._packets(block[begin:end], int(lengths[first]))
            if self.ended:
                self.rest, self._tail = self.rest + block[end:] + self._tail, b""
                return

    def _packets(self, block: bytes, length: int) -> None:
        """Lines of one length that all begin with P."""
        lines = np.frombuffer(block, np.uint8).reshape(-1, length + 1)[:, :length]
        position = 0
        while position < len(lines):
            head = block[position * (length + 1) : position * (length + 1) + length]
            if self._layout is None or not self._layout.fits(head):
                self._layout = layout_of(head)
            if self._layout is None or len(lines) - position < _FEW:
                self._line(head)
                position += 1
                continue
            packets, fits = self._layout.decode(lines[position:])
            if not fits[0]:
                self._line(head)
                position += 1
                continue
            count = len(fits) if fits.all() else int(np.argmin(fits))
            self._add(
                packets
                if count == len(fits)
                else Packets(packets.types, packets.values[:count], packets.status[:count], packets.ranges[:count])
            )
            position += count

    def _line(self, line: bytes) -> None:
        if line.startswith(b"P"):
            row = parse_packet(line)
            if row is not None:
                if self._rows and self._rows[-1].types != row.types:
                    self._flush()
                self._rows.append(row)
                return
        self._add(self._other(line))

    def _other(self, line: bytes) -> Event:
        if not line:
            # Within a loop it is a doubled LF: a script that ends closes its loops first. An aborted one may not.
            if self._open and not self._aborting:
                return Unreadable(line)
            self.ended = True
            return ScriptEnd()
        head = line[:1]
        if head == b"T" and not _ERROR_IN_TEXT.search(line):
            return Text(line[1:].decode("ascii", "replace"))
        error = error_in(line)
        if error is not None:
            return error
        if head in _OPENING and _OPENING[head].fullmatch(line):
            self._open.append(head.decode())
            return Marker(head.decode(), True, line.decode())
        if line in _CLOSING and _CLOSING[line] in self._open:
            while self._open.pop() != _CLOSING[line]:
                pass
            return Marker(_CLOSING[line], False, line.decode())
        if line in _ECHOES:
            self._aborting = self._aborting or line == b"Z"
            return Echo(line.decode())
        return Unreadable(line)

    def _add(self, event: Event) -> None:
        self._flush()
        self._events.append(event)

    def _flush(self) -> None:
        if self._rows:
            rows, self._rows = self._rows, []
            self._events.append(stack(rows))
