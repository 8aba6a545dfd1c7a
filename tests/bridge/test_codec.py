"""Blocks as bytes: to the bit there and back, readable by others, and hard on everything else."""

from __future__ import annotations

import struct
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge.transfer import codec
from drivers.errors import InvalidValue
from drivers.samples import SAMPLE_COLUMNS, Column, EndReason, SampleBlock

from .fakes import START_NS, ramp

BITS = st.integers(0, 2**64 - 1)
#: quiet and signalling NaN with payloads, both zeros, the smallest denormals, infinities
CORNERS = [0x7FF8000000000000, 0x7FF0DEADBEEF0001, 0xFFF8000000001234, 1 << 63, 0, 1, (1 << 63) + 1, 0x7FF0000000000000]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def of_bits(bits: list[int]) -> Any:
    return np.array(bits, dtype=np.uint64).view(np.float64)


@given(
    bits=st.lists(BITS, max_size=50),
    first_index=st.integers(0, 2**63),
    start_time_ns=st.integers(-(2**63), 2**63),
    end=st.none() | st.sampled_from(EndReason),
    attributes=st.dictionaries(st.text(max_size=10), JSON, max_size=4),
    stream=st.text(max_size=40),
)
@example(bits=CORNERS, first_index=0, start_time_ns=0, end=None, attributes={}, stream="")
def test_a_block_comes_back_to_the_bit(
    bits: list[int],
    first_index: int,
    start_time_ns: int,
    end: EndReason | None,
    attributes: dict[str, Any],
    stream: str,
) -> None:
    values = of_bits(bits)
    flags = np.arange(len(bits), dtype=np.uint32)
    data = {"time_s": values, "voltage_v": values[::-1], "current_a": values, "flags": flags}
    block = SampleBlock(stream, first_index, start_time_ns, SAMPLE_COLUMNS, data, end, attributes)
    again = codec.decode(codec.encode(block))
    assert (again.stream, again.first_index, again.start_time_ns) == (stream, first_index, start_time_ns)
    assert (again.columns, again.end, again.attributes) == (SAMPLE_COLUMNS, end, attributes)
    for column in SAMPLE_COLUMNS:
        assert again[column.name].dtype == np.dtype(column.dtype)
        assert again[column.name].tobytes() == np.ascontiguousarray(data[column.name]).tobytes()
        assert again[column.name].flags.writeable


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">f8", ">u4"])
def test_every_dtype_has_its_tag(dtype: str) -> None:
    values = np.arange(5).astype(dtype)
    block = SampleBlock("s", 0, 0, (Column("x", "1", values.dtype.name),), {"x": values})
    again = codec.decode(codec.encode(block))
    assert np.array_equal(again["x"], values)
    assert again["x"].dtype == values.dtype.newbyteorder("=")


def test_a_dtype_without_a_tag_is_refused() -> None:
    block = SampleBlock("s", 0, 0, (Column("x", "1", "bool"),), {"x": np.zeros(3, dtype=bool)})
    with pytest.raises(InvalidValue, match="column 'x' is 1-dimensional bool"):
        codec.encode(block)


def test_the_bytes_are_those_of_the_documents() -> None:
    """RFC 8949 and RFC 8746 by hand: what any library will see."""
    block = SampleBlock.of((Column("t", "s"),), {"t": [1.5]}, stream="p", first_index=7, start_time_ns=START_NS)
    column = b"\xa3" + b"\x64name\x61t" + b"\x64unit\x61s" + b"\x64data\xd8\x56\x48" + struct.pack("<d", 1.5)
    expected = b"\xa7\x61v\x01\x66stream\x61p\x6bfirst_index\x07"
    expected += b"\x6dstart_time_ns\x1b" + START_NS.to_bytes(8, "big")
    expected += b"\x63end\xf6\x6aattributes\xa0\x67columns\x81" + column
    assert codec.encode(block) == expected


def test_a_header_fits_only_what_it_says() -> None:
    notes = ["first"]
    block = SampleBlock.of((Column("t", "s"),), {"t": [1.5]}, stream="p", attributes={"notes": notes})
    header = codec.Header(block)
    later = block.rebased("p", 2**40)
    assert header.fits(later)
    assert header.encode(later) == codec.encode(later)
    assert not header.fits(block.rebased("q", 0))
    assert not header.fits(block.rebased("p", 1, {"notes": ["first"], "run": "r"}))
    notes.append("second")
    assert not header.fits(block)


