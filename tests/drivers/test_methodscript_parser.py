"""The vectorised parser against the obvious one, public vectors, and damage of every kind."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.potentiostats.methodscript.stream import (
    Echo,
    ErrorLine,
    Event,
    Marker,
    ScriptEnd,
    StreamParser,
    Text,
    Unreadable,
)
from drivers.potentiostats.methodscript.values import EXPONENTS, Packets, parse_packet

from . import methodscript_oracle as oracle

PREFIXES = "".join(EXPONENTS)

Rows = list[list[tuple[str, float, int, int]]]


def rows_of(events: list[Event]) -> Rows:
    rows: Rows = []
    for event in events:
        if isinstance(event, Packets):
            for values, status, ranges in zip(event.values, event.status, event.ranges, strict=True):
                rows.append(
                    [
                        (kind, float(value), int(s), int(r))
                        for kind, value, s, r in zip(event.types, values, status, ranges, strict=True)
                    ]
                )
    return rows


def same(left: Rows, right: Rows) -> bool:
    """Equal to the bit; NaN equals NaN."""
    return [[(k, np.float64(v).tobytes() if v == v else b"nan", s, r) for k, v, s, r in row] for row in left] == [
        [(k, np.float64(v).tobytes() if v == v else b"nan", s, r) for k, v, s, r in row] for row in right
    ]


# --- public vectors -------------------------------------------------------------------------------------------------

#: PalmSens MethodSCRIPT_Examples at bd1a44a, Example_C/README.adoc (LSV and EIS on a 10 kOhm dummy cell); manual v1.8
#: chapters 4 to 6 and "Communication protocol for EmStat4 v1.3" 4.28 as a third-party test quotes them
VECTORS = [
    (b"Pda7F85F3Fu;ba48D503Dp,10,288", [-0.499905, -57.847747e-6], [0, 0], [-1, 0x88]),
    (b"Pda7F9234Bu;ba4E2C324p,10,288", [-0.449717, -52.247772e-6], [0, 0], [-1, 0x88]),
    (b"Pda806EC24u;baAE16C6Dp,10,288", [0.453668, 48.327789e-6], [0, 0], [-1, 0x88]),
    (b"Pda807B031u;baB360495p,10,288", [0.503857, 53.871765e-6], [0, 0], [-1, 0x88]),
    (b"PdcDF5DFF4u;cc896D904m,10,287;cd82DB1A8u,10,287", [99.999732, 9885.956, 2.9946], [0, 0, 0], [-1, 0x87, 0x87]),
    (b"Pda7F0BDF9u;ba7678CD7p,10,20F,40", [-0.999943, -9.990953e-6], [0, 0], [-1, 0x0F]),
    (b"Pja8000001i;da7F0BDF9u;ba7678CD7p,10,20F,40", [1.0, -0.999943, -9.990953e-6], [0, 0, 0], [-1, -1, 0x0F]),
    (b"Pda8000800u;ba8000800u,10,20B", [2.048e-3, 2.048e-3], [0, 0], [-1, 0x0B]),
    (b"PdaDF5CB18n;ba9699F74p,14,218,40", [0.099994392, 23.699316e-6], [0, 4], [-1, 0x18]),
    (b"Peb9570C36u;ba898E141p,10,20F,40", [22.481974, 10.019137e-6], [0, 0], [-1, 0x0F]),
    (b"Pda8000000 ;ba9AE0ABCf,14,212,40", [0.0, 2.8183228e-8], [0, 4], [-1, 0x12]),
]


@pytest.mark.parametrize(("line", "values", "status", "ranges"), VECTORS)
@pytest.mark.parametrize("copies", [1, 100])
def test_public_vectors(line: bytes, values: list[float], status: list[int], ranges: list[int], copies: int) -> None:
    events = StreamParser().feed((line + b"\n") * copies)
    assert len(events) == 1
    packets = events[0]
    assert isinstance(packets, Packets)
    assert packets.values.tolist() == [values] * copies
    assert packets.status.tolist() == [status] * copies
    assert packets.ranges.tolist() == [ranges] * copies


def test_the_readme_of_the_makers_c_example_prints_a_wrong_current() -> None:
    """It says -4.999E-01 A for a current of -54.88 uA: the potential, printed twice."""
    row = parse_packet(b"Pda7F85F3Fu;ba4BA99F0p,10,288")
    assert row is not None
    assert row.values == [-0.499905, -54.87976e-6]


def test_transcript_of_the_makers_readme() -> None:
    transcript = (
        b"M0000\nPda7F85F3Fu;ba48D503Dp,10,288\nPda7F9234Bu;ba4E2C324p,10,288\n"
        b"Pda806EC24u;baAE16C6Dp,10,288\nPda807B031u;baB360495p,10,288\n*\n\n"
    )
    parser = StreamParser()
    events = parser.feed(transcript)
    assert events[0] == Marker("M", True, "M0000")
    assert len(rows_of(events)) == 4
    assert events[-2:] == [Marker("M", False, "*"), ScriptEnd()]
    assert parser.ended


def test_values_are_the_nearest_doubles() -> None:
    """1e-15 times an integer is not: 3 fA would come out one bit off."""
    row = parse_packet(b"Pba8000003f")
    assert row is not None
    assert row.values == [3e-15]
    assert 3 * 1e-15 != 3e-15
    for prefix, exponent in EXPONENTS.items():
        row = parse_packet(f"Pba{0x8000000 + 76543217:07X}{prefix}".encode())
        assert row is not None
        assert row.values == [float(Decimal(76543217).scaleb(exponent))]


# --- against the oracle ---------------------------------------------------------------------------------------------

_value = st.one_of(
    st.builds(lambda n, p: f"{n:07X}{p}", st.integers(0, 2**28 - 1), st.sampled_from(PREFIXES)),
    st.builds(lambda n, p: f"{n:07X}{p}", st.integers(2**27 - 3, 2**27 + 3), st.sampled_from("fpn u")),
    st.just("     nan"),
)
_kind = st.sampled_from(["da", "ab", "ba", "db", "eb", "cc", "cd", "dc", "ja", "zz"])
_metadata = st.lists(
    st.one_of(
        st.integers(0, 15).map(lambda n: f"1{n:X}"),
        st.integers(0, 255).map(lambda n: f"2{n:02X}"),
        st.integers(0, 15).map(lambda n: f"4{n:X}"),
        st.sampled_from(["3", "5abc", "9!?"]),
    ),
    max_size=3,
).map(lambda items: "".join(f",{item}" for item in items))


@st.composite
def _streams(draw: st.DrawFn) -> str:
    """Runs of lines of the same form, as loops send them, with the odd one between."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kinds = draw(st.lists(_kind, min_size=1, max_size=4))
        metadata = [draw(_metadata) for _ in kinds]
        for _ in range(draw(st.integers(1, 16))):
            fields = [f"{kind}{draw(_value)}{meta}" for kind, meta in zip(kinds, metadata, strict=True)]
            lines.append("P" + ";".join(fields))
    return "".join(f"{line}\n" for line in lines)


