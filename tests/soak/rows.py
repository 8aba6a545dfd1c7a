"""What the recorder has on its disk of each stream: rows of fixed length, appended, never changed."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy

from drivers.samples import SampleBlock

ROW = numpy.dtype([("index", "<u8"), ("voltage_v", "<f8"), ("current_a", "<f8"), ("flags", "<u4"), ("run", "<u4")])


def number_of(run: str) -> int:
    """A run's name in four bytes."""
    return zlib.crc32(run.encode())


def rows_of(block: SampleBlock) -> numpy.ndarray:
    rows = numpy.zeros(len(block), ROW)
    rows["index"] = numpy.arange(block.first_index, block.first_index + len(block))
    for name in ("voltage_v", "current_a", "flags"):
        rows[name] = block[name]
    rows["run"] = number_of(str(block.attributes.get("run", "")))
    return rows


class StreamFile:
    """`next_index` is the index after the last row on disk. A row that a kill has torn is cut off."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        size = self._file.tell()
        if torn := size % ROW.itemsize:
            self._file.truncate(size - torn)
        whole = read(path)
        self.next_index = int(whole["index"][-1]) + 1 if len(whole) else 0

    def close(self) -> None:
        self._file.close()

    def append(self, rows: numpy.ndarray) -> int:
        """How many of them were there already."""
        new = rows[rows["index"] >= self.next_index]
        if len(new):
            self._file.write(new.tobytes())
            self.next_index = int(new["index"][-1]) + 1
        return len(rows) - len(new)


def read(path: Path) -> numpy.ndarray:
    data = path.read_bytes()
    return numpy.frombuffer(data[: len(data) // ROW.itemsize * ROW.itemsize], ROW)