def changed(**fields: Any) -> bytes:
    message = cbor2.loads(codec.encode(ramp(3)[0]))
    message.update(fields)
    return cbor2.dumps({key: value for key, value in message.items() if value is not ...})


GOOD = {"name": "x", "unit": "1", "data": cbor2.CBORTag(86, b"\0" * 16)}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "ends too early"),
        (codec.encode(ramp(3)[0]) + b"\0", "1 bytes follow"),
        (codec.encode(ramp(3)[0])[:-1], "ends too early"),
        (b"\x80", "a block is a CBOR map"),
        (changed(v=2), "version is 2"),
        (changed(v=...), "version is None"),
        (changed(columns=[]), "at least one column"),
        (changed(columns=[GOOD, GOOD]), "'x' occurs twice"),
        (changed(columns=[GOOD, {**GOOD, "name": "y", "data": cbor2.CBORTag(86, b"")}]), "differ in length"),
        (changed(columns=[{**GOOD, "data": b"1234"}]), "byte string outside"),
        (changed(columns=[{**GOOD, "data": [1.0]}]), "data is"),
        (changed(columns=[{**GOOD, "data": cbor2.CBORTag(86, b"123")}]), "3 bytes are no array of items of 8"),
        (changed(columns=[{**GOOD, "data": cbor2.CBORTag(82, b"")}]), "tag 82"),
        (changed(columns=[{**GOOD, "data": cbor2.CBORTag(86, "text")}]), "not followed by a byte string"),
        (changed(first_index=-1), "cannot be negative"),
        (changed(first_index=1.0), "first_index is 1.0"),
        (changed(first_index=True), "first_index is True"),
        (changed(end="soon"), "end is 'soon'"),
        (changed(attributes=[]), "attributes is"),
        (changed(extra=cbor2.CBORTag(4, [2147483647, 1])), "tag 4"),
        (changed(extra=cbor2.CBORTag(35, "(a+)+$")), "tag 35"),
        (changed(extra=2**64), "tag 2"),
        (changed(extra={1: 2}), "key 1 is not text"),
        (b"\xbf\xff", "indefinite"),
        (b"\xa2\x61v\x01\x61v\x01", "'v' occurs twice"),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "items promised"),
        (b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "items promised"),
        (b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "ends too early"),
        (b"\x81" * 30, "nested deeper"),
        (b"\x62\xff\xff", "not UTF-8"),
        (b"\xf7", "simple value"),
    ],
    ids=range(31),
)
def test_what_is_no_block_is_refused(payload: bytes, text: str) -> None:
    with pytest.raises(InvalidValue, match=text):
        codec.decode(payload)


@given(st.binary(max_size=200) | hnp.arrays(np.uint8, 64).map(bytes))
def test_any_bytes_give_a_block_or_a_refusal(payload: bytes) -> None:
    try:
        codec.decode(payload)
    except InvalidValue:
        return


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_gives_a_block_or_a_refusal(position: int, value: int) -> None:
    payload = bytearray(codec.encode(ramp(3)[0]))
    payload[position % len(payload)] = value
    try:
        codec.decode(bytes(payload))
    except InvalidValue:
        return


def test_unknown_keys_are_left_to_later_versions() -> None:
    assert codec.decode(changed(colour="green")).stream == ""


def test_parts_follow_each_other() -> None:
    block = ramp(10, 10)[0].rebased("s", 100)
    left, right = codec.part(block, 0, 4), codec.part(block, 4, 10)
    assert (left.first_index, len(left), left.end) == (100, 4, None)
    assert (right.first_index, len(right), right.end) == (104, 6, EndReason.DURATION)
    assert codec.follows(left, right)
    assert not codec.follows(right, left)
    together = SampleBlock.concatenate([left, right])
    assert np.array_equal(together["voltage_v"], block["voltage_v"])
    assert together.end is EndReason.DURATION
    for other in (
        right.rebased("t", 104),
        right.rebased("s", 105),
        SampleBlock("s", 104, 1, right.columns, right.data, None, right.attributes),
        SampleBlock("s", 104, START_NS, right.columns, right.data, None, {"range": "10 nA"}),
    ):
        assert not codec.follows(left, other)


@given(samples=st.integers(1, 3000))
def test_the_header_is_never_larger_than_promised(samples: int) -> None:
    block = ramp(samples, samples)[0].rebased("s", 2**40)
    assert len(codec.encode(block)) <= codec.Header(block).size + samples * codec.bytes_per_sample(block)
