"""Sample blocks as CBOR (RFC 8949) with typed arrays (RFC 8746), readable by any CBOR library.

One block is one map:

    {"v": 1, "stream": text, "first_index": uint, "start_time_ns": int, "end": text or null, "attributes": map,
     "columns": [{"name": text, "unit": text, "data": typed array}, ...]}

Typed arrays are little-endian: tag 86 for float64, 70 for uint32 and so on, around a byte string. Every bit of a value
arrives, NaN payloads and signed zeros included.

The decoder takes bytes from anyone. It knows what the map above needs and nothing else: other tags, indefinite lengths,
the same key twice, keys that are not text, deep nesting and trailing bytes are refused, and a length that promises more
than there is allocates nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from mmap import mmap
from operator import attrgetter
from typing import Any

import cbor2
import numpy as np

from drivers.errors import InvalidValue
from drivers.samples import Array, Column, EndReason, SampleBlock

from .plain import to_plain

VERSION = 1

#: RFC 8746 section 2.1: tag to numpy dtype, little-endian ones (and bytes, which have no order)
_DTYPES = {
    64: "u1",
    69: "<u2",
    70: "<u4",
    71: "<u8",
    72: "i1",
    77: "<i2",
    78: "<i4",
    79: "<i8",
    84: "<f2",
    85: "<f4",
    86: "<f8",
}
_WIRE = {tag: np.dtype(dtype) for tag, dtype in _DTYPES.items()}
_NATIVE = {tag: dtype.newbyteorder("=") for tag, dtype in _WIRE.items()}
_NAMES = {dtype: dtype.name for dtype in _NATIVE.values()}  # numpy works a name out anew each time
#: by dtype, of either byte order: the tag as it is written, and the dtype on the wire if it is another one
_TAGS = {
    each: (b"\xd8" + tag.to_bytes(), None if each == dtype else dtype)
    for tag, dtype in _WIRE.items()
    for each in (dtype.newbyteorder("<"), dtype.newbyteorder(">"))
}
_DEPTH_LIMIT = 16
_ITEM_SIZE, _SIZE = attrgetter("itemsize"), attrgetter("nbytes")
_FIRST_INDEX, _START_TIME, _END = (cbor2.dumps(key) for key in ("first_index", "start_time_ns", "end"))
_ATTRIBUTES, _COLUMNS, _DATA = (cbor2.dumps(key) for key in ("attributes", "columns", "data"))
_ENDS: dict[EndReason | None, bytes] = {None: cbor2.dumps(None), **{end: cbor2.dumps(end.value) for end in EndReason}}


class Header:
    """What blocks that say the same have in common, encoded once: most of a message of few samples.

    `size` is how many bytes such a block takes beside its samples, at most.
    """

    def __init__(self, block: SampleBlock) -> None:
        self._stream = block.stream
        self._columns = block.columns
        self._attributes = deepcopy(dict(block.attributes))
        before = {"v": VERSION, "stream": block.stream}
        # seven entries in all, begun here and gone on with by hand
        self._before = b"\xa7" + cbor2.dumps(before)[1:] + _FIRST_INDEX
        attributes = cbor2.dumps(self._attributes, default=_encode_other)
        self._after = _ATTRIBUTES + attributes + _COLUMNS + _head(4, len(block.columns))
        self._heads = [b"\xa3" + cbor2.dumps({"name": c.name, "unit": c.unit})[1:] + _DATA for c in block.columns]
        fixed = (self._before, _START_TIME, _END, max(_ENDS.values(), key=len), self._after, *self._heads)
        # two numbers; a tag and a length for each column
        self.size = sum(map(len, fixed)) + 2 * 9 + len(self._heads) * (2 + 9)

    def fits(self, block: SampleBlock) -> bool:
        """Whether a block says what this header says."""
        return block.stream == self._stream and block.columns == self._columns and block.attributes == self._attributes

    def encode(self, block: SampleBlock) -> bytes:
        """A block that fits. Raises `InvalidValue` for a column whose dtype has no typed array."""
        parts = [
            *(self._before, _integer(block.first_index), _START_TIME, _integer(block.start_time_ns)),
            *(_END, _ENDS[block.end], self._after),
        ]
        for head, column in zip(self._heads, self._columns, strict=True):
            parts.append(head)
            parts += _typed_array(column.name, block[column.name])
        return b"".join(parts)


def encode(block: SampleBlock) -> bytes:
    """Raises `InvalidValue` for a column whose dtype has no typed array."""
    return Header(block).encode(block)


def decode(payload: bytes) -> SampleBlock:
    """The block again; its arrays are the caller's own. Raises `InvalidValue` for anything but a well-formed block.

    Keys that this version does not know are ignored.
    """
    block, end = decode_at(payload, 0)
    if end != len(payload):
        raise InvalidValue(f"{len(payload) - end} bytes follow the block")
    return block


def decode_at(payload: bytes | mmap, position: int) -> tuple[SampleBlock, int]:
    """One block of a CBOR sequence (RFC 8742), and where it ends. Raises as `decode`."""
    reader = _Reader(payload, position)
    message = reader.value(0)
    if not isinstance(message, dict):
        raise InvalidValue("a block is a CBOR map")
    if type(message.get("v")) is not int or message["v"] != VERSION:
        raise InvalidValue(f"the block's version is {message.get('v')!r:.40}; accepted: {VERSION}")
    columns: list[Column] = []
    data: dict[str, Array] = {}
    for entry in _field(message, "columns", list):
        if not isinstance(entry, dict):
            raise InvalidValue("a column is a CBOR map")
        name, array = _field(entry, "name", str), _field(entry, "data", np.ndarray)
        if name in data:
            raise InvalidValue(f"column {name!r:.100} occurs twice")
        columns.append(Column(name, _field(entry, "unit", str), _NAMES[array.dtype]))
        data[name] = array
    if not columns:
        raise InvalidValue("a block has at least one column")
    end = message.get("end")
    try:
        reason = None if end is None else EndReason(end)
    except ValueError as error:
        raise InvalidValue(f"end is {end!r:.100}; accepted: null or one of {[e.value for e in EndReason]}") from error
    first_index = _field(message, "first_index", int)
    if first_index < 0:
        raise InvalidValue(f"first_index is {first_index}; it cannot be negative")
    attributes = _field(message, "attributes", dict)
    if reader.arrays > len(columns) and _has_array(attributes):
        raise InvalidValue("the block's attributes hold a typed array; accepted: values as JSON knows them")
    block = SampleBlock(
        stream=_field(message, "stream", str),
        first_index=first_index,
        start_time_ns=_field(message, "start_time_ns", int),
        columns=tuple(columns),
        data=data,
        end=reason,
        attributes=attributes,
    )
    return block, reader.position


def bytes_per_sample(block: SampleBlock) -> int:
    return sum(map(_ITEM_SIZE, block.data.values()))


def sample_bytes(block: SampleBlock) -> int:
    """What the samples of a block take, in memory and in a message."""
    return sum(map(_SIZE, block.data.values()))


def part(block: SampleBlock, start: int, stop: int) -> SampleBlock:
    """Samples `start` to `stop` (exclusive) of a block, as views. The end goes with the last sample."""
    stop = min(stop, len(block))
    data = {column.name: block[column.name][start:stop] for column in block.columns}
    end = block.end if stop == len(block) else None
    return replace(block, first_index=block.first_index + start, data=data, end=end)


def follows(left: SampleBlock, right: SampleBlock) -> bool:
    """Whether two blocks can be sent as one without losing anything that their headers say."""
    return (
        left.end is None
        and left.stream == right.stream
        and left.next_index == right.first_index
        and left.start_time_ns == right.start_time_ns
        and left.columns == right.columns
        and left.attributes == right.attributes
    )


def _typed_array(name: str, array: Array) -> tuple[bytes, bytes, bytes]:
    known = _TAGS.get(array.dtype)
    if known is None or array.ndim != 1:
        accepted = ", ".join(sorted(_NAMES.values()))
        raise InvalidValue(f"column {name!r} is {array.ndim}-dimensional {array.dtype}; accepted: one of {accepted}")
    tag, foreign = known
    data = (array if foreign is None else array.astype(foreign)).tobytes()
    return tag, _head(2, len(data)), data


def _integer(value: int) -> bytes:
    return _head(0, int(value)) if value >= 0 else _head(1, -1 - int(value))


def _head(major: int, argument: int) -> bytes:
    """Major type and argument, as short as they go."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    for low, size in ((24, 1), (25, 2), (26, 4)):
        if argument < 1 << 8 * size:
            return bytes((major << 5 | low,)) + argument.to_bytes(size)
    return bytes((major << 5 | 27,)) + argument.to_bytes(8)


