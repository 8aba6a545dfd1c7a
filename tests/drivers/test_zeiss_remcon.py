"""The stage driver against its mock: exact numbers, identity, what a server may lack, options."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from drivers.errors import (
    DeviceError,
    DeviceTimeout,
    InvalidValue,
    LinkError,
    MoveFailed,
    Unsupported,
    WrongDevice,
)
from drivers.interfaces import StagePosition, TouchAlarm
from drivers.registry import create
from drivers.stages import ZeissRemcon, ZeissRemconOptions, remcon_protocol
from drivers.stages.remcon_protocol import Reading, changed, kept
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import serve
from mocks.world import World

from .remcon_rig import HOME, moves, rig, waiting
from .remcon_rig import impatient as impatient

pytestmark = pytest.mark.usefixtures("impatient")


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_a_reading_keeps_every_digit() -> None:
    reading = Reading.parse("65.60162 64.75846 38.91104 0.23 259.22 0.0 0.0")
    assert reading.values[0] == Decimal("65.60162")
    assert not reading.moving
    assert Reading.parse(" 1 2 3 4 5  6 1.0").moving


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 2 3 4 5 6",
        "1 2 3 4 5 6 0 0",
        "1 2 3 4 5 6 2.0",
        "nan 2 3 4 5 6 0",
        "1 2 3 4 5 1E9999 0",
        "1,2 2 3 4 5 6 0",
    ],
)
def test_what_is_no_reading(text: str) -> None:
    with pytest.raises(LinkError, match="were expected"):
        Reading.parse(text)


@pytest.mark.parametrize(
    ("text", "rotation", "sent"),
    [
        ("65.60162", False, "65.60162"),
        ("1.5E-05", False, "0.000015"),
        ("-0.0", False, "-0.0"),
        ("360.0", True, "0.0"),
        ("-90", True, "270"),
    ],
)
def test_an_axis_that_stays_is_sent_as_it_was_read(text: str, rotation: bool, sent: str) -> None:
    assert kept(text, rotation=rotation) == sent


@pytest.mark.parametrize(
    ("value", "rotation", "sent"),
    [
        ("1.5", False, "1.500000"),
        ("0.0000014", False, "0.000001"),
        ("-0.0000001", False, "0.000000"),
        ("360", True, "0.000000"),
        ("359.9999999", True, "0.000000"),
        ("-90", True, "270.000000"),
        ("765", True, "45.000000"),
    ],
)
def test_an_axis_that_moves_is_sent_in_plain_decimals(value: str, rotation: bool, sent: str) -> None:
    assert changed(Decimal(value), rotation=rotation) == sent


async def test_position_is_the_double_nearest_to_what_the_tool_said() -> None:
    async with rig() as (stage, mock, _):
        # as doubles, 38.19448 / 1000 and 39.23906 * 1e-3 would be one step off
        mock.place(38.19448, 142.00938, 39.23906, 0.23, 259.22, 0.0)
        assert await stage.position() == StagePosition(0.03819448, 0.14200938, 0.03923906, 0.23, 259.22)


# --- identity and line ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminator", ["auto", "CR", "CR LF", "\r\n"])
@pytest.mark.parametrize("crlf", [False, True])
async def test_line_ends(terminator: str, crlf: bool) -> None:
    if crlf and terminator == "CR":
        with waiting(), pytest.raises(DeviceTimeout):
            async with rig(ZeissRemconOptions(terminator=terminator), crlf=crlf):
                pass
        return
    async with rig(ZeissRemconOptions(terminator=terminator), crlf=crlf) as (stage, _, _):
        assert await stage.position() == HOME


async def test_identity() -> None:
    async with rig(wire="tcp") as (stage, _, _):
        identity = await stage.identify()
    assert identity.model == "SmartSEM Remote Control"
    assert identity.firmware == "V06.01, February 2016"


async def test_any_spelling_of_smartsem_and_none() -> None:
    async with rig(version="SMARTSEM compatible") as (stage, _, _):
        assert stage.identity is not None
        assert stage.identity.model == "SMARTSEM compatible"
    with pytest.raises(WrongDevice, match="'Scope 3000'"):
        async with rig(version="Scope 3000"):
            pass
    with pytest.raises(WrongDevice, match=r"rejected 'VER\?'|refused 'VER\?'"):
        async with rig(lacks=["VER?", "C95?"]):
            pass


async def test_junk_that_spoils_the_first_command() -> None:
    world = World()
    mock = ZeissRemconMock(world)
    mock.receive(b"AT+CGMI")
    async with serve(mock) as served, ZeissRemcon(served.address, clock=world.host_clock("stage")) as stage:
        assert await stage.position() == StagePosition(0.0, 0.0, 0.0, 0.0, 0.0)


async def test_connecting_disturbs_nothing_that_rests_and_stops_what_moves() -> None:
    world = World()
    mock = ZeissRemconMock(world)
    async with serve(mock) as served:
        async with ZeissRemcon(served.address, clock=world.host_clock("stage")):
            pass
        assert {entry.split(" ")[0] for entry in mock.record} == {"VER?", "C95?"}
        mock.push(0, 50.0)
        async with ZeissRemcon(served.address, clock=world.host_clock("stage")) as stage:
            assert "ABO" in mock.record
            assert mock.arrived
            assert (await stage.position()).x_m < 0.05


async def test_a_wrong_baud_rate_is_hinted_at() -> None:
    async with serve(ZeissRemconMock(World())) as served:
        with waiting(), pytest.raises(DeviceTimeout) as caught:
            await ZeissRemcon(f"{served.address}?baud=19200").connect()
    assert "baud rate" in caught.value.hint


# --- the specimen current monitor and what a server may lack ---------------------------------------------------------


async def test_the_monitor_is_off_while_the_stage_moves_and_on_again_afterwards() -> None:
    async with rig() as (stage, mock, _):
        mock.monitor_on = True
        assert await stage.touch_alarm() is TouchAlarm.DISABLED
        await stage.move_to(x_m=0.03)
        assert mock.monitor_on
        order = [entry.split(" ")[0] for entry in mock.record if entry.startswith(("SCM", "C95 "))]
        assert order == ["SCM", "C95", "SCM"]
        assert mock.record.index("SCM 0") < mock.record.index(moves(mock)[0]) < mock.record.index("SCM 1")


async def test_a_monitor_that_was_off_stays_off() -> None:
    async with rig() as (stage, mock, _):
        assert await stage.touch_alarm() is TouchAlarm.UNKNOWN
        await stage.move_to(x_m=0.03)
        assert not mock.monitor_on
        assert "SCM 1" not in mock.record


async def test_after_a_failed_move_the_touch_alarm_is_left_awake() -> None:
    async with rig() as (stage, mock, _):
        mock.monitor_on = True
        mock.short_of_x_mm = 1.0
        with pytest.raises(MoveFailed):
            await stage.move_to(x_m=0.03)
        assert not mock.monitor_on


async def test_a_probe_current_that_always_answers_tells_nothing_of_the_monitor() -> None:
    async with rig(lacks=["SCM"]) as (stage, mock, _):
        mock.monitor_on = True
        await stage.move_to(x_m=0.03)
        assert await stage.touch_alarm() is TouchAlarm.UNKNOWN


async def test_the_monitor_can_be_left_alone() -> None:
    async with rig(ZeissRemconOptions(monitor_off=False)) as (stage, mock, _):
        mock.monitor_on = True
        await stage.move_to(x_m=0.03)
        assert not any(entry.startswith("SCM") for entry in mock.record)


@pytest.mark.parametrize("explains", [True, False])
async def test_a_server_with_fewer_verbs_is_used_as_far_as_it_goes(explains: bool) -> None:
    async with rig(lacks=["IST?", "SCM", "PRB?"], explains=explains) as (stage, _, _):
        assert (await stage.move_to(x_m=0.03)).x_m == 0.03
        notes = " ".join(stage.capabilities.notes)
        assert "IST?" in notes
        assert "SCM" in notes
        assert await stage.touch_alarm() is TouchAlarm.UNKNOWN


async def test_a_bare_rejection_and_one_with_a_number() -> None:
    for explains, message in ((False, "rejected 'C95\\?'"), (True, "error 600, unknown command")):
        async with rig(explains=explains) as (stage, mock, _):
            mock.lacks = frozenset({"C95?"})
            with pytest.raises(DeviceError, match=message):
                await stage.position()
            mock.lacks = frozenset()
            assert await stage.position() == HOME


async def test_home_is_not_there() -> None:
    async with rig() as (stage, mock, _):
        assert not stage.capabilities.can_home
        with pytest.raises(Unsupported, match="initialise"):
            await stage.home()
        assert mock.record == []


async def test_a_slow_second_line() -> None:
    world = World(speed=1.0)
    mock = ZeissRemconMock(world, result_delay_s=0.15)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remcon_protocol, "_ACKNOWLEDGE_S", 0.1)
        async with serve(mock) as served, ZeissRemcon(served.address) as stage:
            assert (await stage.position()).x_m == 0.0


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"terminator": "LF"}, 'accepted: "auto"'),
        ({"limits": {"w": [0, 1]}}, "'w' is no axis; accepted: x, y, z, tilt, rotation"),
        ({"limits": {"x": 3}}, "a pair is accepted"),
        ({"limits": {"x": ["2 mm", "1 mm"]}}, "the lowest comes first"),
        ({"limits": {"tilt": ["0 mm", "1 mm"]}}, "limits: tilt"),
        ({"limits": [1]}, "a table is accepted"),
        ({"tolerance_m": 0}, "more than 0 m"),
        ({"move_timeout_s": "1 mm"}, "move_timeout_s"),
    ],
)
def test_options_name_what_is_accepted(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        create("zeiss-remcon", "serial:/dev/null", values)
