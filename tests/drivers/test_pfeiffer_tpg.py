"""The gauge driver against its mock on a pty: exact pressures, every status, refusals, faults on the line."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from fractions import Fraction
from typing import Any

import pytest

from drivers.errors import DeviceError, DeviceLost, DeviceTimeout, InvalidValue, LinkError, OutOfSync, ProtocolError
from drivers.gauges import PfeifferTpg, PfeifferTpgOptions, pfeiffer_tpg
from drivers.interfaces import GaugeStatus
from drivers.registry import create
from mocks.instruments.pfeiffer_tpg import PfeifferTpgMock
from mocks.wires import Served, serve
from mocks.world import World

VACUUM_PA = 5e-4
VENTED_PA = 1e5


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pfeiffer_tpg, "_QUIET_S", 0.02)


@contextmanager
def waiting(timeout_s: float = 0.04) -> Iterator[None]:
    """Short deadlines where an answer is known not to come; elsewhere a busy machine may take its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pfeiffer_tpg, "_ANSWER_S", timeout_s)
        yield


@asynccontextmanager
async def rig(
    options: PfeifferTpgOptions | None = None, wire: str = "pty", **mock_options: Any
) -> AsyncIterator[tuple[PfeifferTpg, PfeifferTpgMock, Served]]:
    world = World()
    mock = PfeifferTpgMock(world, **mock_options)
    async with serve(mock, wire) as served:
        gauge = PfeifferTpg(served.address, options, name="gauge", clock=world.host_clock("gauge"))
        # test faults act on a link that is up; closing must work whatever they have left
        await gauge.connect()
        try:
            yield gauge, mock, served
        finally:
            await gauge.close()


@pytest.mark.parametrize(
    ("unit", "text", "pascal"),
    [
        (0, "+1.7377E+00", Fraction("173.77")),
        (4, "+1.7377E+00", Fraction("173.77")),
        (2, "+1.7377E+00", Fraction("1.7377")),
        (1, "+7.6000E+02", Fraction(101325)),
        (1, "+1.0000E+00", Fraction(101325, 760)),
        (3, "+1.0000E+00", Fraction(101325, 760000)),
        (0, "+1.0000E-05", Fraction("1e-3")),
        (0, " 9.9999E-10", Fraction("9.9999e-8")),
        # where a product of doubles would be one step off
        (0, "+7.6438E-06", Fraction("7.6438e-4")),
        (1, "+7.8740E-05", Fraction("7.8740e-5") * Fraction(101325, 760)),
    ],
)
async def test_pressure_is_the_double_nearest_to_what_the_controller_said(
    unit: int, text: str, pascal: Fraction
) -> None:
    async with rig(unit=unit) as (gauge, mock, _):
        mock.text[1] = text
        pressure = await gauge.pressure()
    assert pressure.pressure_pa == float(pascal)
    assert pressure.valid
    assert pressure.status is GaugeStatus.OK


@pytest.mark.parametrize(
    ("digit", "status"),
    [
        (1, GaugeStatus.UNDERRANGE),
        (2, GaugeStatus.OVERRANGE),
        (3, GaugeStatus.SENSOR_ERROR),
        (4, GaugeStatus.OFF),
        (5, GaugeStatus.NO_SENSOR),
        (6, GaugeStatus.IDENTIFICATION_ERROR),
        (7, GaugeStatus.SENSOR_ERROR),
    ],
)
async def test_a_number_beside_a_bad_status_is_no_pressure(digit: int, status: GaugeStatus) -> None:
    async with rig() as (gauge, mock, _):
        mock.status[1] = digit
        pressure = await gauge.pressure()
    assert math.isnan(pressure.pressure_pa)
    assert not pressure.valid
    assert pressure.status is status


