"""Techniques on simulated Keithleys, through PyVISA, bare sockets and serial lines."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import DeviceTimeout, InvalidValue, Unsupported
from drivers.potentiostats.keithley24xx import Keithley24xx
from drivers.potentiostats.limits import OVERLOAD_SAMPLES
from drivers.registry import create
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic
from drivers.transports import Address, Transport
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.instruments.keithley24xx.source import Measured
from mocks.world import World
from tests.near import near

from .keithley_bench import CELL_RELAY, FEEDTHROUGH_RELAY, bench

WIRES = ["visa", "tcp", "pty"]
MODELS = ["6430", "2450"]


def cell_world(cell: str = "good", **options: object) -> World:
    """The tip on the pad, so that closing the cell's relay closes the circuit."""
    world = World(seed=3, cell=cell, **options)  # type: ignore[arg-type]
    world.tip.x_m, world.tip.y_m, world.tip.z_m = world.tip.pad_m
    assert world.tip.touching
    return world


@pytest.mark.parametrize("wire", WIRES)
async def test_one_picoampere_arrives_as_one_picoampere(wire: str) -> None:
    async with bench(wire) as b:
        block = await b.smu.galvanostatic(1e-12, 10.0, 10.0)
        level = b.mock.record[b.position(":SOUR:CURR:LEV", after=b.position(":OUTP ON"))]
        assert float(level.split()[-1]) == 1e-12
        assert 1e-12 in b.sourced
        assert len(block) == 100
        assert block.end is EndReason.DURATION
        settled = block["current_a"][block["time_s"] > 2]
        assert abs(settled.mean() - 1e-12) < 0.1e-12
        assert b.mock.cell_is_open


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", ["6430", "2450"])
async def test_every_wire_and_model_gives_a_steady_grid_of_samples(wire: str, model: str) -> None:
    async with bench(wire, mock={"model": model}) as b:
        block = await b.smu.galvanostatic(1e-9, 2.0, 10.0)
        assert block["time_s"].tolist() == near([i / 10 for i in range(1, 21)], abs=1e-6)
        assert not np.isnan(block["voltage_v"]).any()
        assert not block["flags"][-1]
        assert block["voltage_v"][-1] == near(1.0, rel=0.2)  # 1 nA through the loop's 1 Gohm


async def test_same_seed_same_samples_whatever_the_wire() -> None:
    blocks: list[SampleBlock] = []
    for wire in WIRES:
        async with bench(wire) as b:
            blocks.append(await b.smu.galvanostatic(5e-12, 5.0, 10.0))
    for name in ("time_s", "voltage_v", "current_a", "flags"):
        assert blocks[0][name].tolist() == blocks[1][name].tolist() == blocks[2][name].tolist()


async def test_the_order_of_commands_gives_the_cell_no_kick() -> None:
    async with bench(world=cell_world(), route=CELL_RELAY) as b:
        await b.smu.collect(
            Galvanostatic(current_a=5e-12, duration_s=1, voltage_min_v=2.0, voltage_max_v=4.2, interval_s=0.1)
        )
        at_rest = b.position(":SOUR:CURR:LEV 0.0")
        wide = b.position(":SENS:VOLT:PROT 5.0")
        on = b.position(":OUTP ON")
        first_reading = b.position(":READ?")
        narrow = b.position(":SENS:VOLT:PROT 4.3")
        level = b.position(":SOUR:CURR:LEV 5.0")
        off = b.position(":OUTP OFF", after=level)
        assert b.position(":OUTP:SMOD HIMP") < at_rest < wide < on < first_reading < narrow < level < off
        assert not any(command.startswith("*RST") for command in b.mock.record)
        assert b.sourced[0] == 0.0
        assert not b.saw_zero_volts


async def test_a_potentiostat_starts_at_its_potential_and_never_at_zero() -> None:
    async with bench(world=cell_world(), route=CELL_RELAY) as b:
        block = await b.smu.collect(Potentiostatic(voltage_v=1.4, duration_s=1, interval_s=0.1, current_limit_a=1e-9))
        assert b.position(":SOUR:VOLT:LEV 1.4") < b.position(":OUTP ON")
        assert not b.saw_zero_volts
        assert block["time_s"][0] == 0.0
        assert block["voltage_v"][-1] == near(1.4, abs=1e-3)
        assert block.attributes["compliance_a"] == 1e-9
        assert block.attributes["current_range_a"] == 1e-9


