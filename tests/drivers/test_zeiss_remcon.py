"""The stage driver against its mock: exact positions, proven arrivals, stops, refusals, faults on the line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from decimal import Decimal
from typing import Any

import pytest

from drivers.errors import (
    Busy,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    InvalidValue,
    LinkError,
    MoveFailed,
    Refused,
    Unsupported,
    WrongDevice,
)
from drivers.interfaces import StagePosition, TouchAlarm
from drivers.registry import create
from drivers.stages import ZeissRemcon, ZeissRemconOptions, remcon_protocol, zeiss_remcon
from drivers.stages.remcon_protocol import Reading, changed, kept
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import Served, serve
from mocks.world import World

HOME = StagePosition(0.020, 0.020, 0.005, 0.0, 0.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeiss_remcon, "_QUIET_S", 0.02)
    monkeypatch.setattr(remcon_protocol, "_AFTER_REJECTION_S", 0.02)


@contextmanager
def waiting() -> Iterator[None]:
    """Short deadlines where an answer is known not to come; elsewhere a busy machine may take its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remcon_protocol, "_ACKNOWLEDGE_S", 0.15)
        patch.setattr(remcon_protocol, "_RESULT_S", 0.15)
        yield


@asynccontextmanager
async def rig(
    options: ZeissRemconOptions | None = None, wire: str = "pty", **mock_options: Any
) -> AsyncIterator[tuple[ZeissRemcon, ZeissRemconMock, Served]]:
    world = World()
    world.chamber.set_stage(HOME.x_m, HOME.y_m, HOME.z_m)
    mock = ZeissRemconMock(world, **{"speed_mm_per_s": 10.0, "speed_deg_per_s": 50.0, **mock_options})
    async with serve(mock, wire) as served:
        stage = ZeissRemcon(served.address, options, name="stage", clock=world.host_clock("stage"))
        await stage.connect()
        mock.record.clear()
        try:
            yield stage, mock, served
        finally:
            await stage.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a mock's state changes with its bytes and has no event
            await asyncio.sleep(0)


def reported_x_m(mock: ZeissRemconMock) -> float:
    return float(Decimal(f"{mock.position[0]:.5f}").scaleb(-3))


def moves(mock: ZeissRemconMock) -> list[str]:
    return [entry for entry in mock.record if entry.startswith("C95 ")]


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


# --- moves -----------------------------------------------------------------------------------------------------------


async def test_a_move_changes_the_axes_given_and_sends_the_others_as_read() -> None:
    async with rig(m_mm=1.25) as (stage, mock, _):
        reached = await stage.move_to(x_m=0.0235, tilt_deg=52)
        assert reached == StagePosition(0.0235, 0.02, 0.005, 52.0, 0.0)
        assert moves(mock) == ["C95 23.500000 20.00000 5.00000 52.000000 0.00000 1.25000"]
        assert mock.arrived
        assert mock.position[5] == 1.25
        assert mock.world.chamber.stage.tilt_deg == 52.0
        assert not mock.world.chamber.stage_moving


async def test_relative_moves_and_rotation_modulo_a_turn() -> None:
    async with rig() as (stage, mock, _):
        assert (await stage.move_by(x_m=-1e-6, z_m=2e-3)).x_m == 0.019999
        assert (await stage.move_by(rotation_deg=-90)).rotation_deg == 270.0
        assert (await stage.move_to(rotation_deg=360)).rotation_deg == 0.0
        sent = [float(entry.split(" ")[5]) for entry in moves(mock)]
        assert sent == [0.0, 270.0, 0.0]


async def test_just_before_a_full_turn_is_near_zero() -> None:
    async with rig() as (stage, mock, _):
        go = mock._go
        mock._go = lambda target: go((*target[:4], 359.98, target[5]))  # type: ignore[method-assign]
        assert (await stage.move_to(rotation_deg=0)).rotation_deg == 359.98


@pytest.mark.parametrize("delay_s", [0.0, 0.5, 0.9])
async def test_a_flag_that_rises_late_is_not_taken_for_arrival(delay_s: float) -> None:
    async with rig(flag_delay_s=delay_s) as (stage, mock, _):
        await stage.move_to(x_m=0.030)
        assert mock.arrived
        # also where the move is too small to be told from none at all
        await stage.move_by(y_m=1e-6)
        assert mock.arrived


