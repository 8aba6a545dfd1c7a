"""What potentiostats say: MethodSCRIPT, Keithley's source-measure units, the TDstat and the MYSTAT."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from drivers.errors import CellNotOff, DeviceError, LinkError, ProtocolError, WrongDevice
from drivers.potentiostats.keithley24xx import readings
from drivers.potentiostats.keithley24xx.driver import Keithley24xx
from drivers.potentiostats.keithley24xx.session import identity_of
from drivers.potentiostats.methodscript.assembly import Assembler
from drivers.potentiostats.methodscript.models import MODELS
from drivers.potentiostats.methodscript.protocol import Protocol, parse_capabilities
from drivers.potentiostats.methodscript.script import Settings, plan
from drivers.potentiostats.methodscript.stream import Event, StreamParser, Unreadable
from drivers.potentiostats.methodscript.values import Packets, parse_packet
from drivers.potentiostats.tdstat import codec
from drivers.potentiostats.tdstat.protocol import Session as TdstatSession
from drivers.samples import Flag
from drivers.techniques import Galvanostatic, Impedance, OpenCircuit, Technique

from .target import Target
from .wire import InstantClock, Says, chunkings, lines, outcome, play, talk

_METHODSCRIPT = "drivers.potentiostats.methodscript"
_PACKET_TOKENS = (
    b"Pda",
    b"ba",
    b"cc",
    b";",
    b",10",
    b",288",
    b"     nan",
    b"8000000 ",
    b"7F85F3Fu",
    b"M0007\n",
    b"*\n",
)
_ERROR_TOKENS = (b"!0032: Line 6\n", b"!4001: Line 3, Col 5\n", b"Z\n", b"L\n", b"+\n", b"C0000\n", b"-\n", b"T")
#: longer lines are cut wherever they arrive, and so differently by each chunking
_WHOLE_LINE = 4000


def stream(data: bytes) -> None:
    """The same events whatever the chunking, and the same numbers as line by line."""
    first: list[Any] = []
    for number, pieces in enumerate(chunkings(data)):
        parser = StreamParser()
        events = [event for piece in pieces for event in parser.feed(piece)]
        said = _said(events)
        assert len(said) <= data.count(b"\n") + len(data) // _WHOLE_LINE + 1
        if max(map(len, data.split(b"\n"))) > _WHOLE_LINE:
            continue
        if number == 0:
            first = said
        assert said == first, f"chunking {number} changes what is understood"


def _said(events: list[Event]) -> list[Any]:
    """Packets one by one, in a form that compares NaN as equal."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, Packets):
            for values, status, ranges in zip(event.values, event.status, event.ranges, strict=True):
                found.append((event.types, values.tobytes(), status.tolist(), ranges.tolist()))
        else:
            found.append(event)
    return found


def lines_and_blocks(data: bytes) -> None:
    """Many packets at once are read as one is: the block parser against the line parser."""
    for line in data.split(b"\n"):
        if not line.startswith(b"P") or len(line) > 255 or min(line) < 0x20:
            continue
        row = parse_packet(line)
        said = _said(StreamParser().feed((line + b"\n") * 20))
        if row is None:
            assert not any(isinstance(event, tuple) for event in said)
        else:
            one = (row.types, np.array(row.values, np.float64).tobytes(), row.status, row.ranges)
            assert said == [one] * 20


_ASKED: tuple[Technique, ...] = (
    Galvanostatic(current_a=1e-9, duration_s=100, interval_s=0.1),
    OpenCircuit(duration_s=100, interval_s=0.1),
    Impedance(),
)


def assembly(data: bytes) -> None:
    """Columns out of whatever packets there are: never more samples than packets, each with all its columns."""
    events = StreamParser().feed(data)
    for technique in _ASKED:
        assembler = Assembler(plan(technique, MODELS["es4_hr"], Settings()))
        packets = samples = 0
        try:
            for event in events:
                if isinstance(event, Packets):
                    packets += len(event)
                    for segment in assembler.add(event):
                        samples += len(segment)
                        assert all(len(column) == len(segment) for column in segment.data.values())
                        assert set(segment.data) == {column.name for column in assembler.columns}
                elif isinstance(event, Unreadable):
                    assembler.lost_line()
            assembler.check_end()
        except ProtocolError:
            assert samples < max(packets, 1)
        assert samples <= packets


