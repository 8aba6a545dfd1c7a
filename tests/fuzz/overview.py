"""Chunks beside the spool: what a file that may hold anything is taken for, and what a curve makes of it."""

from __future__ import annotations

import zlib

import numpy as np

from bridge.analysis.chunks import LARGE, dtype_of
from bridge.analysis.envelope import Envelope
from bridge.record.overview import decode

from .target import Target

_AFTER = 10 * LARGE


def overview(data: bytes) -> None:
    """As it is, and with right checksums. Chunks come in order, none twice, within the range; a curve takes them."""
    for content in (data, with_checksums(data)):
        known = decode(content, LARGE, 0, _AFTER)
        if known is None:
            continue
        firsts = known.chunks["first"].tolist()
        assert firsts == sorted(set(firsts))
        assert all(first % LARGE == 0 and first + LARGE <= _AFTER for first in firsts)
        envelope = Envelope(0, _AFTER, 5, None, 0, one_by_one=10)
        with np.errstate(all="ignore"):  # sums of anything
            for number in range(len(firsts)):
                envelope.add_chunks(known.columns, known.chunks[number : number + 1], LARGE)
        curve = envelope.curve()
        assert curve.count.sum() == LARGE * len(firsts)
        assert sum(after - first for first, after in curve.missing) == _AFTER - LARGE * len(firsts)


def with_checksums(data: bytes) -> bytes:
    """The same records, each with the checksum that it should have; of two columns, as most have."""
    line, newline, records = data.partition(b"\n")
    size = dtype_of(2).itemsize
    fixed = [
        records[at : at + size] + zlib.crc32(records[at : at + size]).to_bytes(4, "little")
        for at in range(0, len(records) - size - 3, size + 4)
    ]
    return line + newline + b"".join(fixed)


TARGETS = (
    Target(
        "overview",
        overview,
        (),
        ("bridge.record.overview", "bridge.analysis.envelope", "bridge.analysis.running_charge"),
        bytes_per_byte=600,
        limit=2048,
        tokens=(b'{"format": "picobridge-overview-1", "columns": [', b'["voltage_v", "V"]', b"\0" * 8, b"\xff" * 8),
    ),
)