@given(text=_streams(), data=st.data())
def test_agrees_with_the_obvious_parser_in_any_chunks(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    parser = StreamParser()
    events: list[Event] = []
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        events += parser.feed(raw[begin:end])
    assert not [event for event in events if isinstance(event, Unreadable)]
    assert same(rows_of(events), oracle.parse(text))


@given(data=st.binary(max_size=2000), chunk=st.integers(1, 300))
def test_never_raises_on_rubbish(data: bytes, chunk: int) -> None:
    parser = StreamParser()
    for begin in range(0, len(data), chunk):
        parser.feed(data[begin : begin + chunk])


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255), text=_streams())
def test_a_damaged_line_spoils_no_other(place: int, flip: int, text: str) -> None:
    """One damaged byte changes, loses or splits its own line, or joins it with the next: all others are as sent."""
    raw = bytearray(text.encode())
    place %= len(raw)
    raw[place] ^= flip
    first = text.encode()[:place].count(b"\n")
    expected = oracle.parse(text)
    parser = StreamParser()
    found = rows_of(parser.feed(bytes(raw)))
    assert same(found[:first], expected[:first])
    if not parser.ended:
        untouched = len(expected) - first - 2
        assert untouched <= 0 or same(found[-untouched:], expected[-untouched:])


# --- the grammar ----------------------------------------------------------------------------------------------------