async def test_a_move_to_where_it_is_ends_after_the_flag_can_be_trusted() -> None:
    async with rig() as (stage, mock, _):
        before_s = mock.timeline.now_s
        assert await stage.move_to(x_m=HOME.x_m) == HOME
        assert 1.0 <= mock.timeline.now_s - before_s < 1.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x_m": 0.2}, "x_m would be 0.2 m; the soft limits accept 0 to 0.152 m"),
        ({"z_m": -1e-6}, "z_m"),
        ({"tilt_deg": 91}, "tilt_deg would be 91 deg"),
        ({"x_m": float("nan")}, "x_m"),
        ({"rotation_deg": float("inf")}, "rotation_deg"),
        ({"x_m": "far"}, "x_m"),
        ({}, "no axis is given"),
    ],
)
async def test_a_target_outside_the_limits_sends_nothing(given: dict[str, Any], message: str) -> None:
    async with rig() as (stage, mock, _):
        with pytest.raises(InvalidValue, match=message):
            await stage.move_to(**given)
        assert mock.record == []


async def test_a_relative_move_that_would_leave_the_limits_moves_nothing() -> None:
    chosen = ZeissRemconOptions(limits={"x": ["15 mm", 0.025], "tilt_deg": (0, 54)})
    async with rig(chosen) as (stage, mock, _):
        assert stage.capabilities.limits["x_m"] == (0.015, 0.025)
        with pytest.raises(InvalidValue, match=r"x_m would be 0\.026 m; the soft limits accept 0\.015 to 0\.025 m"):
            await stage.move_by(x_m=0.006)
        with pytest.raises(InvalidValue, match="accept 0 to 54 deg"):
            await stage.move_to(tilt_deg=54.1)
        assert moves(mock) == []


async def test_the_tools_own_refusal_is_told_in_words() -> None:
    async with rig(ZeissRemconOptions(limits={"x": [0, 1]})) as (stage, mock, _):
        with pytest.raises(DeviceError, match="error 603, parameter out of range") as caught:
            await stage.move_to(x_m=0.5)
        assert caught.value.detail["code"] == 603
        assert await stage.position() == HOME
        assert len(moves(mock)) == 1


async def test_a_stage_that_is_not_initialised_is_not_moved() -> None:
    async with rig() as (stage, mock, _):
        mock.initialised = False
        with pytest.raises(Refused, match="not initialised"):
            await stage.move_to(x_m=0.03)
        assert moves(mock) == []


async def test_a_stage_that_comes_to_rest_elsewhere() -> None:
    async with rig() as (stage, mock, _):
        mock.short_of_x_mm = 0.05
        with pytest.raises(MoveFailed, match=r"x_m 0\.02995 instead of 0\.03") as caught:
            await stage.move_to(x_m=0.030)
        assert caught.value.detail["position"]["x_m"] == 0.02995
        assert len(moves(mock)) == 1


async def test_a_move_that_never_begins() -> None:
    async with rig() as (stage, mock, _):
        mock.ignores_moves = True
        before_s = mock.timeline.now_s
        with pytest.raises(MoveFailed, match="at rest elsewhere"):
            await stage.move_to(x_m=0.030)
        assert mock.timeline.now_s - before_s >= 1.0


async def test_a_move_that_takes_too_long_is_aborted() -> None:
    async with rig(ZeissRemconOptions(move_timeout_s=5.0), speed_mm_per_s=2.0) as (stage, mock, _):
        with pytest.raises(MoveFailed, match="not finished after 5 s and was aborted") as caught:
            await stage.move_to(x_m=0.100)
        assert mock.record.count("ABO") == 1
        assert mock.arrived
        assert caught.value.detail["position"]["x_m"] == reported_x_m(mock)