@pytest.mark.parametrize("text", ["+0.0000E+00", "-1.0000E-09"])
async def test_zero_and_less_are_numbers_but_not_valid(text: str) -> None:
    async with rig(unit=2) as (gauge, mock, _):
        mock.text[1] = text
        pressure = await gauge.pressure()
    assert pressure.pressure_pa == float(text)
    assert not pressure.valid


async def test_a_unit_changed_at_the_front_panel_changes_nothing() -> None:
    async with rig() as (gauge, mock, _):
        for unit in (0, 2, 4, 2, 0):
            mock.unit = unit
            assert (await gauge.pressure()).pressure_pa == VACUUM_PA


async def test_volts_are_no_pressure() -> None:
    async with rig(unit=5) as (gauge, _, _):
        with pytest.raises(DeviceError, match="volts") as caught:
            await gauge.pressure()
    assert "mbar" in caught.value.hint


async def test_an_unknown_unit_makes_no_pressure_valid(caplog: pytest.LogCaptureFixture) -> None:
    async with rig() as (gauge, mock, _):
        mock.unit = 7
        with caplog.at_level(logging.WARNING):
            pressure = await gauge.pressure()
    assert math.isnan(pressure.pressure_pa)
    assert not pressure.valid
    assert "unit 7" in caplog.text


@pytest.mark.parametrize("text", ["nan", "1.0E9999", "0x10", "", "1,2", "+1.7377E+00\x80"])
async def test_what_is_no_number_is_a_protocol_error(text: str) -> None:
    async with rig() as (gauge, mock, _):
        mock.text[1] = text
        with pytest.raises((ProtocolError, OutOfSync)):
            await gauge.pressure()


async def test_identity_of_a_36x() -> None:
    async with rig() as (gauge, _, _):
        identity = await gauge.identify()
    assert (identity.make, identity.model) == ("Pfeiffer Vacuum", "TPG 362")
    assert (identity.serial, identity.firmware) == ("44990000", "010100")


async def test_identity_of_a_26x_which_does_not_know_ayt() -> None:
    async with rig(family="26x") as (gauge, mock, _):
        identity = await gauge.identify()
        assert identity.model == "TPG 26x"
        assert identity.firmware == "302-510-A"
        # the refusal was explained away, so that it does not stay on the controller's display
        assert mock.record.count("ERR") == 1


async def test_a_channel_without_gauge_and_one_that_is_not_there() -> None:
    async with rig(PfeifferTpgOptions(channel=2)) as (gauge, _, _):
        assert (await gauge.pressure()).status is GaugeStatus.NO_SENSOR
    async with rig(PfeifferTpgOptions(channel=3)) as (gauge, _, _):
        with pytest.raises(DeviceError, match="refused PR3: syntax error") as caught:
            await gauge.pressure()
        assert caught.value.detail["code"] == "0001"
        assert caught.value.device == "gauge"
        # a refusal is an answer: the link stays in step
        with pytest.raises(DeviceError):
            await gauge.pressure()


async def test_a_controller_that_streams_after_power_up_is_stopped() -> None:
    async with rig(streaming=True) as (gauge, mock, _):
        assert (await gauge.pressure()).pressure_pa == VACUUM_PA
        mock.power_cycle()
        mock.world.chamber.pressure_pa = VENTED_PA
        assert (await gauge.pressure()).pressure_pa == VENTED_PA


async def test_cr_alone_and_tcp() -> None:
    async with rig(PfeifferTpgOptions(terminator="CR"), wire="tcp") as (gauge, _, _):
        assert (await gauge.pressure()).valid


@pytest.mark.parametrize("options", [{"channel": 0}, {"channel": 7}, {"terminator": "LF"}, {"chanel": 1}])
def test_options_name_what_is_accepted(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="accepted"):
        create("pfeiffer-tpg", "serial:/dev/null", options)