def test_control_characters_are_never_data() -> None:
    line = b"Pda7F85F3Fu;ba48D503Dp,10,288"
    for count in (1, 60):
        dirty = b"".join(line[:7] + b"\x11" + line[7:20] + b"\x13" + line[20:] + b"\r\n" for _ in range(count))
        assert same(rows_of(StreamParser().feed(dirty)), rows_of(StreamParser().feed((line + b"\n") * count)))


def test_no_value_is_nan() -> None:
    for count in (1, 60):
        packets = StreamParser().feed(b"Pda     nan;ba8000001p,12,203\n" * count)[0]
        assert isinstance(packets, Packets)
        assert np.isnan(packets.values[:, 0]).all()
        assert (packets.values[:, 1] == 1e-12).all()
        assert (packets.status[:, 1] == 2).all()


def test_a_trailing_blank_is_the_prefix_and_may_have_been_trimmed() -> None:
    for line in (b"Pda8000005 ", b"Pda8000005"):
        row = parse_packet(line)
        assert row is not None
        assert row.values == [5.0]
    assert parse_packet(b"Pda8000005;ba8000005 ") is None


def test_nested_loops_text_and_echoes() -> None:
    parser = StreamParser()
    events = parser.feed(b"L\nM0005\nC0001\nPda8000001m;ba8000001p\n-\nC0002\n-\nZ\n*\nThello !12\n+\n\nrest")
    assert [event for event in events if not isinstance(event, Packets)] == [
        Marker("L", True, "L"),
        Marker("M", True, "M0005"),
        Marker("C", True, "C0001"),
        Marker("C", False, "-"),
        Marker("C", True, "C0002"),
        Marker("C", False, "-"),
        Echo("Z"),
        Marker("M", False, "*"),
        Text("hello !12"),
        Marker("L", False, "+"),
        ScriptEnd(),
    ]
    assert parser.depth == 0
    assert parser.rest == b"rest"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"!0032: Line 12", ErrorLine(0x32, 12, None, "!0032: Line 12")),
        (b"e!4001: Line 1, Col 27", ErrorLine(0x4001, 1, 27, "e!4001: Line 1, Col 27")),
        (b"Z!0006", ErrorLine(0x6, None, None, "Z!0006")),
        (b"Pda7F85F3Fu;ba!0032: Line 9", ErrorLine(0x32, 9, None, "Pda7F85F3Fu;ba!0032: Line 9")),
        (b"Tso far!0010: Line 3", ErrorLine(0x10, 3, None, "Tso far!0010: Line 3")),
    ],
)
def test_errors_are_seen_anywhere(line: bytes, error: ErrorLine) -> None:
    assert StreamParser().feed(line + b"\n") == [error]


def test_an_empty_line_ends_the_script_only_when_its_loops_are_closed() -> None:
    parser = StreamParser()
    assert Unreadable(b"") in parser.feed(b"M0007\nPba8000001p\n\nPba8000002p\n")
    assert not parser.ended
    parser.feed(b"*\n\n")
    assert parser.ended
    aborted = StreamParser()
    aborted.feed(b"M0007\nZ\n\n")
    assert aborted.ended


@pytest.mark.parametrize(
    "line",
    [
        b"P",
        b"Pda",
        b"Pda80",
        b"Pda80000G0u",
        b"Pda8000000x",
        b"PDA8000000u",
        b"Pda8000000u;",
        b"Pda8000000u,1G",
        b"Pda8000000u,2F",
    ],
)
def test_damaged_packets_are_told(line: bytes) -> None:
    assert parse_packet(line) is None
    assert StreamParser().feed(line + b"\n") == [Unreadable(line)]


def test_one_damaged_line_in_a_block_is_told_in_its_place() -> None:
    good = b"Pda8000001u;ba8000002p,10,203\n"
    events = StreamParser().feed(good * 40 + b"Pda80G0001u;ba8000002p,10,203\n" + good * 40)
    assert [len(event) if isinstance(event, Packets) else event for event in events] == [
        40,
        Unreadable(b"Pda80G0001u;ba8000002p,10,203"),
        40,
    ]


def test_bytes_without_an_end_are_given_up() -> None:
    parser = StreamParser()
    events = parser.feed(b"P" * 5000)
    assert isinstance(events[0], Unreadable)
    assert not parser.ended
    assert rows_of(parser.feed(b"\nPba8000001p\n")) == [[("ba", 1e-12, 0, -1)]]