async def test_touch_alarm_in_the_middle_of_a_move() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        mock.world.chamber.touch_alarm = "tripped"
        with pytest.raises(MoveFailed, match="at rest elsewhere"):
            await task
        assert mock.arrived
        with pytest.raises(DeviceError, match="616"):
            await stage.move_to(x_m=0.100)


async def test_two_moves_at_once_and_the_joystick() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.030))
        await until(lambda: mock.moving)
        with pytest.raises(Busy):
            await stage.move_to(y_m=0.030)
        assert (await task).x_m == 0.030
        mock.push(1, 100.0)
        with pytest.raises(Busy, match="joystick"):
            await stage.move_to(x_m=0.020)
        assert len(moves(mock)) == 1


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_stop_in_the_middle_of_a_move() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        stopped = await stage.stop()
        with pytest.raises(MoveFailed, match="stopped") as caught:
            await task
        assert mock.arrived
        assert HOME.x_m <= stopped.x_m < 0.100
        assert caught.value.detail["position"]["x_m"] == stopped.x_m
        assert len(moves(mock)) == 1
        # and the next move is as good as any
        assert (await stage.move_to(x_m=HOME.x_m)) == HOME


async def test_a_stop_before_the_command_went_out_keeps_it_in() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: "IST?" in mock.record)
        assert await stage.stop() == HOME
        with pytest.raises(MoveFailed, match="stopped"):
            await task
        assert moves(mock) == []


async def test_stop_of_a_resting_stage() -> None:
    async with rig() as (stage, _, _):
        assert await stage.stop() == HOME


async def test_a_cancelled_move_is_aborted() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "ABO" in mock.record
        assert mock.arrived


async def test_an_abort_whose_reply_is_lost_is_sent_again() -> None:
    async with rig() as (stage, mock, served):
        mock.push(0, 100.0)
        served.faults.drop(nth=1)
        with waiting():
            assert (await stage.stop()).x_m < 0.1
        assert mock.arrived
        assert mock.record.count("ABO") == 2


async def test_a_server_without_abort_lets_the_stage_run_out() -> None:
    async with rig(lacks=["ABO"], speed_mm_per_s=2.0) as (stage, mock, _):
        mock.push(0, 24.0)
        assert (await stage.stop()).x_m == 0.024
        mock.push(0, 100.0)
        with pytest.raises(MoveFailed, match=r"did not come to rest within 10 s of ABO.*600"):
            await stage.stop()
        mock.place(20.0, 20.0, 5.0, 0.0, 0.0, 0.0)


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


# --- faults on the line ----------------------------------------------------------------------------------------------

HEALED = [
    ("split", {}),
    ("merge", {}),
    ("duplicate", {"nth": 1}),
    ("duplicate", {"nth": 2}),
    ("garbage", {"nth": 1, "data": b"\x00\xff"}),
    ("garbage", {"nth": 2, "data": b"\x00\xff"}),
    ("garbage", {"nth": 2, "data": b">99 99 9 0 0 0 0.0\r\n", "after": True}),
    ("garbage", {"nth": 2, "data": b"@\r\n>99 99 9 0 0 0 0.0\r\n", "after": True}),
    ("corrupt", {"nth": 1, "offset": 0, "mask": 0x01}),
    ("corrupt", {"nth": 2, "offset": 0, "mask": 0x80}),
    ("corrupt", {"nth": 2, "offset": 4, "mask": 0x80}),
    ("drop", {"nth": 1}),
]


