"""The picomotor driver on bad wires: what is lost, late or doubled never becomes a position or a second move."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress

import pytest

from drivers.errors import (
    DeviceLost,
    DeviceTimeout,
    LinkError,
    MoveFailed,
    Refused,
)
from drivers.manipulators import Picomotor8742Options
from tests.near import near

from .arm_rig import STEP, let_go, rig, start_move


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.manipulators.newfocus_protocol.REPLY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(
        "drivers.manipulators.newfocus_protocol.QUIET_S", 0.06
    )  # longer than what TCP may hold back (40 ms)


@pytest.fixture(params=["usb", "tcp"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- bad wires ------------------------------------------------------------------------------------------------------

FAULTS = {
    "split": {"fault": "split"},
    "merge": {"fault": "merge", "times": 2},
    "drop": {"fault": "drop"},
    "half": {"fault": "drop", "offset": 1, "count": 20},
    "duplicate": {"fault": "duplicate"},
    "late": {"fault": "late"},
    "corrupt": {"fault": "corrupt", "mask": 0x80, "offset": 0},
    "garbage": {"fault": "garbage"},
    "garbage after": {"fault": "garbage", "after": True, "data": b"7\r\n".hex()},
}


@pytest.mark.parametrize(("wire", "fault"), [*(("tcp", fault) for fault in FAULTS), ("usb", "late"), ("usb", "drop")])
async def test_no_fault_ever_gives_a_wrong_position(wire: str, fault: str) -> None:
    async with rig(wire) as arm:
        await arm.device.move_to(x_m=15e-6, y_m=-15e-6, z_m=3e-6)
        truth = (500 * STEP, -500 * STEP, 100 * STEP)
        for nth in (1, 5):
            arm.served.faults.script([{"times": 1, **FAULTS[fault], "nth": nth}])
            for _ in range(2):
                with suppress(LinkError):
                    position = await arm.device.position()
                    assert (position.x_m, position.y_m, position.z_m) == near(truth)
            arm.served.faults.clear()
            position = await arm.device.position()
            assert (position.x_m, position.y_m, position.z_m) == near(truth)


@pytest.mark.parametrize(("wire", "fault"), [*(("usb", fault) for fault in FAULTS), ("tcp", "late"), ("tcp", "drop")])
async def test_no_fault_repeats_a_move(wire: str, fault: str) -> None:
    """The replies of a move are: six counts, error queue; error queue after the move; then those of polls."""
    async with rig(wire) as arm:
        for nth in (1, 8):
            arm.mock.record.clear()
            arm.served.faults.script([{"times": 1, **FAULTS[fault], "nth": nth}])
            try:
                reached = await arm.device.move_to(x_m=nth * 3e-6)
            except LinkError:
                assert not arm.mock.axes[0].motion.moving(arm.mock.timeline.now_ns)
            else:
                assert reached.x_m == near(nth * 3e-6)
            assert arm.commands("PA") in ([], [f"1PA{nth * 100}"])
            arm.served.faults.clear()
            assert (await arm.device.position()).x_m == near(arm.mock.axes[0].count * STEP)


async def test_a_move_that_got_lost_is_said_to_have_failed(wire: str) -> None:
    async with rig(wire) as arm:
        requests_before_the_move = 7  # three counts, twice, and the queue of errors
        arm.served.faults.deaf(nth=requests_before_the_move + 1, times=1)
        with pytest.raises(MoveFailed, match="ended at step 0, its target was 500"):
            await arm.device.move_to(x_m=15e-6)
        assert arm.commands("PA") == []


async def test_silence_is_said_soon_and_a_late_answer_does_no_harm(wire: str) -> None:
    async with rig(wire) as arm:
        await arm.device.move_to(x_m=15e-6)
        arm.served.faults.silence()
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(DeviceTimeout, match="no answer") as caught:
            await arm.device.position()
        assert loop.time() - started < 4
        assert caught.value.device == "arm"
        assert caught.value.sent
        arm.served.faults.clear()
        assert (await arm.device.position()).x_m == near(15e-6)


async def test_unplugged_in_a_move_and_back(wire: str) -> None:
    async with rig(wire) as arm:
        task = await start_move(arm, x_m=60e-6)
        await arm.served.unplug()
        let_go(arm)
        with pytest.raises(DeviceLost):
            await task
        await arm.served.replug()
        await arm.device.connect()
        assert not arm.mock.axes[0].motion.moving(arm.mock.timeline.now_ns)
        assert arm.commands("PA") == ["1PA2000"]
        reached = await arm.device.move_by(y_m=3e-6)
        assert reached.y_m == near(3e-6)


async def test_a_reset_controller_gets_its_settings_again_but_no_absolute_move(wire: str) -> None:
    async with rig(wire, Picomotor8742Options(speed_m_per_s=30e-6)) as arm:
        assert arm.mock.axes[0].velocity == 1000
        await arm.device.move_to(x_m=15e-6)
        await arm.served.unplug()
        arm.mock.power_cycle()
        await arm.served.replug()
        assert arm.mock.axes[0].velocity == 2000
        await arm.device.connect()
        assert arm.mock.axes[0].velocity == 1000
        with pytest.raises(Refused, match="counts from zero again"):
            await arm.device.move_to(x_m=15e-6)
        assert (await arm.device.move_by(x_m=3e-6)).x_m == near(3e-6)
        arm.device.accept_position()
        assert (await arm.device.move_to(x_m=0.0)).x_m == 0.0


@pytest.mark.parametrize("endpoint", [0x02, 0x81])
async def test_a_stalled_endpoint_is_cleared(endpoint: int) -> None:
    async with rig("usb") as arm:
        await arm.device.move_to(x_m=15e-6)
        arm.served.wire.stall(endpoint)  # type: ignore[attr-defined]
        with suppress(LinkError):  # what meets the stall may fail, nothing after it
            await arm.device.identify()
        assert (await arm.device.position()).x_m == near(15e-6)


async def test_an_error_of_the_usb_library_is_a_lost_device() -> None:
    async with rig("usb") as arm:
        arm.served.wire.fail_next("write", errno.ENODEV)  # type: ignore[attr-defined]
        with pytest.raises(DeviceLost):
            await arm.device.position()
