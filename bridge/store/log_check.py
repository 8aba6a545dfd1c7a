"""Whether the write-ahead log lost transactions: SQLite ends at the first frame that is not whole, and says nothing.

The format is in https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
"""

from __future__ import annotations

import struct
from pathlib import Path

from .rows import Damaged

_HEADER = struct.Struct(">8I")
#: Page, size of the database after a commit (0 if more frames follow), the log's two salts, two checksums.
_FRAME = struct.Struct(">6I")
_BIG_ENDIAN = 0x377F0683


def commits_in_log(log: Path, page_size: int) -> list[int]:
    """The frames (the first is 1) that end a transaction, whole or not. Those of an earlier round, which are in the
    database for long, do not count. Raises `OSError`."""
    try:
        file = log.open("rb")
    except FileNotFoundError:
        return []
    with file:
        header = file.read(_HEADER.size)
        frames = []
        for number in range((log.stat().st_size - len(header)) // (_FRAME.size + page_size)):
            file.seek(_HEADER.size + number * (_FRAME.size + page_size))
            frames.append(_FRAME.unpack(file.read(_FRAME.size)))
    if not frames:
        return []
    round_ = _HEADER.unpack(header)[4:6] if _is_whole(header) else frames[0][2:4]
    return [number for number, frame in enumerate(frames, start=1) if frame[1] and frame[2:4] == round_]


def check_log(commits: list[int], valid: int) -> None:
    """`valid` is how many frames SQLite takes, negative if it cannot say (another program has the file).

    The last transaction may be cut short by a power loss, before anybody was told that it is on disk; the one before it
    was told of. Raises `Damaged`.
    """
    lost = sum(number > valid for number in commits)
    if valid >= 0 and lost > 1:
        raise Damaged(f"the last {lost} changes in its log cannot be read")


def _is_whole(header: bytes) -> bool:
    first = second = 0
    words = struct.unpack(">6I" if _HEADER.unpack(header)[0] == _BIG_ENDIAN else "<6I", header[:24])
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return (first, second) == _HEADER.unpack(header)[6:8]