async def _protocol(pieces: list[bytes], ask: str) -> Any:
    conversation = await talk(Says(pieces))
    protocol = Protocol(InstantClock(), abort_timeout_s=1.0)
    match ask:
        case "t":
            return await protocol.firmware(conversation)
        case "CM":
            return parse_capabilities(await protocol.ask(conversation, "CM"))
        case "Z":
            return await protocol.quiet(conversation)
        case "l":
            return await protocol.load(conversation, "l", ["cell_off"])
        case "e":
            return await protocol.cell_off(conversation)
    return await protocol.loads_apart(conversation)


def protocol(data: bytes) -> None:
    """Each question, with the input as its answer. Some drain the wire, and so depend on what came by then."""
    for ask in ("t", "CM", "Z", "l", "e", ""):
        found = [outcome(_protocol(pieces, ask)) for pieces in chunkings(data)]
        if ask in ("t", "CM") and b"!" not in data:
            assert all(one == found[0] for one in found), f"chunking changes the answer to {ask}: {found}"
        assert not isinstance(found[0], type) or issubclass(found[0], LinkError | DeviceError)


def keithley_readings(data: bytes) -> None:
    """Each line as a reading, an error, an identity. A number is finite, or NaN with the flag that says why."""
    clock = readings.DeviceTime(99_999.999)
    clock.start(0.0, 0.0)
    forms = readings.Form(signed=True), readings.Form(signed=False)
    elapsed_s = 0.0
    for number, line in enumerate(data.decode("latin-1").split("\n"), 1):
        for parse in (
            readings.reading_2400,
            lambda text: readings.reading_2450(text, current_is_sourced=True),
            lambda text: readings.reading_2450(text, current_is_sourced=False),
        ):
            reading = _or_none(parse, line)
            if reading is None:
                continue
            assert math.isfinite(reading.stamp_s)
            for value in (reading.voltage_v, reading.current_a):
                assert math.isfinite(value) or (math.isnan(value) and reading.flags & (Flag.INVALID | Flag.OVERLOAD))
            stamped = _or_none(lambda _, r=reading, n=number: clock.elapsed(r.stamp_s, float(n)), "")
            if stamped is not None:
                assert stamped[0] >= elapsed_s, "time went back"
                elapsed_s = stamped[0]
        for form in forms:
            _or_none(lambda text, form=form: form.check([part.strip() for part in text.split(",")]), line)
        error = _or_none(readings.error_of, line)
        assert error is None or isinstance(error[0], int)
        with contextlib.suppress(ProtocolError, WrongDevice):
            identity_of(line)


def _or_none(parse: Any, line: str) -> Any:
    try:
        return parse(line)
    except (ProtocolError, DeviceError):
        return None


async def _keithley(data: bytes) -> None:
    device = Keithley24xx(Says(lines(data), answers=1), name="smu", clock=InstantClock())
    await device.connect()
    try:
        await device.identify()
    finally:
        await device.close()


def keithley(data: bytes) -> None:
    """A whole acquaintance; each line of the input is there after one more command."""
    play(_keithley(data))


async def _tdstat(data: bytes) -> None:
    pieces = _packets(data)
    session = TdstatSession(Says(pieces, packets=True, answers=1), "tdstat")
    calibration = await session.open()
    async with session.exchange("sample") as exchange:
        packet = await exchange.sample()
        if packet is not None:
            calibration.decode(packet, 0)
    await session.cell_off()


def _packets(data: bytes) -> list[bytes]:
    """Packets as on USB: a byte that says how long (0 to 15), then so many."""
    found, position = [], 0
    while position < len(data):
        length = data[position] & 15
        found.append(data[position + 1 : position + 1 + length])
        position += 1 + length
    return found