def _encode_other(encoder: cbor2.CBOREncoder, value: Any) -> None:
    encoder.encode(to_plain(value))


def _field(message: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    value = message.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidValue(f"the block's {key} is {value!r:.60}; accepted: {kind.__name__}")
    return value


def _has_array(value: Any) -> bool:
    """Arrays cannot be compared as other values are, so nobody could tell whether two blocks say the same."""
    if isinstance(value, dict):
        return any(map(_has_array, value.values()))
    return any(map(_has_array, value)) if isinstance(value, list) else isinstance(value, np.ndarray)


class _Reader:
    """As much of CBOR as a block needs. Major types and additional information as in RFC 8949 section 3.

    Every message of a subscriber passes here, so it works on the bytes by index and slices only what it keeps.
    """

    def __init__(self, payload: bytes | mmap, position: int) -> None:
        self._payload = payload
        self._size = len(payload)
        self.position = position
        #: typed arrays so far
        self.arrays = 0

    def value(self, depth: int) -> Any:
        major, low, argument = self._head()
        if major == 3:
            return self._text(argument)
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major in (4, 5):
            if depth >= _DEPTH_LIMIT:
                raise InvalidValue(f"nested deeper than {_DEPTH_LIMIT}")
            return self._list(argument, depth) if major == 4 else self._map(argument, depth)
        if major == 6:
            return self._array(argument)
        if major == 7:
            return self._simple(low, argument)
        raise InvalidValue("a byte string outside a typed array")

    def _head(self) -> tuple[int, int, int]:
        position = self.position
        if position >= self._size:
            raise self._too_short(1)
        initial = self._payload[position]
        low = initial & 31
        if low < 24:
            self.position = position + 1
            return initial >> 5, low, low
        if low > 27:
            raise InvalidValue("an indefinite or reserved length")
        end = position + 1 + (1 << (low - 24))
        if end > self._size:
            raise self._too_short(end - position)
        self.position = end
        return initial >> 5, low, int.from_bytes(self._payload[position + 1 : end], "big")

    def _skip(self, count: int) -> int:
        """Go on behind the next `count` bytes; returns where they begin."""
        start = self.position
        if count > self._size - start:
            raise self._too_short(count)
        self.position = start + count
        return start

    def _too_short(self, count: int) -> InvalidValue:
        return InvalidValue(f"the block ends too early: {count} bytes wanted at {self.position}")

    def _text(self, length: int) -> str:
        start = self._skip(length)
        try:
            return self._payload[start : start + length].decode("utf-8")
        except UnicodeError as error:
            raise InvalidValue(f"text that is not UTF-8: {error}") from error

    def _list(self, count: int, depth: int) -> list[Any]:
        self._check_count(count)
        return [self.value(depth + 1) for _ in range(count)]

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        self._check_count(count)
        result: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise InvalidValue(f"key {key!r:.60} is not text")
            if key in result:
                raise InvalidValue(f"key {key!r:.60} occurs twice")
            result[key] = self.value(depth + 1)
        return result

    def _check_count(self, count: int) -> None:
        if count > self._size - self.position:
            raise InvalidValue(f"{count} items promised, {self._size - self.position} bytes left")

    def _array(self, tag: int) -> Array:
        dtype = _WIRE.get(tag)
        if dtype is None:
            raise InvalidValue(f"tag {tag} is not accepted in a block")
        major, _, length = self._head()
        if major != 2:
            raise InvalidValue(f"tag {tag} is not followed by a byte string")
        if length % dtype.itemsize:
            raise InvalidValue(f"{length} bytes are no array of items of {dtype.itemsize}")
        self.arrays += 1
        array: Array = np.frombuffer(self._payload, dtype, length // dtype.itemsize, self._skip(length))
        return array.astype(_NATIVE[tag])  # the one copy: aligned, writable, and the caller's own

    def _simple(self, low: int, argument: int) -> Any:
        if low == 27:
            return struct.unpack(">d", argument.to_bytes(8, "big"))[0]
        if low == 26:
            return struct.unpack(">f", argument.to_bytes(4, "big"))[0]
        if low == 25:
            return struct.unpack(">e", argument.to_bytes(2, "big"))[0]
        if low in (20, 21):
            return low == 21
        if low == 22:
            return None
        raise InvalidValue(f"simple value {argument} is not accepted in a block")