@pytest.mark.parametrize(("fault", "parameters"), HEALED)
async def test_a_garbled_position_is_asked_for_again(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (stage, mock, served):
        getattr(served.faults, fault)(**parameters)
        assert await stage.position() == HOME
        served.faults.clear()
        for x_mm in (30.0, 40.0):
            mock.place(x_mm, 20.0, 5.0, 0.0, 0.0, 0.0)
            assert (await stage.position()).x_m == x_mm / 1e3


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [("drop", {"nth": 2}), ("late", {"nth": 1, "times": 2}), ("late", {"nth": 2}), ("deaf", {"times": 1})],
)
async def test_a_late_position_is_never_taken_for_a_new_one(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (stage, mock, served):
        getattr(served.faults, fault)(**parameters)
        with waiting(), pytest.raises(DeviceTimeout) as caught:
            await stage.position()
        assert caught.value.sent == b"C95?\r"
        for x_mm in (30.0, 40.0, 50.0):
            mock.place(x_mm, 20.0, 5.0, 0.0, 0.0, 0.0)
            assert (await stage.position()).x_m == x_mm / 1e3


#: replies before the first poll of a move: IST?, PRB?, SCM 0, twice C95?, C95, with two lines each
_COMMAND_REPLY = 11


@pytest.mark.parametrize("nth", [1, 6, 8, 9, 10, 11, 12, 13])
@pytest.mark.parametrize("fault", ["drop", "late", "duplicate", "corrupt"])
async def test_a_move_is_never_sent_twice(fault: str, nth: int) -> None:
    """Whatever happens to one line of all that a move takes: it is proven or an error, and sent once at most."""
    async with rig() as (stage, mock, served):
        getattr(served.faults, fault)(nth=nth, times=1)
        try:
            with nullcontext() if fault == "duplicate" else waiting():
                reached = await stage.move_to(x_m=0.0205)
        except (LinkError, Refused, MoveFailed, DeviceError):
            assert fault in ("drop", "late", "corrupt")
        else:
            assert reached.x_m == 0.0205
            assert mock.arrived
        assert len(moves(mock)) <= 1
        served.faults.clear()
        assert (await stage.position()).x_m == reported_x_m(mock)


async def test_a_lost_confirmation_is_settled_by_looking() -> None:
    async with rig() as (stage, mock, served):
        served.faults.drop(nth=_COMMAND_REPLY)
        with waiting():
            assert (await stage.move_to(x_m=0.0205)).x_m == 0.0205
        assert len(moves(mock)) == 1


async def test_a_move_that_was_lost_on_the_way_is_not_sent_again() -> None:
    async with rig() as (stage, mock, served):
        served.faults.deaf(nth=6, times=1)
        with waiting(), pytest.raises(MoveFailed, match="had not confirmed the move"):
            await stage.move_to(x_m=0.0205)
        assert moves(mock) == []
        assert await stage.position() == HOME


async def test_a_flipped_digit_moves_no_other_axis() -> None:
    """The axes that stay are sent back as read, so a wrong digit there would move the stage."""
    async with rig() as (stage, mock, served):
        # the second line of the first C95? after IST?, PRB?, SCM 0: z 5.00000 becomes 7.00000
        served.faults.corrupt(nth=8, offset=19, mask=0x02)
        with pytest.raises(Refused, match="two readings of the resting stage differ"):
            await stage.move_to(x_m=0.03)
        assert moves(mock) == []


async def test_silence_unplug_and_reboot() -> None:
    async with rig() as (stage, mock, served):
        served.faults.silence()
        with waiting(), pytest.raises(DeviceTimeout):
            await stage.position()
        served.faults.clear()
        assert await stage.position() == HOME
        mock.power_cycle()
        assert await stage.position() == HOME
        with pytest.raises(Refused, match="not initialised"):
            await stage.move_to(x_m=0.03)
        await served.unplug()
        with pytest.raises(DeviceLost):
            await stage.position()
        await served.replug()
        await stage.transport.close()
        await stage.connect()
        assert await stage.position() == HOME


async def test_a_stage_that_cannot_be_seen_any_more_is_told_to_stop() -> None:
    async with rig() as (stage, mock, served):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        served.faults.silence()
        with waiting(), pytest.raises(DeviceTimeout) as caught:
            await task
        assert "may still be moving" in caught.value.hint
        await until(lambda: "ABO" in mock.record)
        assert mock.arrived
        served.faults.clear()
        assert (await stage.position()).x_m == reported_x_m(mock)


async def test_unplug_in_the_middle_of_a_move() -> None:
    async with rig() as (stage, mock, served):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        await served.unplug()
        with pytest.raises(DeviceLost):
            await task
        assert len(moves(mock)) == 1
        # on its return it is found moving and stopped, not sent on
        await served.replug()
        await stage.transport.close()
        await stage.connect()
        assert mock.arrived
        assert len(moves(mock)) == 1


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
