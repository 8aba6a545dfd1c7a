"""How a segment file looks: a header, records, and a footer once it is closed. Everything little-endian.

    segment header  magic, format version, segment number, wall-clock time, CRC32C
    record          magic, CRC32C, commit start, payload length, stream length, kind, first index, next index,
                    wall-clock ns, monotonic ns; then the stream's name and the payload
    footer          a record whose payload sums the segment up (CBOR), then its position, a CRC32C and a magic

A record's CRC is over all of it that follows the CRC. "Commit start" is where in the file the group of records begins
that was made durable together: whatever lies before it was durable when the record was written. So a hole before it
is damage, and a hole behind it is what a power cut leaves of a write that nobody was told of.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import google_crc32c

VERSION = 1
SEGMENT_MAGIC = b"\x89PBspool"
RECORD_MAGIC = b"\xf5PBr"
TRAILER_MAGIC = b"\xf5PBe"
#: Longer payloads are not written, and not believed. A footer is the longest.
PAYLOAD_MAX = 16 * 1024 * 1024

_SEGMENT = struct.Struct("<8sHHQqI")
_RECORD = struct.Struct("<4sIIIHBBQQqq")
_TRAILER = struct.Struct("<QI4s")
_CRC_FROM = 8  # magic and CRC come before
SEGMENT_HEADER_SIZE = _SEGMENT.size
RECORD_HEADER_SIZE = _RECORD.size
TRAILER_SIZE = _TRAILER.size


class Kind(IntEnum):
    """What a record is. Others are kept and passed over: a later version may write them."""

    BLOCK = 1
    """The payload is one sample block as `bridge.transfer.codec` encodes it."""
    GAP = 2
    """Samples that do not exist; the payload is the reason, UTF-8."""
    FOOTER = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One record. Indices are those of samples, `next_index` exclusive; times are nanoseconds."""

    kind: int
    stream: str
    first_index: int
    next_index: int
    payload: bytes
    wall_ns: int = 0
    monotonic_ns: int = 0

    def __len__(self) -> int:
        """Bytes in the file."""
        return _RECORD.size + len(self.stream.encode()) + len(self.payload)


class Head(NamedTuple):
    """A record's header as it was read, with `size` the bytes of the whole record."""

    crc: int
    commit_start: int
    payload_length: int
    stream_length: int
    kind: int
    first_index: int
    next_index: int
    wall_ns: int
    monotonic_ns: int
    size: int


class SegmentHeader(NamedTuple):
    """What the first bytes of a segment say."""

    version: int
    number: int
    wall_ns: int


def _crc(data: bytes) -> bytes:
    value: int = google_crc32c.value(data)
    return value.to_bytes(4, "little")


def encode_segment_header(number: int, wall_ns: int) -> bytes:
    data = _SEGMENT.pack(SEGMENT_MAGIC, VERSION, 0, number, wall_ns, 0)[:-4]
    return data + _crc(data)


def decode_segment_header(data: bytes) -> SegmentHeader | None:
    """None for anything but a whole header."""
    if len(data) < _SEGMENT.size:
        return None
    magic, version, _, number, wall_ns, crc = _SEGMENT.unpack_from(data)
    if magic != SEGMENT_MAGIC or google_crc32c.value(data[: _SEGMENT.size - 4]) != crc:
        return None
    return SegmentHeader(version, number, wall_ns)


def encode_record(record: Record, commit_start: int) -> bytes:
    stream = record.stream.encode()
    head = _RECORD.pack(
        *(RECORD_MAGIC, 0, commit_start, len(record.payload), len(stream), record.kind, 0),
        *(record.first_index, record.next_index, record.wall_ns, record.monotonic_ns),
    )
    checked = head[_CRC_FROM:] + stream + record.payload
    return RECORD_MAGIC + _crc(checked) + checked


def decode_head(data: bytes, position: int) -> Head | None:
    """None if no record can begin there. Whether all of it is there and its CRC is right is not looked at."""
    if len(data) - position < _RECORD.size:
        return None
    magic, crc, commit_start, length, stream_length, kind, _, first, after, wall_ns, monotonic_ns = _RECORD.unpack_from(
        data, position
    )
    if magic != RECORD_MAGIC or length > PAYLOAD_MAX or after < first:
        return None
    size = _RECORD.size + stream_length + length
    return Head(crc, commit_start, length, stream_length, kind, first, after, wall_ns, monotonic_ns, size)


def decode_body(head: Head, data: bytes) -> Record | None:
    """The record whose bytes are `data`; None if its CRC is wrong."""
    if google_crc32c.value(data[_CRC_FROM:]) != head.crc:
        return None
    names_end = _RECORD.size + head.stream_length
    try:
        stream = data[_RECORD.size : names_end].decode()
    except UnicodeDecodeError:
        return None
    payload = data[names_end:]
    return Record(head.kind, stream, head.first_index, head.next_index, payload, head.wall_ns, head.monotonic_ns)


def encode_footer(payload: bytes, position: int, wall_ns: int) -> bytes:
    """What closes a segment whose records end at `position`."""
    record = encode_record(Record(Kind.FOOTER, "", 0, 0, payload, wall_ns), position)
    place = position.to_bytes(8, "little")
    return record + _TRAILER.pack(position, google_crc32c.value(place), TRAILER_MAGIC)


def footer_position(trailer: bytes) -> int | None:
    """From a file's last bytes, where its footer begins; None if it has none."""
    if len(trailer) != _TRAILER.size:
        return None
    position, crc, magic = _TRAILER.unpack(trailer)
    if magic != TRAILER_MAGIC or google_crc32c.value(trailer[:8]) != crc:
        return None
    return int(position)
