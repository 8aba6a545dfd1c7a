"""Motion drivers among harmless variations: slow, forgetful and partial instruments, lost answers, lost links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.errors import DeviceError, DeviceLost, DeviceTimeout, InvalidValue, MoveFailed, Refused, WrongDevice
from drivers.feedthroughs import ModbusRelay
from drivers.gauges import PfeifferTpg
from drivers.interfaces import StagePosition
from drivers.manipulators import Picomotor8742Options, newfocus_protocol
from drivers.stages import ZeissRemcon, ZeissRemconOptions, remcon_protocol, zeiss_remcon
from drivers.transports import Conversation, Link, lines, open_transport
from drivers.transports.lines import read_line
from mocks.instrument import Instrument
from mocks.instruments.modbus_relay import ModbusRelayMock
from mocks.instruments.pfeiffer_tpg import PfeifferTpgMock
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import Served, serve
from mocks.world import World
from tests.near import near

from .arm_rig import let_go, rig, start_move

HOME = StagePosition(0.020, 0.020, 0.005, 0.0, 0.0)


@asynccontextmanager
async def stage_rig(
    options: ZeissRemconOptions | None = None, **mock_options: Any
) -> AsyncIterator[tuple[ZeissRemcon, ZeissRemconMock, Served]]:
    world = World()
    world.chamber.set_stage(HOME.x_m, HOME.y_m, HOME.z_m)
    mock = ZeissRemconMock(world, **mock_options)
    async with serve(mock) as served:
        stage = ZeissRemcon(served.address, options, name="stage", clock=world.host_clock("stage"))
        await stage.connect()
        mock.record.clear()
        try:
            yield stage, mock, served
        finally:
            await stage.transport.close()


async def under_way(mock: ZeissRemconMock) -> None:
    async with asyncio.timeout(10):
        while not mock.moving:  # noqa: ASYNC110 - a mock's state changes with its bytes and has no event
            await asyncio.sleep(0)


# --- picomotor: lost answers, motors, whose motion is stopped ---------------------------------------------------------


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newfocus_protocol, "REPLY_TIMEOUT_S", 0.2)


@pytest.mark.parametrize("fault", ["drop", "late"])
@pytest.mark.parametrize("query", ["position", "identify", "stop"])
async def test_a_lost_answer_to_a_question_costs_nothing_but_time(short_patience: None, fault: str, query: str) -> None:
    async with rig("tcp") as arm:
        await arm.device.move_to(x_m=15e-6)
        arm.served.faults.script([{"fault": fault, "times": 1}])
        await getattr(arm.device, query)()
        assert (await arm.device.position()).x_m == near(15e-6)
        assert arm.commands("PA") == ["1PA500"]


async def test_an_answer_before_a_move_may_be_lost(short_patience: None) -> None:
    async with rig("tcp", Picomotor8742Options(require_motor=True)) as arm:
        arm.served.faults.drop(nth=1)
        assert (await arm.device.move_to(x_m=15e-6)).x_m == near(15e-6)
        assert arm.commands("PA") == ["1PA500"]


@pytest.mark.parametrize("wire", ["usb", "tcp"])
async def test_what_is_remembered_of_motors_does_not_forbid_a_move(wire: str) -> None:
    async with rig(wire) as arm:
        arm.mock.axes[0].motor = 0
        assert (await arm.device.move_to(x_m=3e-6)).x_m == near(3e-6)
        arm.device.options = Picomotor8742Options(require_motor=True)
        with pytest.raises(Refused, match="axis x: the controller knows of no motor"):
            await arm.device.move_to(x_m=0.0)
        assert arm.commands("PA") == ["1PA100"]


async def test_no_motor_is_the_controllers_judgement() -> None:
    async with rig("tcp", Picomotor8742Options(axes={"x": 1, "y": 2, "z": 4})) as arm:
        with pytest.raises(DeviceError, match="axis 4: error 408, motor not connected") as caught:
            await arm.device.move_to(z_m=3e-6)
        assert "motor check" in caught.value.hint
        assert "AB" in arm.mock.record


async def test_a_firmware_without_motor_types(short_patience: None, caplog: pytest.LogCaptureFixture) -> None:
    async with rig("tcp", Picomotor8742Options(speed_m_per_s=30e-6), lacks=["QM"]) as arm:
        assert "does not know QM?" in caplog.text
        assert arm.mock.axes[0].velocity == 1000
        assert arm.mock.record.count("1QM?") == 1
        assert (await arm.device.move_to(x_m=3e-6)).x_m == near(3e-6)
        await arm.device.set_speed(3e-6)
        assert arm.mock.record.count("1QM?") == 1
        arm.device.options = Picomotor8742Options(require_motor=True)
        with pytest.raises(Refused, match="knows of no motor"):
            await arm.device.move_to(x_m=0.0)


async def test_looking_stops_nobody() -> None:
    async with rig("tcp") as arm:
        await arm.device.identify()
        await arm.device.position()
        await arm.device.close()
        assert "AB" not in arm.mock.record
        arm.mock.receive(b"2MV+\r")
        await arm.device.connect()
        assert "AB" in arm.mock.record
        assert not arm.mock.axes[1].motion.moving(arm.mock.timeline.now_ns)


async def test_a_controller_that_does_not_say_whether_it_moves_is_stopped(short_patience: None) -> None:
    async with rig("tcp") as arm:
        arm.mock.receive(b"2MV+\r")
        arm.served.faults.silence()
        with pytest.raises(DeviceTimeout):
            await arm.device.make_safe()
        assert "AB" in arm.mock.record
        assert not arm.mock.axes[1].motion.moving(arm.mock.timeline.now_ns)


async def test_a_move_of_no_axis_is_refused() -> None:
    async with rig("tcp") as arm:
        with pytest.raises(InvalidValue, match="no axis is given; accepted: x_m, y_m, z_m") as caught:
            await arm.device.move_to()
        assert (caught.value.device, caught.value.operation) == ("arm", "move_to")


@pytest.mark.parametrize("wire", ["usb", "tcp"])
async def test_a_picomotor_lost_in_a_move_may_still_be_moving(wire: str) -> None:
    async with rig(wire) as arm:
        task = await start_move(arm, x_m=60e-6)
        await arm.served.unplug()
        let_go(arm)
        with pytest.raises(DeviceLost, match="in the middle of a move") as caught:
            await task
        assert caught.value.operation == "move_to"
        assert "tip may still be moving" in caught.value.hint
        assert "hand pad" in caught.value.hint


async def test_a_picomotor_lost_before_a_move_is_not_said_to_move() -> None:
    async with rig("tcp") as arm:
        await arm.served.unplug()
        with pytest.raises(DeviceLost) as caught:
            await arm.device.move_by(x_m=15e-6)
        assert caught.value.operation == "move_by"
        assert "moving" not in caught.value.hint
        with pytest.raises(DeviceLost) as caught:
            await arm.device.stop()
        assert caught.value.operation == "stop"


# --- stage: slow and partial servers, moves that do not end -----------------------------------------------------------


class Dribble(Conversation):
    """Gives a line byte by byte, `gap_s` apart on a clock of its own, and notes how long each would be waited for."""

    def __init__(self, link: Link, line: bytes, gap_s: float) -> None:
        super().__init__(link)
        self._line = list(line)
        self._gap_s = gap_s
        self._now_s = 0.0
        self.waits: list[float] = []

    def time(self) -> float:
        return self._now_s

    async def read_some(self, timeout_s: float) -> bytes:
        self.waits.append(timeout_s)
        if not self._line:
            raise DeviceTimeout("no answer from nowhere within 0.00937 s")
        self._now_s += self._gap_s
        return bytes([self._line.pop(0)])


@pytest.fixture
def dribble(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, float], Dribble]:
    def of(line: bytes, gap_s: float) -> Dribble:
        sender = Dribble(Link(open_transport("tcp:127.0.0.1:9"), _nothing, name="slow"), line, gap_s)
        monkeypatch.setattr(lines, "asyncio", SimpleNamespace(get_running_loop=lambda: sender))
        return sender

    return of


async def _nothing(_: Conversation) -> None:
    pass


async def test_a_slow_sender_is_waited_for_byte_by_byte(dribble: Callable[[bytes, float], Dribble]) -> None:
    slow = dribble(b">" + b"1" * 60 + b"\r\n", 0.3)
    assert await read_line(slow, 5.0, gap_s=0.4) == b">" + b"1" * 60
    assert slow.waits == near([5.0] + [0.4] * 61), "18 s in all, but never long between two bytes"


async def test_a_line_is_not_waited_for_without_end(dribble: Callable[[bytes, float], Dribble]) -> None:
    slow = dribble(b">123", 0.3)
    with pytest.raises(DeviceTimeout, match=r"^only b'>123' of a line came, and no end of it within 0\.4 s$"):
        await read_line(slow, 5.0, gap_s=0.4, rest_s=0.8)
    assert slow.waits == near([5.0, 0.4, 0.4, 0.2, 0.0], abs=1e-9)
    with pytest.raises(DeviceTimeout, match=r"no answer from tcp:127\.0\.0\.1:9 within 5 s"):
        await read_line(dribble(b"\r\n", 0.3), 5.0)


@pytest.mark.parametrize("explains", [True, False])
@pytest.mark.parametrize("crlf", [True, False])
async def test_a_compatible_server_without_a_name(explains: bool, crlf: bool) -> None:
    async with stage_rig(lacks=["VER?", "IST?", "SCM", "PRB?"], explains=explains, crlf=crlf) as (stage, mock, _):
        assert stage.identity is not None
        assert stage.identity.model == "RemCon-compatible server"
        assert any("VER?" in note for note in stage.capabilities.notes)
        assert (await stage.move_to(x_m=0.021)).x_m == 0.021
        assert (await stage.identify()).model == "RemCon-compatible server"
        assert len([line for line in mock.record if line.startswith("C95 ")]) == 1


async def test_another_device_is_told_apart() -> None:
    with pytest.raises(WrongDevice, match=r"calls itself 'TESCAN 1\.0'") as caught:
        async with stage_rig(version="TESCAN 1.0"):
            pass
    assert "port" in caught.value.hint
    with pytest.raises(WrongDevice, match=r"'VER\?'.*'C95\?'") as caught:
        async with stage_rig(lacks=["VER?", "C95?"]):
            pass
    assert "port" in caught.value.hint


async def test_a_stage_that_moves_on_is_waited_for_once() -> None:
    async with stage_rig(ZeissRemconOptions(move_timeout_s=3.0), speed_mm_per_s=0.01) as (stage, mock, _):
        mock.ignores_aborts = True
        with pytest.raises(
            MoveFailed, match=r"the move timed out: .* did not come to rest within 10 s of ABO"
        ) as caught:
            await stage.move_to(x_m=0.100)
        assert caught.value.operation == "move_to"
        began = stage.clock.monotonic()
        with pytest.raises(MoveFailed, match="did not come to rest"):
            await stage.make_safe()
        assert stage.clock.monotonic() - began < 2.0
        assert mock.record.count("ABO") == 2
        mock.ignores_aborts = False
        await stage.make_safe()
        assert mock.arrived


async def test_a_stage_lost_in_a_move_may_still_be_moving() -> None:
    async with stage_rig() as (stage, mock, served):
        task = asyncio.create_task(stage.move_by(x_m=0.050))
        await under_way(mock)
        await served.unplug()
        with pytest.raises(DeviceLost, match="in the middle of a move") as caught:
            await task
        assert caught.value.operation == "move_by"
        assert "stage may still be moving" in caught.value.hint
        assert "joystick" in caught.value.hint


async def test_closing_does_not_hide_what_was_lost() -> None:
    world = World()
    mock = ZeissRemconMock(world)
    async with serve(mock) as served:

        async def lose_it() -> None:
            async with ZeissRemcon(served.address, name="stage", clock=world.host_clock("stage")) as stage:
                task = asyncio.create_task(stage.move_to(x_m=0.050))
                await under_way(mock)
                await served.unplug()
                await task

        with pytest.raises(DeviceLost, match="in the middle of a move") as caught:
            await lose_it()
        assert caught.value.operation == "move_to"


async def test_closing_tells_of_a_motion_that_nothing_else_told_of() -> None:
    world = World()
    mock = ZeissRemconMock(world, speed_mm_per_s=0.01)
    async with serve(mock) as served:

        async def go_wrong() -> None:
            async with ZeissRemcon(served.address, name="stage", clock=world.host_clock("stage")):
                mock.ignores_aborts = True
                mock.push(0, 100.0)
                raise InvalidValue("something else")

        with pytest.raises(MoveFailed, match="did not come to rest"):
            await go_wrong()


# --- hints of the others ----------------------------------------------------------------------------------------------


async def test_a_smaller_relay_board_names_the_option() -> None:
    async with serve(ModbusRelayMock(World(), coils=4)) as served:
        with pytest.raises(DeviceError, match="exception 2") as caught:
            await ModbusRelay(served.address).connect()
        assert "coils is 8" in caught.value.hint


async def test_a_gauge_that_refuses_its_unit_has_answered() -> None:
    mock = PfeifferTpgMock(World())
    mock.refuses = frozenset({"UNI"})
    async with serve(mock) as served:
        with pytest.raises(WrongDevice, match="refuses UNI") as caught:
            await PfeifferTpg(served.address).connect()
        assert "baud" not in caught.value.hint
        assert "It answered" in caught.value.hint


# --- silence ----------------------------------------------------------------------------------------------------------


class Mute(Instrument):
    """Takes everything and says nothing, or only once."""

    wire = "pty"

    def __init__(self, name: str, once: bytes = b"") -> None:
        super().__init__(World(), name)
        self._once = once
        self.questions = 0

    def reset(self) -> None:
        self.questions = 0

    def receive(self, data: bytes) -> None:
        self.questions += data.count(b"?")
        if self._once:
            self.send(self._once)
            self._once = b""


@pytest.mark.parametrize(("once", "questions"), [(b"", 2), (b"@\r\n", 3)])
async def test_a_dead_port_is_asked_twice_and_one_that_was_heard_thrice(
    monkeypatch: pytest.MonkeyPatch, once: bytes, questions: int
) -> None:
    monkeypatch.setattr(zeiss_remcon, "_QUIET_S", 0.02)
    for name in ("_FIND_END_S", "_ACKNOWLEDGE_S", "_RESULT_S"):
        monkeypatch.setattr(remcon_protocol, name, 0.1)
    mute = Mute("mute", once)
    async with serve(mute) as served:
        with pytest.raises(DeviceTimeout, match="no answer from"):
            await ZeissRemcon(served.address, name="stage").connect()
    assert mute.questions == questions
