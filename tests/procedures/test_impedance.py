"""Spectra over the wires of instruments: by an EmStat's own sweep, by a Keithley's and a TDstat's set points.

Numbers are those of the domain note, sections 0.6, 4 and 6.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.procedures.context import Answer, Question
from bridge.procedures.registry import find
from bridge.report.page import summary_of, write_report
from drivers import registry
from drivers.errors import InvalidValue, Refused, RunFailed, Unsupported
from drivers.interfaces import Device
from mocks.instrument import Instrument
from mocks.wires import serve
from mocks.world import OpenDrive, VoltageDrive, World
from mocks.world.presets import SHEET_AREA_M2
from mocks.world.wiring import CELL, FEEDTHROUGH
from tests.near import near

pytestmark = pytest.mark.usefixtures("without_debug")

#: driver and its wire
NEXUS = ("methodscript", "pty", {"model": "nexus1"})
K6430 = ("keithley-24xx", "tcp", {"model": "6430"})
TDSTAT = ("tdstat", "usb", {})


@dataclass
class Lab:
    """A context with one potentiostat. `answers` may be a callable that acts and answers."""

    world: World
    device_: Device
    mock: Any
    run: str = "run-1"
    notes: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    answer: Any = None
    on_progress: Any = None

    def device(self, role: str) -> Device:
        if role != "potentiostat":
            raise InvalidValue(f"no device plays {role!r} in this run")
        return self.device_

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        self.steps.append(step)
        if self.on_progress is not None:
            self.on_progress(step, values)

    def note(self, text: str, **values: Any) -> None:
        self.notes.append(text)

    def show(self, header: Any = None, items: Any = ()) -> None:
        self.shown += items

    async def ask(self, question: Question) -> Answer:
        assert self.source_is_off, "a question about the tip with the source on"
        self.asked.append(question.text)
        return Answer(self.answer(question))

    @property
    def source_is_off(self) -> bool:
        return isinstance(self.world.terminals("pstat").drive, OpenDrive)

    async def do(self, name: str = "impedance", **values: Any) -> dict[str, Any]:
        procedure = find(name)
        result = await procedure.run(self, procedure.parse(values))
        assert self.source_is_off
        json.dumps(result, allow_nan=False)
        return result


@asynccontextmanager
async def lab(world: World, what: tuple[str, str, dict[str, Any]], route: int = CELL) -> AsyncIterator[Lab]:
    driver, wire, options = what
    world.tip.touch()
    world.wiring.set_relay(route, True)
    instrument: Instrument = registry.load(registry.find(driver).mock)(world, "pstat", **options)
    async with serve(instrument, wire=wire) as served:
        device = registry.create(driver, served.address, {}, device="pstat", clock=world.host_clock("pstat"))
        await device.connect()
        try:
            yield Lab(world, device, instrument)
        finally:
            await device.transport.close()


def sheet(**more: Any) -> World:
    return World(cell="sheet", area_m2=SHEET_AREA_M2, noise=False, **more)


def nanobattery(**more: Any) -> World:
    """Half charged, of lithium so that no hysteresis hides what is tested; 1.3 GOhm."""
    world = World(
        cell="fig8a_nominal", cell_options={"diffusion_ohm_m2": 0.0, "anode": "lithium"}, preset_events=False, **more
    )
    world.cell.charge_c = world.cell.reversible_c = world.cell._peak_c = 1.2e-8
    return world


def z_of(result: dict[str, Any], name: str = "z") -> Any:
    return np.array(result[f"{name}_real_ohm"]) + 1j * np.array(result[f"{name}_imag_ohm"])


def at(result: dict[str, Any], frequency_hz: float, name: str = "z") -> complex:
    f = np.array(result["frequency_hz"])
    nearest = int(np.argmin(np.abs(np.log(f / frequency_hz))))
    assert f[nearest] == near(frequency_hz, rel=1e-3)
    return complex(z_of(result, name)[nearest])


# --- the device's own sweep ------------------------------------------------------------------------------------------


async def test_the_sheet_cell(tmp_path: Path) -> None:
    async with lab(sheet(), NEXUS) as it:
        result = await it.do(frequency_max="1 MHz", frequency_min="0.1 Hz", area="0.1 cm2")
    assert result["verdict"] == "pass", result["reason"]
    assert (result["mode"], result["signature"]["kind"]) == ("device", "cell")
    assert len(result["frequency_hz"]) == 71
    assert abs(at(result, 1e3)) == near(1181, abs=1.0)
    assert at(result, 0.1).real == near(1860, abs=1.0)
    assert at(result, 0.1).imag == near(-505, abs=1.0)
    kk = result["kramers_kronig"]
    assert (kk["verdict"], kk["elements"]) == ("pass", 33)
    assert kk["max"] == near(0.0009, abs=1e-4)
    assert result["drift"]["change"] == near(0.0, abs=1e-6)
    assert result["linearity"]["linear"] is True
    fitted = {p["name"]: p for p in result["fit"]["parameters"]}
    for name, value in {"R1": 750, "R2": 600, "CPE2_0": 0.2e-6, "W1": 400}.items():
        assert fitted[name]["value"] == near(value, rel=2e-3), name
        assert fitted[name]["low"] < fitted[name]["high"]
    assert fitted["CPE1_0"]["value"] == near(0.98e-9 + 0.1e-9, rel=2e-3), "LiPON's and the lead's 100 pF"
    assert fitted["R1"]["value_ohm_m2"] == near(75e-4, rel=2e-3)
    assert set(result["belongs_to"]) == {"cell"}
    assert result["bias"] == "open-circuit voltage just before"
    assert result["bias_v"] == near(it.world.cell.open_circuit_voltage_v, abs=2e-3)
    page = write_report(tmp_path, [result]).read_text()
    assert "R0-p(R1,CPE1)-p(R2,CPE2)-W1" in page
    assert "750.1 Ohm" in page
    assert (tmp_path / "1-impedance.png").stat().st_size > 30_000
    seen = [point for point in it.shown if point["step"] == "spectrum"]
    for name in ("frequency_hz", "z_real_ohm", "z_imag_ohm"):
        assert [point[name] for point in seen] == result[name], "whoever looked on saw something else"
    assert {point["step"] for point in it.shown} == {"spectrum", "half the amplitude", "first frequency again"}


@pytest.mark.parametrize(
    ("short_ohm", "wanted", "phase_deg", "kind"),
    [(10.0, 9.95 - 0.01j, -0.08, "short"), (1e3, 661 - 60j, -5.2, "cell"), (1e5, 1828 - 486j, -14.9, "cell")],
)
async def test_shorts(short_ohm: float, wanted: complex, phase_deg: float, kind: str) -> None:
    world = sheet()
    world.events.short_ohm = short_ohm
    async with lab(world, NEXUS) as it:
        result = await it.do(frequency_max="10 Hz", frequency_min="0.1 Hz", points_per_decade=5, circuit="")
    found = at(result, 0.1)
    assert abs(found - wanted) <= 0.006 * abs(wanted)
    assert np.degrees(np.angle(found)) == near(phase_deg, abs=0.1)
    assert result["signature"]["kind"] == kind
    assert ("a short" in result["reason"]) == (kind == "short")


async def test_a_short_gets_no_circuit() -> None:
    world = sheet()
    world.events.short_ohm = 10.0
    async with lab(world, NEXUS) as it:
        result = await it.do(frequency_max="100 Hz", frequency_min="0.1 Hz")
    assert result["fit"] is None
    assert "a short" in result["fit_reason"]
    assert summary_of(result).verdict == "short"
    assert "a short" in summary_of(result).reason


async def test_a_creeping_contact_is_drift_that_kramers_kronig_does_not_see() -> None:
    """2.5 Ohm a second over 30 s on 755 Ohm: smooth, so the test passes; the first frequency came back 10 % off."""
    world = sheet()
    async with lab(world, NEXUS) as it:
        world.events.add("creep", at_s=it.mock.timeline.now_ns / 1e9, ohm_per_s=2.5)
        result = await it.do(frequency_max="100 kHz", frequency_min="0.5 Hz", linearity=False)
    assert result["kramers_kronig"]["max"] < 0.03
    assert result["drift"]["change"] > 0.02
    assert result["verdict"] == "fail"
    assert "changed by" in result["reason"]
    assert result["fit"] is None
    assert "this is not" in result["fit_reason"]


async def test_a_contact_event_fails_kramers_kronig() -> None:
    world = sheet()
    async with lab(world, NEXUS) as it:
        began = it.mock.timeline.now_ns / 1e9
        world.events.add("resistance", at_s=began + 4.5, for_s=0.4, ohm=400.0)
        result = await it.do(frequency_max="100 kHz", frequency_min="0.5 Hz", linearity=False)
    kk = result["kramers_kronig"]
    assert kk["verdict"] == "fail"
    assert kk["max"] > 0.08
    assert not result["drift"]["change"] > 0.02, "it is over when the first frequency comes again"
    assert "not linear and steady by Kramers-Kronig" in result["reason"]


async def test_a_nanobattery_is_the_cable_above_its_corner() -> None:
    async with lab(nanobattery(noise=False), NEXUS) as it:
        result = await it.do(frequency_max="1 kHz", frequency_min="0.1 Hz", circuit="R0", linearity=False)
    assert abs(at(result, 1.0)) == near(1.01e9, rel=0.01)
    assert abs(at(result, 10.0)) == near(158e6, rel=0.01)
    assert abs(at(result, 100.0)) == near(15.9e6, rel=0.01)
    cable = result["cable"]
    assert cable["above_hz"] == near(0.79, rel=0.02), "more than half of the current is the lead's"
    assert cable["source"] == "by the shape of the upper end"
    assert "this is the cable" in cable["text"]
    assert "this is the cable" in result["reason"]
    assert cable["corner_hz"] == near(1.22, rel=0.02)
    assert cable["taken_off"] is False
    assert result["belongs_to"][0] == "cable"
    assert result["belongs_to"][-1] != "cable"
    assert result["fit"] is None
    assert "measure the open lead" in result["fit_reason"]


async def test_the_open_lead_is_measured_first_and_taken_off(tmp_path: Path) -> None:
    world = nanobattery(noise=False)

    def answer(question: Question) -> str:
        if "Lift" in question.text:
            world.tip.retract(10e-6)
        else:
            world.tip.touch()
        return question.choices[0]

    async with lab(world, NEXUS) as it:
        it.answer = answer
        result = await it.do(
            frequency_max="1 kHz",
            frequency_min="0.1 Hz",
            circuit="R0",
            measure_open_lead=True,
            linearity=False,
            area="10 um2",
        )
        truth = np.array([world.cell.impedance(f) for f in result["frequency_hz"]])
        world.tip.retract(10e-6)
        it.answer = lambda question: question.choices[0]
        lead = await it.do("open-lead", frequency_max="1 kHz", frequency_min="1 Hz")
        world.tip.touch()
        later = await it.do(
            frequency_max="100 Hz",
            frequency_min="0.1 Hz",
            circuit="R0",
            linearity=False,
            open_lead=json.dumps(lead),
        )
    assert len(it.asked) == 3
    assert lead["capacitance_f"] == near(100e-12, rel=1e-3)
    assert lead["conductance_s"] == near(1e-12, rel=0.01), "the input of the instrument"
    assert lead["procedure"] == "open-lead"
    cable = result["cable"]
    assert (cable["source"], cable["taken_off"]) == ("measured first", True)
    believed = np.array(result["belongs_to"]) != "cable"
    assert np.array(result["frequency_hz"])[believed].max() > 30, "ten times beyond the corner"
    assert z_of(result, "cell_z")[believed] == near(truth[believed], rel=0.02)
    assert result["fit"]["parameters"][0]["value"] == near(1.3e9, rel=0.01)
    assert result["fit"]["parameters"][0]["value_ohm_m2"] == near(130e-4, rel=0.01)
    assert later["cable"]["source"] == "measured in an earlier run"
    assert abs(at(later, 10.0, "cell_z")) == near(1.3e9, rel=0.01)
    page = write_report(tmp_path, [result, lead]).read_text()
    assert "this is the cable" in page
    assert "Open lead: 100 pF" in page


async def test_a_lead_that_is_not_open_is_refused() -> None:
    async with lab(sheet(), NEXUS) as it:
        it.answer = lambda question: question.choices[0]  # says so, and does nothing
        with pytest.raises(Refused, match="the lead is not open: its phase is"):
            await it.do("open-lead", frequency_max="1 kHz", frequency_min="10 Hz")
        drives = [d for d in [it.world.terminals("pstat").drive] if isinstance(d, VoltageDrive)]
        assert drives == []
        it.answer = lambda question: "stop"
        with pytest.raises(Refused, match="stopped by the operator"):
            await it.do(measure_open_lead=True)
        assert it.source_is_off


# --- by the host -----------------------------------------------------------------------------------------------------


async def test_a_known_circuit_by_set_points_of_current() -> None:
    """1 GOhm beside 100 pF, on the loop of the noise test: exact, since nothing in it is slow."""
    world = World(seed=4)
    async with lab(world, K6430, route=FEEDTHROUGH) as it:
        result = await it.do(frequency_min="0.3 Hz", points_per_decade=20, circuit="p(R1,C1)", stray_f=0)
    assert result["mode"] == "host"
    assert result["verdict"] == "pass", result["reason"]
    assert max(result["frequency_hz"]) == near(0.625)
    assert "frequencies above 0.625 Hz are left out" in result["notes"][0]
    truth = np.array([world.terminals("pstat").impedance(f) for f in result["frequency_hz"]])
    assert np.abs(z_of(result) / truth - 1).max() < 0.004
    fitted = {p["name"]: p["value"] for p in result["fit"]["parameters"]}
    assert fitted["R1"] == near(1e9, rel=0.002)
    assert fitted["C1"] == near(100e-12, rel=0.01)
    assert result["noise"]["enough"] is True
    assert [p["frequency_hz"] for p in it.shown if p["step"] == "spectrum"] == result["frequency_hz"]


async def test_a_nanobattery_by_set_points_of_current() -> None:
    """The cell's own 1.3 GOhm at its own voltage, with the noise of the whole circuit."""
    world = nanobattery(seed=5)
    async with lab(world, K6430) as it:
        result = await it.do(
            frequency_min="0.1 Hz",
            points_per_decade=8,
            periods=1,
            area="10 um2",
            circuit="R0",
            lead_f="100 pF",
            linearity=False,
        )
    assert result["verdict"] == "pass", result["reason"]
    low = at(result, 0.1)
    assert low.real == near(1.2914e9, rel=0.003)
    assert abs(low - world.terminals("pstat").impedance(0.1)) < 0.005 * abs(low)
    cell = result["fit"]["parameters"][0]
    assert cell["value_ohm_m2"] == near(130e-4, rel=0.01)
    assert result["bias_v"] == near(world.cell.open_circuit_voltage_v, abs=3e-3)
    assert result["drift"]["ocv_change_v"] == near(0.0, abs=2e-3)
    levels = [abs(drive.current_a) for _, drive in it.mock.source.drives if hasattr(drive, "current_a")]
    assert max(levels) < 20e-12, "no more than the amplitude takes"
    assert all(not (isinstance(d, VoltageDrive) and d.voltage_v == 0) for _, d in it.mock.source.drives[2:])


