"""The picomotor driver against a simulated controller on both of its wires."""

from __future__ import annotations

import asyncio
import math

import pytest

from drivers.errors import (
    Busy,
    DeviceError,
    InvalidValue,
    MoveFailed,
    Refused,
    Unsupported,
    WrongDevice,
)
from drivers.interfaces import ManipulatorPosition
from drivers.manipulators import Picomotor8742, Picomotor8742Options
from drivers.registry import parse_options
from mocks.instruments.picomotor8742 import Picomotor8742Mock
from mocks.wires import serve
from mocks.world import World
from tests.near import near

from .arm_rig import STEP, let_go, rig, start_move

GREETING = b"\xff\xfd\x03\xff\xfb\x01"


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.manipulators.newfocus_protocol.QUIET_S", 0.02)


@pytest.fixture(params=["usb", "tcp"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- identity and position ------------------------------------------------------------------------------------------


async def test_identifies_and_counts_from_zero(wire: str) -> None:
    async with rig(wire) as arm:
        identity = arm.device.identity
        assert identity is not None
        assert (identity.make, identity.model, identity.serial) == ("New Focus", "8742", "11511")
        assert identity.firmware == "v2.2 08/01/13"
        assert await arm.device.position() == ManipulatorPosition(0.0, 0.0, 0.0, closed_loop=False)
        assert not arm.commands("MC", "PA", "PR", "MV")


async def test_errors_left_in_the_queue_are_not_ours(wire: str) -> None:
    world = World()
    mock = Picomotor8742Mock(world, "arm")
    mock.errors.extend([6, 108, 214])
    async with serve(mock, wire) as served, Picomotor8742(served.address, clock=world.host_clock("arm")) as device:
        assert (await device.position()).x_m == 0.0
        assert not mock.errors


@pytest.mark.parametrize("pieces", [[], [GREETING], [GREETING[:2], GREETING[2:5], GREETING[5:]], [GREETING[3:]]])
async def test_telnet_bytes_may_come_in_parts_late_or_not_at_all(pieces: list[bytes]) -> None:
    class Greets(Picomotor8742Mock):
        def client_connected(self) -> None:
            return

        def receive(self, data: bytes) -> None:
            # here they come at the worst time: with the first reply
            if b"*IDN?" in data and not any("*IDN?" in line for line in self.record):
                for piece in pieces:
                    self.send(piece)
            super().receive(data)

    world = World()
    mock = Greets(world, "arm")
    async with (
        serve(mock, "tcp") as served,
        Picomotor8742(served.address, clock=world.host_clock("arm")) as device,
    ):
        assert device.identity is not None
        assert device.identity.make == "New Focus"
        assert mock.record.count("*IDN?") == 2, "understood at once: to synchronise, and to identify"


async def test_another_instrument_is_refused(wire: str) -> None:
    class Other(Picomotor8742Mock):
        def _do_star_idn(self, *_: object) -> str:
            return "New_Focus 8766 v1.0 01/01/10 42"

    world = World()
    mock = Other(world, "arm")
    async with serve(mock, wire) as served:
        device = Picomotor8742(served.address, clock=world.host_clock("arm"))
        with pytest.raises(WrongDevice, match="8766 42 answered"):
            await device.connect()
        assert not device.transport.is_open
    assert set(mock.record) <= {"*IDN?", "TB?"}


async def test_the_wrong_serial_number_is_refused(wire: str) -> None:
    with pytest.raises(WrongDevice, match="serial number 999"):
        async with rig(wire, Picomotor8742Options(serial="999")):
            pytest.fail("connected")


async def test_a_chained_unit_is_addressed(wire: str) -> None:
    async with rig(wire, Picomotor8742Options(address=7), address=7) as arm:
        await arm.device.move_to(y_m=3e-6)
        assert arm.commands("PA") == ["7>2PA100"]
        assert (await arm.device.position()).y_m == near(3e-6)


# --- moves ----------------------------------------------------------------------------------------------------------


async def test_moves_to_the_nearest_step_and_says_where_it_is(wire: str) -> None:
    async with rig(wire) as arm:
        reached = await arm.device.move_to(x_m=10e-6, z_m=-5.02e-6)
        assert (reached.x_m, reached.y_m, reached.z_m) == near((333 * STEP, 0.0, -167 * STEP))
        assert not reached.closed_loop
        assert (arm.world.tip.x_m, arm.world.tip.z_m) == near((333 * STEP, -167 * STEP))
        assert arm.commands("PA") == ["1PA333", "3PA-167"]


async def test_done_that_is_said_once_on_the_way_is_not_believed(wire: str) -> None:
    async with rig(wire) as arm:
        says = arm.mock._do_md
        polls = 0

        def hasty(number: int, *rest: object) -> str | None:
            nonlocal polls
            polls += 1
            return "1" if polls == 3 else says(number, *rest)

        arm.mock._do_md = hasty  # type: ignore[method-assign]
        assert (await arm.device.move_to(x_m=60e-6)).x_m == near(60e-6)
        assert polls > 4


async def test_relative_moves_add_up_in_steps(wire: str) -> None:
    async with rig(wire) as arm:
        for _ in range(3):
            reached = await arm.device.move_by(x_m=50e-9, y_m=-1e-6)
        assert (reached.x_m, reached.y_m) == near((6 * STEP, -99 * STEP))


async def test_axes_signs_and_steps_are_as_configured(wire: str) -> None:
    options = parse_options(
        Picomotor8742Options,
        {"axes": {"x": 2, "y": 1, "z": -3}, "step_size_m": "20 nm", "step_sizes_m": {"z": "25 nm"}},
    )
    assert isinstance(options, Picomotor8742Options)
    async with rig(wire, options) as arm:
        reached = await arm.device.move_to(x_m=2e-6, y_m=4e-6, z_m=1e-6)
        assert arm.commands("PA") == ["2PA100", "1PA200", "3PA-40"]
        assert (reached.x_m, reached.y_m, reached.z_m) == near((2e-6, 4e-6, 1e-6))


async def test_the_count_is_not_the_place(wire: str) -> None:
    async with rig(wire, slip=0.1) as arm:
        await arm.device.move_to(x_m=30e-6)
        reached = await arm.device.move_to(x_m=0.0)
        assert reached.x_m == 0.0
        assert arm.world.tip.x_m == near(3e-6)


@pytest.mark.parametrize(
    "call",
    [
        ("move_to", {"x_m": 101e-6}, "x_m is 0.000101 m; accepted: -0.0001 to 0.0001 m"),
        ("move_to", {"x_m": math.nan}, "x_m is nan"),
        ("move_to", {"y_m": math.inf}, "y_m is inf"),
        ("move_by", {"x_m": -101e-6}, "position plus distance"),
        ("move_by", {"z_m": 10e-9}, "at least half a step of 3e-08 m"),
        ("move_by", {"z_m": math.nan}, "z_m is nan"),
        ("move_to", {"y_m": 13e-3}, "y_m is 0.013 m; accepted: -0.0127 to 0.0127 m"),
    ],
)
async def test_impossible_targets_send_no_move(call: tuple[str, dict[str, float], str]) -> None:
    method, arguments, text = call
    options = Picomotor8742Options(limits={"x": ["-100 um", "100 um"]})
    async with rig("tcp", options) as arm:
        with pytest.raises(InvalidValue, match=text):
            await getattr(arm.device, method)(**arguments)
        assert not arm.commands("PA", "PR")


async def test_stop_ends_a_move_at_once_with_the_position(wire: str) -> None:
    async with rig(wire) as arm:
        task = await start_move(arm, x_m=60e-6, y_m=60e-6)
        stopped = await asyncio.wait_for(arm.device.stop(), 5)
        assert 0 < stopped.x_m < 60e-6
        assert not arm.mock.axes[0].motion.moving(arm.mock.timeline.now_ns)
        let_go(arm)
        with pytest.raises(MoveFailed, match="axis x was stopped") as caught:
            await task
        assert caught.value.detail["position"]["x_m"] == near(stopped.x_m)
        assert arm.commands("PA") == ["1PA2000"]
        assert arm.world.tip.x_m == near(stopped.x_m)


async def test_position_can_be_read_during_a_move_but_no_second_one_begun(wire: str) -> None:
    async with rig(wire) as arm:
        task = await start_move(arm, x_m=60e-6)
        assert 0 < (await arm.device.position()).x_m < 60e-6
        with pytest.raises(Busy, match="a move is under way"):
            await arm.device.move_by(z_m=1e-6)
        let_go(arm)
        assert (await task).x_m == near(60e-6)


async def test_a_cancelled_move_leaves_nothing_running(wire: str) -> None:
    async with rig(wire) as arm:
        task = await start_move(arm, x_m=60e-6)
        task.cancel()
        let_go(arm)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not arm.mock.axes[0].motion.moving(arm.mock.timeline.now_ns)
        assert (await arm.device.position()).x_m < 60e-6


async def test_closing_stops_the_motion(wire: str) -> None:
    async with rig(wire) as arm:
        arm.mock.receive(b"2MV+\r")
        await arm.device.close()
        assert not arm.mock.axes[1].motion.moving(arm.mock.timeline.now_ns)


# --- the controller's own errors ------------------------------------------------------------------------------------


async def test_an_axis_without_a_motor_is_refused_where_one_is_required(wire: str) -> None:
    options = Picomotor8742Options(axes={"x": 1, "y": 2, "z": 4}, require_motor=True)
    async with rig(wire, options) as arm:
        with pytest.raises(Refused, match="axis z: the controller knows of no motor at its axis 4") as caught:
            await arm.device.move_to(z_m=1e-6)
        assert "motor check" in caught.value.hint
        assert not arm.commands("PA", "MC")


async def test_a_motor_that_came_off_is_the_controllers_error(wire: str) -> None:
    async with rig(wire) as arm:
        arm.mock._connected = (True, False, True, False)
        with pytest.raises(DeviceError, match="axis 2: error 208, motor not connected") as caught:
            await arm.device.move_to(y_m=1e-6)
        assert caught.value.detail["code"] == 208
        assert caught.value.sent == b"2PA33\r"
        assert "cable" in caught.value.hint


async def test_another_motion_is_the_controllers_error(wire: str) -> None:
    async with rig(wire) as arm:
        arm.mock.receive(b"2MV-\r")
        with pytest.raises(DeviceError, match="error 114, motion in progress"):
            await arm.device.move_to(x_m=1e-6)
        assert not arm.mock.axes[1].motion.moving(arm.mock.timeline.now_ns), "a failed move stops everything"


async def test_an_axis_that_stands_still_is_given_up(wire: str) -> None:
    class Stuck(Picomotor8742Mock):
        def _do_md(self, number: int, *_: object) -> str:
            last = [line for line in self.record if line in ("1PA1000", "AB")][-1:]
            return "0" if number == 1 and last == ["1PA1000"] else "1"

        def _do_tp(self, number: int, *_: object) -> str:
            return "0"

    world = World()
    mock = Stuck(world, "arm")
    async with serve(mock, wire) as served:
        device = Picomotor8742(served.address, clock=world.host_clock("arm"))
        await device.connect()
        with pytest.raises(MoveFailed, match="stood at step 0 for 10 s"):
            await device.move_to(x_m=30e-6)
        assert mock.record.count("1PA1000") == 1
        await device.transport.close()


async def test_speed_is_set_and_read_back(wire: str) -> None:
    async with rig(wire, motors=(3, 2, 3, 0)) as arm:
        await arm.device.set_speed(3e-6)
        assert [axis.velocity for axis in arm.mock.axes[:3]] == [100, 100, 100]
        for speed in (61e-6, 1e-9, 0.0, math.nan):
            with pytest.raises(InvalidValue, match="speed_m_per_s"):
                await arm.device.set_speed(speed)
        with pytest.raises(InvalidValue, match=r"axis y: 3e-08 to 5\.25e-05 m/s"):
            await arm.device.set_speed(54e-6)
        assert [axis.velocity for axis in arm.mock.axes[:3]] == [100, 100, 100]


async def test_what_it_has_not_is_unsupported() -> None:
    async with rig("usb") as arm:
        with pytest.raises(Unsupported):
            await arm.device.insert()
        with pytest.raises(Unsupported):
            await arm.device.retract()
        capabilities = arm.device.capabilities
        assert not capabilities.closed_loop
        assert not capabilities.can_insert
        assert capabilities.resolution_m == STEP
        assert capabilities.speed_max_m_per_s == near(60e-6)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"axes": {"x": 1, "y": 2}}, "axes is"),
        ({"axes": {"x": 1, "y": 1, "z": 2}}, "once"),
        ({"axes": {"x": 0, "y": 1, "z": 2}}, "1 to 4"),
        ({"axes": {"x": 1, "y": 2, "z": 5}}, "1 to 4"),
        ({"limits": {"w": [0, 1]}}, "'w'"),
        ({"limits": {"x": [1, 0]}}, "limits of x"),
        ({"limits": {"x": 3}}, "limits"),
        ({"step_size_m": 0.0}, "step size"),
        ({"step_sizes_m": {"y": "3 V"}}, "step size of y"),
        ({"address": 32}, "address is 32"),
        ({"speed_m_per_s": -1.0}, "speed_m_per_s"),
    ],
)
def test_wrong_options_are_named(values: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidValue, match=text):
        Picomotor8742("tcp:127.0.0.1:1", parse_options(Picomotor8742Options, values))
