"""Segments of the spool: what is recovered of a file that may hold anything."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import google_crc32c

from bridge.transfer.spool.catalogue import Catalogue
from bridge.transfer.spool.files import OsFiles
from bridge.transfer.spool.format import (
    RECORD_HEADER_SIZE,
    RECORD_MAGIC,
    SEGMENT_HEADER_SIZE,
    TRAILER_MAGIC,
    TRAILER_SIZE,
    Kind,
    decode_head,
)
from bridge.transfer.spool.reader import Reader
from bridge.transfer.spool.recovery import Recovery, recover
from bridge.transfer.spool.segment import segment_name

from .target import Target


class _Unsynced(OsFiles):
    """The real files, without waiting for the disk."""

    def fdatasync(self, fd: int) -> None:
        pass

    def fsync(self, fd: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


def segment(data: bytes) -> None:
    """The input as a segment, as it is and with its checksums made right, so that what is behind them is met too."""
    for content in (data, with_checksums(data)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / segment_name(1)).write_bytes(content)
            first = _recovered(folder, len(content))
            assert _recovered(folder, len(content)) == first, "a second recovery finds something else"


def _recovered(folder: Path, size: int) -> list[tuple[str, Sequence[tuple[int, int, bytes]]]]:
    files, report = _Unsynced(), Recovery()
    segments, following = recover(files, folder, report)
    assert following >= 1
    catalogue = Catalogue(segments)
    reader = Reader(folder, files, catalogue, lambda *_: None)
    found = []
    for stream, extent in list(catalogue.ranges().items()):
        blocks = reader.read(stream, extent.first_index, 1 << 30)
        assert all(first <= after for first, after, _ in blocks)
        assert sum(len(payload) for _, _, payload in blocks) <= size
        found.append((stream, blocks))
    return found


def with_checksums(data: bytes) -> bytes:
    """The same bytes with a right checksum wherever one belongs."""
    content = bytearray(data)
    if len(content) >= SEGMENT_HEADER_SIZE:
        at = SEGMENT_HEADER_SIZE - 4
        content[at : at + 4] = _crc(content[:at])
    position = content.find(RECORD_MAGIC)
    while position >= 0:
        head = decode_head(bytes(content[position : position + RECORD_HEADER_SIZE]), 0)
        whole = head is not None and position + head.size <= len(content)
        if head is not None and whole:
            content[position + 4 : position + 8] = _crc(content[position + 8 : position + head.size])
        position = content.find(RECORD_MAGIC, position + (head.size if head is not None and whole else 1))
    if content.endswith(TRAILER_MAGIC) and len(content) >= TRAILER_SIZE:
        content[-8:-4] = _crc(content[-TRAILER_SIZE:-8])
    return bytes(content)


def _crc(data: bytes | bytearray) -> bytes:
    value: int = google_crc32c.value(bytes(data))
    return value.to_bytes(4, "little")


TARGETS = (
    Target(
        "spool-segment",
        segment,
        (),
        ("bridge.transfer.spool",),
        bytes_per_byte=600,
        limit=2048,
        tokens=(RECORD_MAGIC, TRAILER_MAGIC, bytes((Kind.GAP,)), b"\0" * 48, b"\xff" * 8),
    ),
)
