"""Captures: what passed over a wire, in a file that a replay (`mocks.wires.replay`) plays back.

One JSON object a line. The first says what this is:
`{"picobridge_capture": 1, "address": "serial:/dev/ttyUSB0", "utc": "2026-01-31T12:00:00+00:00"}`, the others are
`{"t_ns": 1234567, "dir": ">", "hex": "2a 49"}`: nanoseconds since the first line, direction (">" to the device, "<"
from it), bytes. On a packet wire each line is one packet.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..errors import InvalidValue

VERSION = 1
DIRECTIONS = (">", "<")


@dataclass(frozen=True, slots=True)
class CaptureEntry:
    """`t_ns` counts from the beginning of the file, on the monotonic clock."""

    t_ns: int
    direction: str
    data: bytes


class CaptureFile:
    """Attach it as `transport.capture`, which closes it with itself and goes on in it when it is opened again.

    Every line is flushed, so that what led to a crash is in the file. An existing file is overwritten. Raises
    `InvalidValue` if it cannot be written.
    """

    def __init__(self, path: str | Path, address: str = "") -> None:
        self._path = Path(path)
        self._file: TextIO | None = None
        self._start_ns = time.monotonic_ns()
        header = {"picobridge_capture": VERSION, "address": address, "utc": datetime.now(UTC).isoformat()}
        try:
            self._path.write_text(json.dumps(header) + "\n", encoding="ascii")
        except OSError as error:
            raise InvalidValue(f"capture file {path} cannot be written: {error.strerror}") from error

    def record(self, direction: str, data: bytes) -> None:
        """`direction` is ">" or "<"."""
        fields = {"t_ns": time.monotonic_ns() - self._start_ns, "dir": direction, "hex": data.hex(" ")}
        if self._file is None:
            self._file = self._path.open("a", encoding="ascii", buffering=1)
        self._file.write(json.dumps(fields) + "\n")

    def close(self) -> None:
        """Until something more is recorded."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_capture(path: str | Path) -> Iterator[CaptureEntry]:
    """The entries in order. A last line that was cut off by a crash ends the file.

    Raises `InvalidValue`, naming the line, for anything else that is not a capture.
    """
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"capture file {path} cannot be read: {error}") from error
    if not lines or not _is_header(lines[0]):
        raise InvalidValue(f"{path} is not a picobridge capture of version {VERSION}")
    for number, line in enumerate(lines[1:], start=2):
        if not line.endswith("\n"):
            return
        try:
            fields = json.loads(line)
            entry = CaptureEntry(int(fields["t_ns"]), fields["dir"], bytes.fromhex(fields["hex"]))
            if entry.direction not in DIRECTIONS:
                raise ValueError(f"dir is {entry.direction!r}; accepted: {', '.join(DIRECTIONS)}")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidValue(f"capture file {path}, line {number}: {error!r}") from error
        yield entry


def _is_header(line: str) -> bool:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("picobridge_capture") == VERSION
