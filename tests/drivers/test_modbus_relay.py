"""The relay driver against its mock and against a pymodbus server, both on ptys."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.errors import DeviceError, DeviceLost, DeviceTimeout, InvalidValue, LinkError, OutOfSync
from drivers.feedthroughs import ModbusRelay, ModbusRelayOptions, modbus_relay
from drivers.feedthroughs.modbus_rtu import ReadCoils, WriteCoil, WriteCoils, silence_s
from drivers.registry import create
from mocks.instruments.modbus_relay import ModbusRelayMock, crc16
from mocks.wires import Served, serve
from mocks.world import World
from tests.near import near

ROUTES = {"feedthrough": [0], "stage-ground": [1], "manipulator-ground": [2], "cell": [3]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modbus_relay, "_QUIET_S", 0.02)


def options(**changed: Any) -> ModbusRelayOptions:
    return ModbusRelayOptions(**{"routes": ROUTES, **changed})


@contextmanager
def waiting(relay: ModbusRelay, timeout_s: float = 0.04) -> Iterator[None]:
    """Short deadlines where an answer is known not to come; elsewhere a busy machine may take its time."""
    patient = relay.options.timeout_s
    object.__setattr__(relay.options, "timeout_s", timeout_s)
    yield
    object.__setattr__(relay.options, "timeout_s", patient)


@asynccontextmanager
async def rig(
    chosen: ModbusRelayOptions | None = None, wire: str = "pty", **mock_options: Any
) -> AsyncIterator[tuple[ModbusRelay, ModbusRelayMock, Served]]:
    world = World()
    mock = ModbusRelayMock(world, **mock_options)
    async with serve(mock, wire) as served:
        relay = ModbusRelay(served.address, chosen or options(), name="relay", clock=world.host_clock("relay"))
        await relay.connect()
        mock.record.clear()
        try:
            yield relay, mock, served
        finally:
            await relay.close()


# --- frames, by the examples of the specification and of a board's maker ---------------------------------------------


@pytest.mark.parametrize(
    ("request_", "frame"),
    [
        (ReadCoils(1, 8), "01 01 00 00 00 08 3d cc"),
        (WriteCoil(1, 0, True), "01 05 00 00 ff 00 8c 3a"),
        (WriteCoil(1, 0, False), "01 05 00 00 00 00 cd ca"),
        (WriteCoil(1, 7, True), "01 05 00 07 ff 00 3d fb"),
        (WriteCoils(1, 8, frozenset({0, 2})), "01 0f 00 00 00 08 01 05 3e 96"),
        (WriteCoils(1, 8, frozenset()), "01 0f 00 00 00 08 01 00 fe 95"),
    ],
)
def test_frames(request_: ReadCoils | WriteCoil | WriteCoils, frame: str) -> None:
    assert request_.frame() == bytes.fromhex(frame)


def test_check_value_of_the_crc() -> None:
    assert crc16(b"123456789") == 0x4B37


def test_silence_between_frames() -> None:
    assert silence_s(9600) == near(4.01e-3, rel=1e-2)
    assert silence_s(115200) == 1.75e-3


# --- routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["pty", "tcp"])
async def test_break_before_make(wire: str) -> None:
    async with rig(wire=wire) as (relay, mock, _):
        assert await relay.route() == "open"
        assert await relay.select("feedthrough") == "feedthrough"
        assert mock.world.wiring.route == "feedthrough"
        mock.record.clear()
        before_s = mock.timeline.now_s
        assert await relay.select("cell") == "cell"
        assert mock.world.wiring.route == "cell"
        assert mock.record == ["read 0+8", "write []", "read 0+8", "write [3]", "read 0+8"]
        # release and bounce were waited for, and the silences between frames
        assert mock.timeline.now_s - before_s == near(0.07 + 5 * silence_s(9600))
        assert await relay.route() == "cell"


async def test_a_route_that_is_closed_already_is_not_switched() -> None:
    async with rig() as (relay, mock, _):
        await relay.select("cell")
        mock.record.clear()
        assert await relay.select("cell") == "cell"
        assert mock.record == ["read 0+8"]


async def test_open_is_always_a_route() -> None:
    async with rig(options(routes={})) as (relay, mock, _):
        mock.press(5, True)
        assert relay.capabilities.routes == ("open",)
        assert await relay.select("open") == "open"
        assert mock.closed == frozenset()


async def test_a_latching_board_is_read_at_the_start_and_held_at_the_end() -> None:
    world = World()
    mock = ModbusRelayMock(world, latching=True)
    mock.press(1, True)
    mock.power_cycle()
    async with serve(mock) as served:
        async with ModbusRelay(served.address, options(), clock=world.host_clock("relay")) as relay:
            assert await relay.route() == "stage-ground"
        assert world.wiring.route == "stage-ground"
        assert not any(entry.startswith("write") for entry in mock.record)


async def test_relays_that_form_no_route() -> None:
    async with rig() as (relay, mock, _):
        mock.press(0, True)
        mock.press(6, True)
        with pytest.raises(
            DeviceError, match="relays 0, 6 closed, which is none of the routes open, feedthrough"
        ) as caught:
            await relay.route()
        assert caught.value.detail["closed"] == [0, 6]
        # and they are got rid of by selecting a route
        assert await relay.select("feedthrough") == "feedthrough"
        assert mock.closed == {0}


async def test_an_unknown_route_sends_nothing() -> None:
    async with rig() as (relay, mock, _):
        with pytest.raises(InvalidValue, match="accepted: open, feedthrough, stage-ground"):
            await relay.select("stage")
        assert mock.record == []


async def test_two_selections_at_once_do_not_mix() -> None:
    async with rig() as (relay, mock, _):
        await asyncio.gather(relay.select("cell"), relay.select("feedthrough"))
        writes = [entry for entry in mock.record if entry.startswith("write")]
        assert writes == ["write []", "write [3]", "write []", "write [0]"]


async def test_sixteen_coils_and_another_unit() -> None:
    chosen = options(unit=17, coils=16, routes={"far": [9, 15], "near": [0]})
    async with rig(chosen, unit=17, coils=16) as (relay, mock, _):
        assert await relay.select("far") == "far"
        assert mock.closed == {9, 15}
        assert await relay.route() == "far"


async def test_a_board_without_function_15_is_switched_relay_by_relay() -> None:
    async with rig(write_many=False) as (relay, mock, _):
        assert await relay.select("cell") == "cell"
        assert mock.world.wiring.route == "cell"
        mock.record.clear()
        assert await relay.select("feedthrough") == "feedthrough"
        closing = [index for index, entry in enumerate(mock.record) if entry.startswith("close")]
        opening = mock.record.index("open 3")
        assert closing == [len(mock.record) - 2]
        assert opening < closing[0]


# --- boards that fail ------------------------------------------------------------------------------------------------


async def test_a_relay_that_does_not_close() -> None:
    async with rig(stuck={3: False}) as (relay, mock, _):
        with pytest.raises(DeviceError, match="told to have relay 3 closed and reads back no relay closed") as caught:
            await relay.select("cell")
        assert "all relays were opened" in caught.value.message
        assert mock.closed == frozenset()


async def test_a_relay_that_does_not_open_is_found_before_another_one_closes() -> None:
    async with rig() as (relay, mock, _):
        await relay.select("cell")
        mock.stuck[3] = True
        mock.record.clear()
        with pytest.raises(DeviceError, match="reads back relay 3 closed"):
            await relay.select("feedthrough")
        assert "write [0]" not in mock.record


@pytest.mark.parametrize(("code", "meaning"), [(1, "illegal function"), (4, "device failure"), (6, "busy")])
async def test_exceptions_are_told_in_words(code: int, meaning: str) -> None:
    async with rig() as (relay, mock, _):
        mock.refuse_with = code
        with pytest.raises(DeviceError, match=meaning) as caught:
            await relay.route()
        assert caught.value.detail["code"] == code
        mock.refuse_with = None
        assert await relay.route() == "open"


async def test_more_coils_asked_for_than_the_board_has() -> None:
    with pytest.raises(DeviceError, match="no such coil"):
        async with rig(options(coils=16)):
            pass


async def test_another_unit_does_not_answer() -> None:
    with pytest.raises(DeviceTimeout):
        async with rig(options(unit=2, timeout_s=0.05)):
            pass


# --- faults on the line ----------------------------------------------------------------------------------------------

HEALED = [
    ("split", {}),
    ("duplicate", {}),
    ("garbage", {"data": b"\x00"}),
    ("garbage", {"data": b"\xff\x55", "after": True}),
    ("corrupt", {"offset": 0, "mask": 0x02}),
    ("corrupt", {"offset": 3, "mask": 0x01}),
    ("corrupt", {"offset": -1, "mask": 0x10}),
]


@pytest.mark.parametrize(("fault", "parameters"), HEALED)
async def test_a_garbled_reading_is_asked_for_again(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (relay, mock, served):
        getattr(served.faults, fault)(**parameters)
        assert await relay.route() == "open"
        mock.press(1, True)
        assert await relay.route() == "stage-ground"
        mock.press(1, False)
        assert await relay.route() == "open"


@pytest.mark.parametrize(
    ("fault", "parameters"), [("drop", {}), ("drop", {"offset": 3}), ("late", {}), ("deaf", {"times": 1})]
)
async def test_a_late_state_is_never_taken_for_a_new_one(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (relay, mock, served):
        getattr(served.faults, fault)(**parameters)
        with waiting(relay), pytest.raises(DeviceTimeout) as caught:
            await relay.route()
        assert caught.value.sent == bytes.fromhex("01 01 00 00 00 08 3d cc")
        for coil, name in ((0, "feedthrough"), (2, "manipulator-ground"), (1, "stage-ground")):
            for other in range(8):
                mock.press(other, other == coil)
            assert await relay.route() == name


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("fault", ["drop", "late", "duplicate", "corrupt"])
async def test_a_write_is_never_sent_twice(fault: str, nth: int) -> None:
    """Whatever happens to one reply of a selection: what is read back decides, and no write is repeated."""
    async with rig() as (relay, mock, served):
        await relay.select("feedthrough")
        mock.record.clear()
        getattr(served.faults, fault)(nth=nth)
        try:
            with waiting(relay):
                await relay.select("cell")
        except LinkError:
            served.faults.clear()
            assert mock.record.count("write [3]") <= 1
        else:
            assert mock.record.count("write [3]") == 1
            assert mock.record.count("write []") == 1
            assert mock.closed == {3}
        assert await relay.route() in ("open", "cell", "feedthrough")
        assert mock.world.wiring.route == await relay.route()


async def test_a_lost_confirmation_of_the_closing_is_settled_by_reading_back() -> None:
    async with rig() as (relay, mock, served):
        served.faults.drop(nth=4)
        with waiting(relay):
            assert await relay.select("cell") == "cell"
        assert mock.closed == {3}
        assert mock.record.count("write [3]") == 1


async def test_a_closing_that_was_lost_on_the_way_is_an_error_with_all_open() -> None:
    async with rig() as (relay, mock, served):
        served.faults.deaf(nth=4, times=1)
        with waiting(relay), pytest.raises(DeviceTimeout, match="all relays were opened"):
            await relay.select("cell")
        assert "write [3]" not in mock.record
        assert mock.world.wiring.route == "open"


async def test_replies_of_another_unit_and_to_another_question() -> None:
    async with rig() as (relay, _, served):
        for frame in (b"\x02\x01\x01\x00", b"\x01\x05\x00\x00\xff\x00", b"\x01\x03\x02\x00\x00"):
            crc = crc16(frame)
            served.faults.garbage(frame + bytes((crc & 0xFF, crc >> 8)), times=None)
            served.faults.drop(times=None, offset=len(frame) + 2)
            with pytest.raises(OutOfSync, match=r"unit 2 answered|function code"):
                await relay.route()
            served.faults.clear()
            assert await relay.route() == "open"


async def test_a_wrong_baud_rate_is_hinted_at() -> None:
    async with serve(ModbusRelayMock(World())) as served:
        with pytest.raises(DeviceTimeout) as caught:
            await ModbusRelay(f"{served.address}?baud=19200", options(timeout_s=0.05)).connect()
    assert "baud rate" in caught.value.hint


async def test_silence_and_unplug() -> None:
    async with rig() as (relay, mock, served):
        served.faults.silence()
        with waiting(relay), pytest.raises(DeviceTimeout):
            await relay.route()
        served.faults.clear()
        assert await relay.select("cell") == "cell"
        await served.unplug()
        with pytest.raises(DeviceLost):
            await relay.route()
        mock.power_cycle()
        await served.replug()
        await relay.transport.close()
        await relay.connect()
        assert await relay.route() == "open"


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"routes": {"Stage": [0]}}, "'Stage' is no name"),
        ({"routes": {"a": 0}}, "a is 0; a list"),
        ({"routes": {"a": [8]}}, "whole number from 0 to 7"),
        ({"routes": {"a": [True]}}, "whole number"),
        ({"routes": {"a": []}}, "at least one coil"),
        ({"routes": {"open": [0]}}, "no coils"),
        ({"routes": {"a": [0, 1], "b": [1, 0]}}, "b and a close the same coils"),
        ({"routes": [0]}, "a table is accepted"),
        ({"unit": 0}, "from 1 to 255"),
        ({"coils": 0}, "from 1 to 256"),
        ({"release_s": "-1 s"}, "0 s or more"),
        ({"release_s": "1 mm"}, "release_s"),
        ({"route": {}}, "accepted: unit, routes"),
    ],
)
def test_options_name_what_is_accepted(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        create("modbus-relay", "serial:/dev/null", values)


def test_options_take_text_with_units() -> None:
    device = create("modbus-relay", "serial:/dev/null", {"release_s": "80 ms", "routes": {"open": [], "a": [1]}})
    assert isinstance(device.options, ModbusRelayOptions)
    assert device.options.release_s == 0.08
    assert isinstance(device, ModbusRelay)
    assert device.capabilities.routes == ("open", "a")


# --- a server that is not ours ---------------------------------------------------------------------------------------


@asynccontextmanager
async def pty_pair() -> AsyncIterator[tuple[str, str]]:
    """Two tty names, joined as by a null-modem cable."""
    loop = asyncio.get_running_loop()
    ends = [os.openpty() for _ in range(2)]
    for master, slave in ends:
        tty.setraw(slave)
        os.set_blocking(master, False)
    (first, _), (second, _) = ends

    def copy(source: int, target: int) -> None:
        os.write(target, os.read(source, 4096))

    loop.add_reader(first, copy, first, second)
    loop.add_reader(second, copy, second, first)
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        for master, slave in ends:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)


@asynccontextmanager
async def pymodbus_board(coils: int) -> AsyncIterator[tuple[str, ModbusSerialServer]]:
    blocks = [[SimData(0, values=[False] * coils, datatype=DataType.BITS)] for _ in range(2)]
    registers = [[SimData(0, values=[0], datatype=DataType.REGISTERS)] for _ in range(2)]
    async with pty_pair() as (ours, theirs):
        board = SimDevice(1, simdata=(blocks[0], blocks[1], registers[0], registers[1]))
        server = ModbusSerialServer(board, port=theirs, baudrate=9600)
        await server.serve_forever(background=True)
        try:
            yield ours, server
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]


async def test_against_a_pymodbus_server() -> None:
    routes = {"feedthrough": [0], "cell": [3, 15], "all": list(range(16))}
    async with pymodbus_board(16) as (port, server):
        chosen = ModbusRelayOptions(routes=routes, coils=16, release_s=0.001, bounce_s=0.001)
        async with ModbusRelay(f"serial:{port}", chosen) as relay:
            assert await relay.route() == "open"
            for name, mask in routes.items():
                assert await relay.select(name) == name
                states = await server.context.async_getValues(1, 1, 0, 16)
                assert states == [coil in mask for coil in range(16)]
                assert await relay.route() == name
            assert await relay.select("open") == "open"
            assert await server.context.async_getValues(1, 1, 0, 16) == [False] * 16


async def test_a_pymodbus_server_refuses_coils_that_it_does_not_have() -> None:
    async with pymodbus_board(16) as (port, _):
        with pytest.raises(DeviceError, match="exception 2, illegal data address"):
            await ModbusRelay(f"serial:{port}", ModbusRelayOptions(coils=32)).connect()