async def test_open_circuit_is_zero_amperes_and_says_so() -> None:
    world = cell_world(noise=False)
    async with bench(world=world, route=CELL_RELAY) as b:
        block = await b.smu.open_circuit(2.0, 10.0)
        assert set(b.sourced) == {0.0}
        assert block.end is EndReason.DURATION
        assert np.ptp(block["voltage_v"][-5:]) < 1e-3  # by then the lead has taken the voltage of the cell
        assert any("source of 0 A on the 100 pA range" in note for note in block.attributes["notes"])


@pytest.mark.parametrize("model", MODELS)
async def test_a_sweep_is_a_staircase_with_a_reading_a_step(model: str) -> None:
    async with bench(world=World(noise=False), mock={"model": model}) as b:
        technique = CyclicVoltammetry(begin_v=0.0, vertex1_v=0.1, vertex2_v=-0.1, rate_v_per_s=0.05, step_v=0.01)
        block = await b.smu.collect(technique)
        assert block.end is EndReason.FINISHED
        assert len(block) == 41
        assert block["voltage_v"][[0, 10, 30, 40]] == near([0.0, 0.1, -0.1, 0.0], abs=1e-4)
        assert np.diff(block["time_s"]) == near(0.2, abs=1e-6)
        resistance = block["voltage_v"][10] / block["current_a"][10]
        input_resistance = {"6430": 1e16, "2450": 1e10}[model]
        assert resistance == near(1 / (1 / 1e9 + 1 / input_resistance), rel=0.01)


async def test_impedance_is_refused_before_anything_is_sent() -> None:
    async with bench() as b:
        before = len(b.mock.record)
        with pytest.raises(Unsupported):
            await b.smu.collect(Impedance())
        with pytest.raises(InvalidValue):
            await b.smu.galvanostatic(1.0, 1.0)
        assert len(b.mock.record) == before


async def test_a_voltage_limit_ends_the_run_at_the_sample_that_crosses_it() -> None:
    async with bench() as b:
        technique = Galvanostatic(current_a=1e-9, duration_s=100, voltage_max_v=0.5, interval_s=0.02)
        block = await b.smu.collect(technique)
        assert block.end is EndReason.VOLTAGE_MAX
        assert block["voltage_v"][-1] >= 0.5
        assert (block["voltage_v"][:-1] < 0.5).all()
        assert b.mock.record[b.position(":SOUR:CURR:LEV 1.0") :].count(":READ?") == len(block)
        assert b.mock.cell_is_open


async def test_a_charge_limit_ends_the_run() -> None:
    async with bench() as b:
        technique = Galvanostatic(current_a=10e-12, duration_s=100, charge_limit_c=20e-12, interval_s=0.1)
        block = await b.smu.collect(technique)
        assert block.end is EndReason.CAPACITY
        assert block["time_s"][-1] == near(2.1, abs=0.2)


async def test_a_cell_already_above_the_window_gets_no_current() -> None:
    async with bench(world=cell_world(noise=False), route=CELL_RELAY) as b:
        open_circuit = (await b.smu.open_circuit(0.5, 10.0))["voltage_v"][-1]
        technique = Galvanostatic(current_a=5e-12, duration_s=10, voltage_max_v=open_circuit - 0.05, interval_s=0.1)
        block = await b.smu.collect(technique)
        assert (block.end, len(block)) == (EndReason.VOLTAGE_MAX, 1)
        assert set(b.sourced) == {0.0}
        assert b.mock.cell_is_open


async def test_compliance_is_a_flag_not_a_number() -> None:
    async with bench(compliance=0.2) as b:
        block = await b.smu.galvanostatic(1e-9, 2.0, 10.0)  # 1 V through 1 Gohm does not fit
        assert block["flags"][-1] & Flag.COMPLIANCE
        assert block["voltage_v"][-1] == near(0.2, abs=0.01)