@pytest.mark.parametrize("control", ["current", "voltage"])
async def test_a_sheet_cell_by_set_points_of_a_tdstat(control: str) -> None:
    """At these frequencies all but the slow diffusion element is settled: 1355 Ohm and 400 Ohm over 100 s."""
    world = sheet(cell_options={"warburg_ohm_m2_per_sqrt_s": 0.0})
    world.cell.charge_c = world.cell.reversible_c = world.cell._peak_c = 0.15  # on the flat part of its curve
    async with lab(world, TDSTAT) as it:
        result = await it.do(
            frequency_max="0.6 Hz",
            frequency_min="0.4 Hz",
            points_per_decade=10,
            control=control,
            linearity=False,
            circuit="",
            area="0.1 cm2",
        )
    truth = np.array([world.terminals("pstat").impedance(f) for f in result["frequency_hz"]])
    assert np.abs(z_of(result) / truth - 1).max() < 0.005
    assert result["control"] == control
    assert result["drift"]["change"] < 0.005


async def test_a_contact_that_is_lost_on_the_way_shows() -> None:
    """What is left is the lead, four times the cell: no limit is crossed, but nothing fits together any more."""
    world = nanobattery(noise=False)
    async with lab(world, K6430) as it:

        def lose(step: str, values: dict[str, Any]) -> None:
            if step == "spectrum" and values.get("frequency_hz", 1.0) < 0.3:
                world.tip.retract(1e-6)

        it.on_progress = lose
        result = await it.do(frequency_min="0.2 Hz", area="10 um2", points_per_decade=16, periods=1, linearity=False)
    assert result["verdict"] == "fail"
    assert "not linear and steady by Kramers-Kronig" in result["reason"]
    assert result["drift"]["change"] > 0.5
    assert result["fit"] is None


