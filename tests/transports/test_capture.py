"""What passes is written down, and can be played back in the instrument's place."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidValue
from drivers.transports import open_transport
from drivers.transports.capture import CaptureEntry, CaptureFile, read_capture
from mocks.wires import Served, UsbDescriptor, serve
from mocks.wires.replay import Replay, Turn, read_turns
from mocks.world import World

from .instruments import KINDS, PATIENCE_S, Echo, address_of, rig


async def talk(served: Served, kind: str, *lines: bytes) -> list[bytes]:
    transport = open_transport(address_of(served, kind))
    await transport.open()
    answers = []
    try:
        for line in lines:
            await transport.write(line + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += await transport.read(PATIENCE_S)
            answers.append(answer)
    finally:
        await transport.close()
    return answers


class UsbReplay(Replay):
    usb: ClassVar[UsbDescriptor] = UsbDescriptor(0x1234, 0x5678)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_recording_plays_back_as_it_was(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "echo.jsonl"
    async with rig(kind) as r:
        r.transport.capture = CaptureFile(path, str(r.transport.address))
        original = [await r.ask(line) for line in (b"one", b"\x00\xff", b"three")]
    entries = list(read_capture(path))
    assert b"".join(e.data for e in entries if e.direction == ">") == b"one\n\x00\xff\nthree\n"
    assert [e.t_ns for e in entries] == sorted(e.t_ns for e in entries)

    replay = UsbReplay(World(), "echo", path=path, packets=kind == "usb")
    async with serve(replay, KINDS[kind]) as served:
        again = await talk(served, kind, b"one", b"\x00\xff", b"three")
    assert [answer[:-1] for answer in again] == original
    replay.check()
    assert replay.finished


async def test_a_capture_goes_on_when_the_wire_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "echo.jsonl"
    async with rig("serial") as r:
        r.transport.capture = CaptureFile(path)
        await r.ask(b"one")
        await r.transport.close()
        await r.transport.open()
        await r.ask(b"two")
        # every line is in the file at once, not only after closing
        assert [e.data for e in read_capture(path) if e.direction == ">"] == [b"one\n", b"two\n"]
    header = json.loads(path.read_text().splitlines()[0])
    assert header["picobridge_capture"] == 1
    assert header["utc"].endswith("+00:00")


async def test_leftovers_and_drained_bytes_are_recorded_too(tmp_path: Path) -> None:
    path = tmp_path / "echo.jsonl"
    async with rig("serial") as r:
        r.transport.capture = CaptureFile(path)
        await r.transport.write(b"one\n")
        await r.transport.drain(0.05)
        assert b"".join(e.data for e in read_capture(path) if e.direction == "<") == b"answer to one\n"


@given(st.lists(st.tuples(st.sampled_from("<>"), st.binary(min_size=1))))
def test_any_bytes_survive_the_file(tmp_path_factory: pytest.TempPathFactory, passed: list[tuple[str, bytes]]) -> None:
    path = tmp_path_factory.mktemp("capture") / "any.jsonl"
    capture = CaptureFile(path)
    for direction, data in passed:
        capture.record(direction, data)
    capture.close()
    assert [(e.direction, e.data) for e in read_capture(path)] == passed
    turns = read_turns(path)
    assert b"".join(turn.expected for turn in turns) == b"".join(data for d, data in passed if d == ">")
    assert [a for turn in turns for a in turn.answers] == [data for d, data in passed if d == "<"]


def write(path: Path, *entries: tuple[str, bytes]) -> Path:
    capture = CaptureFile(path)
    for direction, data in entries:
        capture.record(direction, data)
    capture.close()
    return path


def test_turns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a", ("<", b"banner"), (">", b"on"), (">", b"read"), ("<", b"1"), ("<", b"2"), (">", b"off")
    )
    assert read_turns(path) == [
        Turn(b"", (b"banner",)),
        Turn(b"on", ()),
        Turn(b"read", (b"1", b"2")),
        Turn(b"off", ()),
    ]


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ([b"one\n", b"tow\n"], r"exchange 2: the client sent b'tow\n', the capture has b'two\n' (byte 1)"),
        ([b"one\n", b"two\nthree\n"], r"after the end of the capture the client sent b'three\n'"),
        ([b"on"], r"the client stopped after 0 of 2 exchanges; it should have sent b'one\n', of which came b'on'"),
        ([b"one\n"], r"the client stopped after 1 of 2 exchanges"),
    ],
)
def test_the_first_difference_is_told(tmp_path: Path, sent: list[bytes], complaint: str) -> None:
    path = write(tmp_path / "a", (">", b"one\n"), ("<", b"1"), (">", b"two\n"), ("<", b"2"))
    replay = Replay(World(), "echo", path=path)
    for data in sent:
        replay.receive(data)
    replay.receive(b"") if replay.difference else None
    with pytest.raises(AssertionError) as caught:
        replay.check()
    assert complaint in str(caught.value)
    assert not replay.finished


@given(st.data())
def test_a_stream_may_be_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = write(tmp_path_factory.mktemp("capture") / "a", (">", b"one\n"), ("<", b"1"), (">", b"two\n"), (">", b"x"))
    replay = Replay(World(), "echo", path=path)
    rest = b"one\ntwo\nx"
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        replay.receive(rest[:size])
        rest = rest[size:]
    replay.check()
    assert replay.record == ["one\n", "two\n", "x"]


def test_packets_are_compared_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a", (">", b"CELL ON"), ("<", b"OK"))
    replay = Replay(World(), "echo", path=path, packets=True)
    replay.receive(b"CELL")
    assert "the client sent b'CELL', the capture has b'CELL ON'" in replay.difference


async def test_what_was_said_first_is_said_when_the_client_comes(tmp_path: Path) -> None:
    path = write(tmp_path / "a", ("<", b"banner\n"), (">", b"one\n"), ("<", b"1\n"))
    replay = Replay(World(), "echo", path=path)
    async with serve(replay, "tcp") as served:
        transport = open_transport(served.address)
        await transport.open()
        assert await transport.read(PATIENCE_S) == b"banner\n"
        await transport.write(b"one\n")
        assert await transport.read(PATIENCE_S) == b"1\n"
        await transport.close()
    replay.check()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a picobridge capture"),
        ("{}\n", "is not a picobridge capture"),
        ("[1]\n", "is not a picobridge capture"),
        ('{"picobridge_capture": 2}\n', "is not a picobridge capture of version 1"),
        ('{"picobridge_capture": 1}\n{"t_ns": 1, "dir": "<"}\n', "line 2: KeyError"),
        ('{"picobridge_capture": 1}\n{"t_ns": 1, "dir": "=", "hex": ""}\n', "line 2: .*accepted: >, <"),
        ('{"picobridge_capture": 1}\nnonsense\n', "line 2"),
        ('{"picobridge_capture": 1}\n{"t_ns": 1, "dir": "<", "hex": "0"}\n', "line 2"),
    ],
)
def test_what_is_no_capture_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "a"
    path.write_text(text)
    with pytest.raises(InvalidValue, match=complaint):
        list(read_capture(path))


def test_a_line_cut_off_by_a_crash_ends_the_capture(tmp_path: Path) -> None:
    path = write(tmp_path / "a", ("<", b"whole"), ("<", b"cut"))
    path.write_text(path.read_text()[:-4])
    assert [e.data for e in read_capture(path)] == [b"whole"]


def test_a_file_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="cannot be written: No such file"):
        CaptureFile(tmp_path / "no" / "a")
    with pytest.raises(InvalidValue, match="cannot be read"):
        list(read_capture(tmp_path / "a"))
    with pytest.raises(ValueError, match="not a picobridge capture"):
        read_turns(write_text(tmp_path / "b", "{}\n"))


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def test_a_broken_mock_is_not_silent() -> None:
    class Broken(Echo):
        def receive(self, data: bytes) -> None:
            self.heard.set()
            raise ZeroDivisionError

    async def use(broken: Broken) -> None:
        async with serve(broken) as served:
            transport = open_transport(served.address)
            await transport.open()
            await transport.write(b"x\n")
            await broken.heard.wait()
            await transport.close()

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ZeroDivisionError):
            await use(Broken())


def test_entries_compare_by_value() -> None:
    assert CaptureEntry(1, ">", b"x") == CaptureEntry(1, ">", b"x")
