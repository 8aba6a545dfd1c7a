"""From blocks as they came to records: what belongs together is put together, what cannot be encoded is a gap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bridge.transfer import codec
from drivers.errors import InvalidValue
from drivers.samples import SampleBlock

from .format import PAYLOAD_MAX, Kind, Record

#: Payloads are not longer than this, but for a single sample that is.
PAYLOAD_LIMIT = 64 * 1024
_HEADERS_KEPT = 256


class Gap(NamedTuple):
    """Samples that do not exist."""

    stream: str
    first_index: int
    next_index: int
    reason: str


class Batcher:
    """Makes records of what waits, in order for each stream. `refused` holds what could not be encoded, as text."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._headers: dict[str, codec.Header] = {}

    def records(self, items: Iterable[SampleBlock | Gap], wall_ns: int, monotonic_ns: int) -> list[Record]:
        self._times = (wall_ns, monotonic_ns)
        records: list[Record] = []
        groups: dict[str, list[SampleBlock]] = {}
        for item in items:
            stream = item.stream
            group = groups.get(stream)
            if isinstance(item, Gap):
                if group is not None:
                    records += self._encode(groups.pop(stream))
                reason = item.reason.encode()[:PAYLOAD_LIMIT]
                records.append(Record(Kind.GAP, stream, item.first_index, item.next_index, reason, *self._times))
            elif group is not None and codec.follows(group[-1], item):
                group.append(item)
            else:
                if group is not None:
                    records += self._encode(group)
                groups[stream] = [item]
        for group in groups.values():
            records += self._encode(group)
        return records

    def _encode(self, group: list[SampleBlock]) -> list[Record]:
        first, last = group[0], group[-1]
        try:
            block = SampleBlock.concatenate(group) if len(group) > 1 else first
            header = self._header(block)
            capacity = max(1, (PAYLOAD_LIMIT - header.size) // max(1, codec.bytes_per_sample(block)))
            records = []
            for start in range(0, len(block) or 1, capacity):
                part = codec.part(block, start, start + capacity) if len(block) > capacity else block
                payload = header.encode(part)
                if len(payload) > PAYLOAD_MAX:
                    raise InvalidValue(f"a block takes {len(payload)} bytes; accepted: {PAYLOAD_MAX}")
                indices = (part.first_index, part.next_index)
                records.append(Record(Kind.BLOCK, first.stream, *indices, payload, *self._times))
        except Exception as error:  # a driver's mistake must not end what makes all other devices' samples durable
            text = f"samples {first.first_index} to {last.next_index} of {first.stream} cannot be encoded: {error}"
            self.refused.append(text)
            reason = text.encode()[:PAYLOAD_LIMIT]
            return [Record(Kind.GAP, first.stream, first.first_index, last.next_index, reason, *self._times)]
        return records

    def _header(self, block: SampleBlock) -> codec.Header:
        header = self._headers.get(block.stream)
        if header is None or not header.fits(block):
            if len(self._headers) >= _HEADERS_KEPT:
                self._headers.clear()
            header = self._headers[block.stream] = codec.Header(block)
        return header
