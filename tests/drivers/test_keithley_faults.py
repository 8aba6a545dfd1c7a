"""Each fault of the wire against a Keithley: a right sample or an error, never a wrong sample; and the relay open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing, suppress

import pytest

from drivers.errors import CellNotOff, DeviceError, DeviceLost, LinkError, PicobridgeError, ProtocolError, WrongDevice
from drivers.potentiostats.keithley24xx import Keithley24xx, Keithley24xxOptions
from drivers.samples import Flag, SampleBlock
from drivers.techniques import Galvanostatic
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.wires import Served, serve
from mocks.wires.faults import Faults
from mocks.world import World

from .keithley_bench import Bench, bench

RUN = Galvanostatic(current_a=1e-9, duration_s=0.5, interval_s=0.1)
#: which reply of a run is hit: one to its settings, one of the readings, the first of the proof that the output is off
IN_SETTINGS, IN_READINGS, IN_OFF = 12, 42, 45

FAULTS: dict[str, Callable[[Faults, int], object]] = {
    "split": lambda faults, nth: faults.split(nth=nth, times=1),
    "merge": lambda faults, nth: faults.merge(2, nth=nth, times=2),
    "drop": lambda faults, nth: faults.drop(nth=nth),
    "first half lost": lambda faults, nth: faults.drop(nth=nth, count=3),
    "end lost": lambda faults, nth: faults.drop(nth=nth, offset=-2, count=2),
    "duplicate": lambda faults, nth: faults.duplicate(nth=nth),
    "corrupt": lambda faults, nth: faults.corrupt(nth=nth, offset=2, mask=0x80),
    "corrupt end": lambda faults, nth: faults.corrupt(nth=nth, offset=-1, mask=0x40),
    "late": lambda faults, nth: faults.late(nth=nth),
    "silence": lambda faults, nth: faults.silence(nth=nth, times=1),
    "garbage": lambda faults, nth: faults.garbage(nth=nth),
    "garbage after": lambda faults, nth: faults.garbage(after=True, nth=nth),
}


async def outcome(b: Bench) -> tuple[list[SampleBlock], PicobridgeError | None]:
    blocks: list[SampleBlock] = []
    try:
        async with aclosing(b.smu.run(RUN)) as run:
            async for block in run:
                blocks.append(block)
    except (LinkError, DeviceError, CellNotOff) as error:
        return blocks, error
    return blocks, None


def rows(blocks: list[SampleBlock]) -> list[tuple[float, ...]]:
    names = ("time_s", "voltage_v", "current_a")
    return [row for block in blocks for row in zip(*(block[name].tolist() for name in names), strict=True)]


async def test_the_faults_hit_what_they_are_meant_to_hit() -> None:
    async with bench(nplc=0.5) as b:
        before = len(b.mock.record)
        await outcome(b)
        queries = [command for command in b.mock.record[before:] if command.endswith("?")]
        hit = [queries[nth - 1] for nth in (IN_SETTINGS, IN_READINGS, IN_OFF)]
        assert hit == [":SYST:ERR?", ":READ?", ":OUTP?"]


_expected: dict[str, list[tuple[float, ...]]] = {}


async def expected_rows() -> list[tuple[float, ...]]:
    if not _expected:
        async with bench(nplc=0.5) as clean:
            _expected["rows"] = rows((await outcome(clean))[0])
    return _expected["rows"]


_ANSWERLESS = ("drop", "late", "merge", "duplicate", "garbage")
CASES = [
    *(("tcp", IN_READINGS, fault) for fault in FAULTS),
    *(("tcp", IN_SETTINGS, fault) for fault in _ANSWERLESS),
    *(("tcp", IN_OFF, fault) for fault in _ANSWERLESS),
    *(("pty", IN_READINGS, fault) for fault in ("split", "merge", "first half lost", "garbage")),
]


@pytest.mark.parametrize(("wire", "nth", "fault"), CASES)
async def test_a_fault_gives_no_wrong_sample_and_no_closed_relay(wire: str, nth: int, fault: str) -> None:
    expected = await expected_rows()
    nothing_is_waited_for = fault in ("split", "duplicate", "corrupt", "garbage")
    async with bench(wire, timeout=3.0 if nothing_is_waited_for else 0.2, nplc=0.5) as b:
        FAULTS[fault](b.served.faults, nth)
        blocks, error = await outcome(b)
        found = rows(blocks)
        assert b.mock.cell_is_open
        if error is None:
            assert len(found) == len(expected)
        # a reading that was asked for again is a later one: so the time decides what is compared
        at = {row[0]: row for row in expected}
        assert all(at.get(row[0], row) == row for row in found)
        assert len({row[0] for row in found}) == len(found)
        if fault == "split":
            assert (error, found) == (None, expected)

        b.served.faults.clear()
        b.smu._session.timeout_s = 3.0  # from here on every answer comes, however busy the machine is
        blocks, error = await outcome(b)
        assert error is None
        assert len(rows(blocks)) == len(expected)
        assert b.mock.cell_is_open


async def test_one_lost_reading_leaves_a_gap_and_two_end_the_run() -> None:
    async with bench(timeout=0.3, nplc=0.5) as b:
        b.served.faults.drop(nth=IN_READINGS)
        block = await b.smu.collect(RUN)
        gaps = (block["flags"] & Flag.GAP) != 0
        assert (gaps.sum(), gaps[0]) == (1, False)
        b.served.faults.clear()
        # the reading; then the answers to the test of the wire and to the error query pass; then the reading again
        b.served.faults.drop(nth=IN_READINGS)
        b.served.faults.drop(nth=IN_READINGS + 2)
        with pytest.raises(LinkError):
            await b.smu.collect(RUN)
        assert b.mock.cell_is_open


async def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    async with bench(timeout=0.15) as b:
        b.served.faults.late()
        with pytest.raises(LinkError):
            await b.smu.identify()
        assert (await b.smu.identify()).model == "6430"
        assert b.smu.transport.is_open


async def test_an_old_number_does_not_prove_the_wire_in_step() -> None:
    async with bench(timeout=0.3) as b:
        b.served.faults.drop()
        with pytest.raises(LinkError):
            await b.smu.identify()
        # the first test of the wire is answered when the second one has begun, whose own answer is lost
        b.served.faults.late()
        b.served.faults.drop()
        tests_before = b.mock.record.count("*ESE?")
        assert (await b.smu.identify()).model == "6430"
        assert b.mock.record.count("*ESE?") == tests_before + 3


async def test_a_reading_that_comes_twice_is_taken_once() -> None:
    expected = await expected_rows()
    async with bench(nplc=0.5) as b:
        sent: list[bytes] = []
        send, receive = b.mock.send, b.mock.receive
        b.mock.send = lambda data: (sent.append(data), send(data))[1]  # type: ignore[func-returns-value, method-assign]

        def echoing(data: bytes) -> None:
            if data == b":READ?\n" and b.mock.record.count(":READ?") == 4:
                send(sent[-1])
            receive(data)

        b.mock.receive = echoing  # type: ignore[method-assign]
        block = await b.smu.collect(RUN)
        assert not (block["flags"] & Flag.HOST_TIME).any()
        times = [row[0] for row in rows([block])]
        assert len(set(times)) == len(times)
        at = {row[0]: row for row in expected}
        assert all(at.get(row[0], row) == row for row in rows([block]))


async def test_noise_that_nobody_asked_for_is_no_answer() -> None:
    async with bench() as b:
        b.mock.send(b"+1.0E+00,+2.0E-12,+9.91E+37,+1.0E+03,+3.9E+04\n")
        with suppress(ProtocolError):
            assert (await b.smu.identify()).serial == "1141613"
        assert (await b.smu.identify()).serial == "1141613"


class Other(Keithley24xxMock):
    """An instrument with somebody else's name."""

    name_of_make = ""

    @property
    def identity(self) -> str:
        return self.name_of_make