def tdstat(data: bytes) -> None:
    play(_tdstat(data))


def tdstat_numbers(data: bytes) -> None:
    """Calibration and samples out of raw bytes; what was decoded as a set point encodes to the same."""
    for model in codec.MODELS.values():
        block, offsets = data[: model.shunt_bytes], data[8:14]
        if len(offsets) < codec.SAMPLE_BYTES:
            return
        calibration = codec.Calibration.of(model, offsets, block.ljust(model.shunt_bytes, b"\xff"))
        for place in range(14, len(data) - 5, 6):
            for index in range(len(model.nominal_a)):
                voltage, current, flags = calibration.decode(data[place : place + 6], index)
                for value in (voltage, current):
                    assert math.isfinite(value) or flags & Flag.INVALID
                if flags:
                    continue
                bare = codec.default_calibration(model)
                volts = bare.decode(data[place : place + 6], index)[0]
                if abs(volts) < model.voltage_full_scale_v * (1 - 1e-6):
                    code = int.from_bytes(bare.voltage_code(volts), "big") / 16 - codec.DAC_SPAN
                    assert abs(code / codec.DAC_SPAN * model.voltage_full_scale_v - volts) < 1e-4


TARGETS = (
    Target(
        "methodscript-stream",
        lambda data: (stream(data), lines_and_blocks(data))[0],
        (),
        (f"{_METHODSCRIPT}.stream", f"{_METHODSCRIPT}.values"),
        bytes_per_byte=600,
        tokens=(*_PACKET_TOKENS, *_ERROR_TOKENS),
    ),
    Target(
        "methodscript-assembly",
        assembly,
        (),
        (f"{_METHODSCRIPT}.assembly", f"{_METHODSCRIPT}.stream"),
        bytes_per_byte=600,
        tokens=(*_PACKET_TOKENS, b"Peb", b"ab", b"db", b"dc", b"cd", b"eb8000064m"),
    ),
    Target(
        "methodscript-protocol",
        protocol,
        (),
        (f"{_METHODSCRIPT}.protocol",),
        bytes_per_byte=120,
        limit=1024,
        tokens=(b"tes4_lr1500#", b"R*\n", b"B*\n", b"CM", b"Z!0006\n", b"l!4001: Line 1, Col 1\n", b"espico", b"\n"),
    ),
    Target(
        "keithley-readings",
        keithley_readings,
        (),
        ("drivers.potentiostats.keithley24xx.readings", "drivers.potentiostats.keithley24xx.session"),
        bytes_per_byte=120,
        tokens=(b"+9.91E37", b"+9.9E37", b"nan", b"inf", b'-113,"', b"KEITHLEY", b"MODEL 2400", b"48132", b"1_0"),
    ),
    Target(
        "keithley-session",
        keithley,
        (LinkError, DeviceError, CellNotOff),
        ("drivers.potentiostats.keithley24xx.session", "drivers.potentiostats.keithley24xx.driver"),
        bytes_per_byte=400,
        limit=1024,
        tokens=(
            b"KEITHLEY INSTRUMENTS INC.,MODEL 6430,1,C27\n",
            b"\n1\n",
            b"\n0\n",
            b'0,"No error"\n',
            b"inf\n",
            b"nan\n",
        ),
    ),
    Target(
        "tdstat-session",
        tdstat,
        (LinkError, DeviceError),
        ("drivers.potentiostats.tdstat.protocol", "drivers.potentiostats.tdstat.codec"),
        bytes_per_byte=400,
        limit=256,
        tokens=(b"\x02OK", b"\x04WAIT", b"\x01?", b"\x06\xff\xff\xff\xff\xff\xff", b"\x08\x80\0\x80\0\x80\0\x80\0"),
    ),
    Target("tdstat-numbers", tdstat_numbers, (), ("drivers.potentiostats.tdstat.codec",), limit=128),
)
