"""The faults themselves: what each does to the bytes, when, and always the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocks.wires import Faults, serve
from mocks.wires.baud import garble

from .instruments import Echo


def replies(faults: Faults, *texts: bytes) -> list[bytes]:
    return [b"".join(faults.outgoing(text)) for text in texts]


async def test_what_each_fault_does() -> None:
    faults = Faults()
    faults.split()
    assert faults.outgoing(b"abc") == [b"a", b"b", b"c"]
    faults.clear()
    faults.merge(2)
    assert [faults.outgoing(text) for text in (b"a", b"b", b"c", b"d")] == [[], [b"ab"], [], [b"cd"]]
    faults.clear()
    faults.drop(nth=2)
    assert replies(faults, b"a", b"b", b"c") == [b"a", b"", b"c"]
    faults.clear()
    faults.drop(offset=1, count=2)
    assert replies(faults, b"abcd", b"abcd") == [b"ad", b"abcd"]
    faults.clear()
    faults.drop(offset=-1, count=1)
    assert replies(faults, b"abcd") == [b"abc"]
    faults.clear()
    faults.duplicate(times=2)
    assert replies(faults, b"a", b"b", b"c") == [b"aa", b"bb", b"c"]
    faults.clear()
    faults.corrupt(offset=-1, mask=0x20)
    assert replies(faults, b"ab", b"ab") == [b"aB", b"ab"]
    faults.clear()
    faults.silence(nth=2)
    assert replies(faults, b"a", b"b", b"c") == [b"a", b"", b""]
    faults.clear()
    faults.garbage(b"?")
    faults.garbage(b"!", after=True, nth=2)
    assert replies(faults, b"a", b"b", b"c") == [b"?a", b"b!", b"c"]
    faults.clear()
    faults.deaf(nth=2, times=1)
    assert [faults.incoming(text) for text in (b"a", b"b", b"c")] == [[b"a"], [], [b"c"]]


async def test_late_comes_with_the_next_request_or_on_demand() -> None:
    faults = Faults()
    sent: list[bytes] = []
    faults.transmit = sent.append
    rule = faults.late(nth=2)
    assert faults.outgoing(b"a") == [b"a"]
    assert faults.outgoing(b"b") == []
    assert sent == []
    await faults.holding()
    assert faults.incoming(b"request") == [b"request"]
    assert sent == [b"b"]
    assert rule.hits == 1
    faults.late()
    faults.outgoing(b"c")
    faults.release()
    assert sent == [b"b", b"c"]
    faults.late()
    faults.outgoing(b"lost")
    faults.clear()
    faults.incoming(b"request")
    assert sent == [b"b", b"c"]


async def test_chance_comes_from_the_seed() -> None:
    def play(seed: int) -> list[bytes]:
        faults = Faults(seed)
        faults.corrupt(times=None)
        faults.garbage(times=None)
        return replies(faults, b"some bytes", b"and more", b"")

    assert play(1) == play(1)
    assert play(1) != play(2)
    corrupted = Faults(3)
    corrupted.corrupt(times=None)
    for _ in range(100):
        (changed,) = replies(corrupted, b"0123456789")
        assert sum(a != b for a, b in zip(changed, b"0123456789", strict=True)) == 1


async def test_a_script_is_plain_data() -> None:
    faults = Faults()
    rules = faults.script([{"fault": "garbage", "data": "3f 21", "nth": 2}, {"fault": "drop", "nth": 3}])
    assert replies(faults, b"a", b"b", b"c", b"d") == [b"a", b"?!b", b"", b"d"]
    assert [rule.hits for rule in rules] == [1, 1]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({}, "fault None; accepted: split, merge"),
        ({"fault": "explode"}, "fault 'explode'; accepted: split, merge"),
        ({"fault": "clear"}, "fault 'clear'; accepted"),
        ({"fault": "drop", "nht": 2}, "fault 'drop' with {'nht': 2}"),
        ({"fault": "drop", "nth": 0}, "count from 1"),
        ({"fault": "drop", "times": 0}, "count from 1"),
    ],
)
async def test_wrong_scripts_say_what_is_accepted(entry: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=r"fault|count from 1") as caught:
        Faults().script([entry])
    assert complaint in str(caught.value)


async def test_an_unknown_wire_says_what_is_accepted() -> None:
    with pytest.raises(ValueError, match="wire 'gpib'; accepted: pty, tcp, usb"):
        async with serve(Echo(), "gpib"):
            pass


# --- baud rates -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=40), st.sampled_from([9600, 19200, 115200]), st.floats(-0.02, 0.02))
def test_small_deviations_do_no_harm(data: bytes, baud: int, deviation: float) -> None:
    assert garble(data, baud, round(baud * (1 + deviation))) == data


def test_large_ones_do() -> None:
    text = b"identify yourself\r\n"
    for sent, received in ((9600, 19200), (19200, 9600), (9600, 115200), (115200, 9600), (9600, 10800)):
        assert garble(text, sent, received) != text
    # by hand: 'U' is 0101010101 on the line with start and stop bit, so 00110011001100110011 at twice the rate; the
    # first frame takes 0 01100110 0 (framing error), and once the line was high the next takes 0 0110011 and the idle
    assert garble(b"U", 9600, 19200) == bytes([0b01100110, 0b11100110])


@given(st.binary(max_size=40), st.integers(300, 1_000_000), st.integers(300, 1_000_000))
def test_any_pair_of_rates_gives_some_bytes(data: bytes, sent: int, received: int) -> None:
    result = garble(data, sent, received)
    assert len(result) <= (10 * len(data) * received / sent) / 9.5 + 1
    assert bool(result) or not data or sent > received