async def test_no_contact_from_the_beginning() -> None:
    world = nanobattery(noise=False)
    async with lab(world, K6430) as it:
        world.tip.retract(1e-6)
        result = await it.do(frequency_max="0.5 Hz", frequency_min="0.2 Hz", points_per_decade=5, linearity=False)
    assert result["verdict"] == "open"
    assert "nothing is connected" in result["reason"]


async def test_an_abort_leaves_the_source_off() -> None:
    world = nanobattery(noise=False)
    async with lab(world, K6430) as it:
        reached = asyncio.Event()
        it.on_progress = lambda step, values: reached.set() if step == "spectrum" else None
        task = asyncio.create_task(it.do(frequency_min="0.01 Hz", area="10 um2"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert it.source_is_off


async def test_a_signal_that_drowns_is_doubted() -> None:
    quick = {"frequency_max": "0.6 Hz", "frequency_min": "0.3 Hz", "circuit": "", "linearity": False}
    async with lab(World(seed=4), K6430, route=FEEDTHROUGH) as it:
        result = await it.do(**quick, noise="1 pA")
        assert result["noise"]["ratio"] == near(10, rel=0.2)
        assert result["verdict"] == "doubtful"
        assert "50 is wanted" in result["reason"]
    async with lab(nanobattery(seed=6), K6430) as it:
        with pytest.raises(RunFailed, match="over range"):
            await it.do(**quick, amplitude="0.1 mV", area="10 um2")


async def test_repeats_give_the_scatter() -> None:
    async with lab(World(seed=4), K6430, route=FEEDTHROUGH) as it:
        result = await it.do(
            frequency_max="0.6 Hz", frequency_min="0.5 Hz", points_per_decade=12, repeats=3, circuit="", linearity=False
        )
    assert it.steps.count("spectrum 3 of 3") == len(result["sigma"]) == 2
    assert all(0 < sigma < 0.01 for sigma in result["sigma"])


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        (
            {"frequency_min": "1 Hz"},
            InvalidValue,
            r"frequency_min_hz is 1 Hz; pstat can be made to give up to 0\.625 Hz",
        ),
        ({"mode": "device"}, Unsupported, "this instrument cannot do impedance"),
        ({"circuit": "R0-p(R1"}, InvalidValue, "circuit is 'R0-p"),
        ({"circuit": "R0-C1", "guess": "1, 2, 3"}, InvalidValue, "with 3 guesses"),
        ({"guess": "1; 2"}, InvalidValue, "accepted: numbers with commas"),
        ({"open_lead": "{}"}, InvalidValue, r"accepted: the result\.json of an open-lead run"),
        ({"lead_f": "1 pF", "measure_open_lead": True}, InvalidValue, "lead_f and measure_open_lead are given"),
        ({"frequency_max": "0.01 Hz"}, InvalidValue, r"frequency_min_hz is 0\.1 Hz, above frequency_max_hz"),
        ({"bias": "300 V"}, Refused, "beyond the instrument's"),
        ({"route": "cell"}, InvalidValue, "no device plays 'feedthrough'"),
    ],
)
async def test_refused_before_anything_is_sent(values: dict[str, Any], error: type[Exception], text: str) -> None:
    async with lab(nanobattery(noise=False), K6430) as it:
        it.mock.record.clear()
        with pytest.raises(error, match=text):
            await it.do(**values)
        assert it.mock.record == []