#: faults that the driver gets over by itself, by asking again
HEALED = [
    ("split", {}),
    ("duplicate", {"nth": 1}),
    ("duplicate", {"nth": 2}),
    ("duplicate", {"nth": 4}),
    ("garbage", {"nth": 1, "data": b"\xff\x00\xfe"}),
    ("garbage", {"nth": 4, "data": b"\xff\x00\xfe"}),
    ("garbage", {"nth": 4, "data": b"0,+9.0000E+02\r\n", "after": True}),
    ("corrupt", {"nth": 1, "offset": 0, "mask": 0x40}),
    ("corrupt", {"nth": 4, "offset": 0, "mask": 0x80}),
    ("corrupt", {"nth": 4, "offset": 3, "mask": 0x40}),
]


@pytest.mark.parametrize(("fault", "parameters"), HEALED)
async def test_faults_that_are_not_seen(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (gauge, mock, served):
        getattr(served.faults, fault)(**parameters)
        assert (await gauge.pressure()).pressure_pa == VACUUM_PA
        mock.world.chamber.pressure_pa = VENTED_PA
        assert (await gauge.pressure()).pressure_pa == VENTED_PA
        mock.world.chamber.pressure_pa = VACUUM_PA
        assert (await gauge.pressure()).pressure_pa == VACUUM_PA


#: faults that end in a time-out; what the controller says afterwards is believed again
SILENT = [
    ("drop", {"nth": 1}),
    ("drop", {"nth": 4}),
    ("drop", {"nth": 4, "offset": -2}),
    ("late", {"nth": 1}),
    ("late", {"nth": 2}),
    ("late", {"nth": 3}),
    ("late", {"nth": 4}),
    ("deaf", {"nth": 1, "times": 1}),
]


@pytest.mark.parametrize(("fault", "parameters"), SILENT)
async def test_a_late_pressure_is_never_taken_for_a_new_one(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (gauge, mock, served):
        getattr(served.faults, fault)(**parameters)
        with waiting(), pytest.raises(DeviceTimeout) as caught:
            await gauge.pressure()
        assert caught.value.device == "gauge"
        assert caught.value.sent
        for pressure_pa in (VENTED_PA, VACUUM_PA, VENTED_PA):
            mock.world.chamber.pressure_pa = pressure_pa
            assert (await gauge.pressure()).pressure_pa == pressure_pa


async def test_a_streamed_line_glued_to_an_acknowledgement() -> None:
    async with rig() as (gauge, _, served):
        served.faults.garbage(b"0,+9.0000E+02,5,+2.0000E-02\r\n", nth=1)
        assert (await gauge.pressure()).pressure_pa == VACUUM_PA


async def test_silence_then_speech() -> None:
    async with rig() as (gauge, _, served):
        served.faults.silence()
        with waiting(), pytest.raises(DeviceTimeout):
            await gauge.pressure()
        with waiting(), pytest.raises(LinkError):
            await gauge.pressure()
        served.faults.clear()
        assert (await gauge.pressure()).valid


async def test_unplug_and_replug_reads_the_unit_again() -> None:
    async with rig() as (gauge, mock, served):
        await served.unplug()
        with pytest.raises(DeviceLost):
            await gauge.pressure()
        mock.unit = 2
        await served.replug()
        await gauge.transport.close()
        await gauge.connect()
        assert (await gauge.pressure()).pressure_pa == VACUUM_PA


async def test_a_wrong_baud_rate_is_hinted_at() -> None:
    async with serve(PfeifferTpgMock(World())) as served:
        with waiting(), pytest.raises(LinkError) as caught:
            await PfeifferTpg(f"{served.address}?baud=19200").connect()
    assert "baud rate" in caught.value.hint


async def test_something_that_is_no_gauge() -> None:
    world = World()
    mock = PfeifferTpgMock(world)
    async with serve(mock) as served:
        served.faults.corrupt(times=None, offset=0, mask=0x20)
        gauge = PfeifferTpg(served.address, name="gauge")
        with pytest.raises(OutOfSync):
            await gauge.connect()
        assert not gauge.transport.is_open