async def test_an_overflow_is_nan_with_a_flag_and_ends_the_run_if_it_stays() -> None:
    async with bench() as b:
        measure = b.mock.source.measure

        async def overflowing() -> Measured:
            measured = await measure()
            beyond = b.mock.record.count(":READ?") > 5
            return replace(measured, current_a=None) if beyond else measured

        b.mock.source.measure = overflowing  # type: ignore[method-assign]
        block = await b.smu.galvanostatic(1e-12, 10.0, 10.0)
        assert block.end is EndReason.OVERLOAD
        over = [False] * (len(block) - OVERLOAD_SAMPLES) + [True] * OVERLOAD_SAMPLES
        assert np.isnan(block["current_a"]).tolist() == over
        assert ((block["flags"] & Flag.OVERLOAD) != 0).tolist() == over
        assert b.mock.cell_is_open


async def test_the_default_integration_rejects_both_mains() -> None:
    async with bench(mock={"mains_hz": 60.0}, world=World(mains_hz=60.0)) as b:
        block = await b.smu.galvanostatic(1e-9, 1.0, 5.0)
        assert block.attributes["nplc"] == 6.0
        assert block.attributes["integration_s"] == near(0.1)
        assert b.smu.capabilities.integration_s == near(0.1)


async def test_a_short_interval_shortens_the_integration_and_says_so() -> None:
    async with bench() as b:
        block = await b.smu.galvanostatic(1e-9, 0.2, 100.0)
        assert block.attributes["nplc"] == 0.5
        assert np.diff(block["time_s"]) == near(0.01, abs=1e-6)
        assert any("mains pick-up is not averaged out" in note for note in block.attributes["notes"])


async def test_an_instrument_slower_than_its_integration_is_found_out() -> None:
    """With autozero a real one converts several times a reading; the pace asked for is kept all the same."""
    async with bench(mock={"conversions": 6}) as b:
        block = await b.smu.galvanostatic(1e-9, 1.0, 5.0)
        assert np.diff(block["time_s"]) == near(0.2, abs=1e-6)
        assert block.attributes["nplc"] == 1.0
        assert not (block["flags"] & Flag.TIMING).any()


async def test_samples_that_come_too_late_say_so() -> None:
    async with bench(mock={"conversions": 6}, nplc=5) as b:
        block = await b.smu.galvanostatic(1e-9, 3.0, 5.0)
        assert np.diff(block["time_s"]) == near(0.6, abs=1e-6)
        assert (block["flags"] & Flag.TIMING).all()


async def test_the_time_stamp_wraps_and_time_goes_on() -> None:
    async with bench() as b:
        restart = b.mock.restart_clock
        b.mock.restart_clock = lambda from_s=0.0: restart(99_999.0)  # type: ignore[method-assign]
        block = await b.smu.galvanostatic(1e-9, 5.0, 10.0)
        assert len(block) == 50
        assert np.diff(block["time_s"]) == near(0.1, abs=0.02)
        assert block["time_s"][-1] == near(5.0, abs=0.02)


async def test_settling_is_marked_by_the_ranges_own_time() -> None:
    async with bench() as b:
        block = await b.smu.galvanostatic(1e-12, 4.0, 10.0)
        settling = (block["flags"] & Flag.SETTLING) != 0
        assert settling.tolist() == [time < 2.0 for time in block["time_s"].tolist()]


async def test_a_2450_in_2400_emulation_is_spoken_to_as_a_2400() -> None:
    async with bench(mock={"model": "2450", "language": "SCPI2400"}) as b:
        block = await b.smu.galvanostatic(1e-9, 1.0, 10.0)
        assert block.attributes["command_set"] == "SCPI 2400"
        assert block.attributes["model"] == "2450"
        assert len(block) == 10


@pytest.mark.parametrize("reply_end", ["\r", "\n", "\r\n", "\n\r"])
async def test_every_line_end_of_the_serial_menu(reply_end: str) -> None:
    async with bench("pty", mock={"model": "2400", "reply_end": reply_end}) as b:
        assert len(await b.smu.galvanostatic(1e-6, 1.0, 10.0)) == 10