async def connect_to(served: Served, timeout: float = 0.3) -> Keithley24xx:
    smu = Keithley24xx(served.address, Keithley24xxOptions(timeout=timeout), name="smu")
    try:
        await smu.connect()
    finally:
        await smu.transport.close()
    return smu


@pytest.mark.parametrize(
    ("identity", "wanted"),
    [
        ("RIGOL TECHNOLOGIES,DP832,DP8A1,00.01.16", "RIGOL"),
        ("Keithley Instruments Inc., Model 2636B, 1234567, 3.2.2", "2636B"),
        ("GW INSTEK,GSM-20H10,GEX12,V1.16", "GSM-20H10"),
    ],
)
async def test_another_instrument_is_refused_and_gets_no_command(identity: str, wanted: str) -> None:
    mock = Other(World(), "smu")
    mock.name_of_make = identity
    async with serve(mock) as served:
        with pytest.raises(WrongDevice, match=wanted) as raised:
            await connect_to(served)
        assert raised.value.hint
        assert not any(command.startswith(":") for command in mock.record)


async def test_a_2450_that_speaks_tsp_is_refused_with_what_to_do() -> None:
    async with serve(Keithley24xxMock(World(), "smu", model="2450", language="TSP")) as served:
        with pytest.raises(WrongDevice, match="command set TSP") as raised:
            await connect_to(served)
        assert "Command Set" in raised.value.hint


async def test_a_silent_line_times_out_with_what_to_do() -> None:
    async with serve(Keithley24xxMock(World(), "smu")) as served:
        served.faults.silence()
        with pytest.raises(LinkError, match="no answer"):
            await connect_to(served, timeout=0.05)


async def test_nobody_there_is_a_device_lost() -> None:
    async with bench() as b:
        await b.smu.close()
        await b.served.unplug()
        with pytest.raises(DeviceLost):
            await b.smu.connect()


async def test_an_instrument_without_the_event_enable_register_is_paired_by_its_name() -> None:
    async with bench(connect=False, timeout=0.2) as b:
        find = b.mock.commands.find
        b.mock.commands.find = lambda header: find("UNKNOWN" if header == "*ESE" else header)  # type: ignore[method-assign]
        await b.smu.connect()
        assert len(await b.smu.galvanostatic(1e-9, 1.0)) == 10
        b.served.faults.late()
        with pytest.raises(LinkError):
            await b.smu.identify()
        assert (await b.smu.identify()).model == "6430"


async def test_a_changed_instrument_on_the_same_address_is_noticed() -> None:
    async with bench() as b:
        b.mock.serial = "7654321"
        with pytest.raises(WrongDevice):
            await b.smu.identify()