class MessageWire(Transport):
    """GPIB and USBTMC as VISA gives them: whole messages, the end of which is a line of the bus and no character."""

    packets = True

    def __init__(self, mock: Keithley24xxMock) -> None:
        super().__init__(Address.parse("visa:GPIB0::24::INSTR"))
        self._mock = mock
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()

    def put(self, data: bytes) -> None:
        self._messages.put_nowait(data.rstrip(b"\n"))

    async def _do_open(self) -> None: ...

    async def _do_close(self) -> None: ...

    async def _do_write(self, data: bytes, timeout_s: float) -> None:
        assert data.endswith(b"\n")
        assert data.count(b"\n") == 1
        self._mock.receive(data)

    async def _do_leftovers(self) -> bytes:
        return b""

    async def _do_read(self, timeout_s: float) -> bytes:
        try:
            return await asyncio.wait_for(self._messages.get(), timeout_s)
        except TimeoutError:
            raise DeviceTimeout("no message") from None


async def test_messages_without_a_line_end_are_whole_answers() -> None:
    world = World(seed=7)
    world.wiring.set_relay(FEEDTHROUGH_RELAY, True)
    mock = Keithley24xxMock(world, "smu")
    wire = MessageWire(mock)
    mock.send = wire.put  # type: ignore[method-assign]
    smu = Keithley24xx(wire, name="smu", clock=world.host_clock("smu"))
    async with smu:
        assert len(await smu.galvanostatic(1e-9, 1.0, 10.0)) == 10
    assert mock.cell_is_open
    await mock.close()


async def test_options_reach_the_instrument() -> None:
    async with bench(terminals="rear", remote_sense=True, current_range=100e-12, nplc=2) as b:
        block = await b.smu.galvanostatic(1e-12, 1.0, 10.0)
        assert ":ROUT:TERM REAR" in b.mock.record
        assert ":SYST:RSEN ON" in b.mock.record
        assert block.attributes["current_range_a"] == 100e-12
        assert block.attributes["nplc"] == 2


async def test_capabilities_tell_a_planner_what_to_refuse() -> None:
    async with bench() as b:
        ranges = b.smu.capabilities.current_ranges
        assert (ranges[0].label, ranges[0].offset_error_a, ranges[0].settling_s) == ("1 pA", 7e-15, 2.0)
        assert b.smu.capabilities.input_resistance_ohm == 1e16
        assert "impedance" not in b.smu.capabilities.techniques
    async with bench(mock={"model": "2450"}) as b:
        lowest = b.smu.capabilities.current_ranges[0]
        assert (lowest.full_scale_a, lowest.source_offset_error_a) == (10e-9, 100e-12)


async def test_the_registry_knows_the_driver() -> None:
    smu = create("keithley-24xx", "visa:GPIB0::24::INSTR", {"current_range": "100 pA"}, device="smu")
    assert isinstance(smu, Keithley24xx)
    assert smu.options.current_range == 100e-12


async def test_a_nanobattery_charges_as_the_oracle_says() -> None:
    """Cell-1 of the JoVE paper by the domain note: 50 uA/cm2 on 10 um2 to 12.5 uAh/cm2, 900 s and 4.5 nC."""
    world = cell_world("fig8a", preset_events=False, noise=False, stray_f=1e-14)
    async with bench(world=world, route=CELL_RELAY) as b:
        technique = Galvanostatic(
            current_a=5e-12, duration_s=2000, voltage_max_v=4.2, charge_limit_c=4.5e-9, interval_s=5.0
        )
        block = await b.smu.collect(technique)
        assert block.end is EndReason.CAPACITY
        assert block["time_s"][-1] == near(900, rel=0.01)
        for time_s, volts in ((10, 2.687), (60, 3.051), (300, 3.446), (899, 3.643)):
            assert np.interp(time_s, block["time_s"], block["voltage_v"]) == near(volts, abs=0.02)


async def test_open_circuit_by_name_of_technique() -> None:
    async with bench() as b:
        block = await b.smu.collect(OpenCircuit(duration_s=0.5, interval_s=0.1))
        assert block.attributes["technique"] == "open_circuit"
