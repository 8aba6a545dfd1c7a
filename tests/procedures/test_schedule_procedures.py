"""The procedures that are one step or a few, against the oracles of domain.md, and the functions behind them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bridge.analysis.pulse import baseline, diffusion_time, extrapolated, resistances, sqrt_slope
from bridge.analysis.voltammetry import sweeps
from bridge.procedures.registry import find
from bridge.procedures.schedule.judge import Floats, sliding_slope
from drivers.errors import InvalidValue, RunFailed
from mocks.world import World
from tests.near import near

from .bench import Bench

pytestmark = pytest.mark.usefixtures("without_debug")


def on_cell(preset: str = "good", **options: Any) -> Bench:
    world = World(cell=preset, noise=False, preset_events=False, **options)
    world.tip.touch()
    return Bench(world)


async def go(bench: Bench, name: str, **values: Any) -> dict[str, Any]:
    procedure = find(name)
    result = await procedure.run(bench, procedure.parse({"route": "cell", **values}))
    assert result["procedure"] == name
    assert not bench.smu.on
    json.dumps(result, allow_nan=False)
    for field in procedure.produces:
        assert field in result, field
    return result


async def charged(bench: Bench) -> None:
    await go(
        bench,
        "constant-current",
        current_density="50 uA/cm2",
        area="10 um2",
        capacity_limit="12.5 uAh/cm2",
        interval="5 s",
    )


async def test_fig8b_by_constant_current() -> None:
    result = await go(
        on_cell("fig8b"), "constant-current", current_density="1.25 mA/cm2", area="10 um2", interval="0.5 s"
    )
    assert result["end"] == "voltage >= 4.2 V"
    assert result["duration_interpolated_s"] == near(303.5, rel=0.01)
    assert result["capacity_interpolated_ah"] == near(10.54e-12, rel=0.01)
    assert result["current_a"] == near(125e-12)
    assert result["overshoot"]["slope_v_per_s"] == near(3e-3, rel=0.1)  # domain.md, section 3


async def test_a_discharge_is_a_negative_current_and_ends_at_the_lower_voltage() -> None:
    bench = on_cell("fig8a")
    await charged(bench)
    result = await go(bench, "constant-current", current="-5 pA", interval="2 s")
    assert result["end"] == "voltage <= 2 V"
    assert result["charge_ah"] == 0.0
    assert result["discharge_ah"] == near(1.25e-12, rel=0.08)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "no current given; exactly one of current_a, current_density_a_per_m2, c_rate is accepted"),
        ({"current": "5 pA", "c_rate": 1}, "current_a and c_rate given"),
        ({"c_rate": 1}, "c_rate needs reference_capacity_ah"),
        ({"current_density": "50 uA/cm2"}, "current_density_a_per_m2 needs area_m2"),
        ({"current": 0}, "current_a is 0; open-circuit and rest"),
    ],
)
def test_one_current_is_needed(values: dict[str, Any], said: str) -> None:
    for name in ("constant-current", "cc-cv", "gitt", "dc-resistance"):
        with pytest.raises(InvalidValue, match=said):
            find(name).parse(values)


def test_a_held_voltage_needs_its_cap() -> None:
    with pytest.raises(InvalidValue, match="'current_limit_a' is required: cap of the current"):
        find("constant-voltage").parse({"voltage": "4.2 V"})


async def test_constant_voltage_tapers() -> None:
    bench = on_cell()
    await charged(bench)
    result = await go(bench, "constant-voltage", voltage="4.0 V", current_limit="20 pA", interval="5 s")
    assert result["end"] == "current <= 1 pA"
    assert 0 < result["current_end_a"] <= 1e-12
    assert result["voltage_max_v"] == near(4.0, abs=1e-6)


async def test_cc_cv_hands_over_at_the_voltage_and_tells_the_gap() -> None:
    """At 2C up to 4.1 V: the constant current leaves off j R below, and the taper fills that."""
    result = await go(
        on_cell(), "cc-cv", c_rate=2, reference_capacity="11.5 pAh", voltage="4.1 V", area="10 um2", interval="2 s"
    )
    (handover,) = result["handovers"]
    assert handover["voltage_before_v"] == near(4.1, abs=0.005)
    assert handover["gap_s"] >= 0
    assert result["current_end_a"] <= 23e-12 / 20
    assert result["constant_current_ah"] < result["capacity_ah"]
    assert result["constant_current_ah"] == near(23e-12 * handover["at_s"] / 3600, rel=1e-6)


async def test_open_circuit_ends_when_it_has_come_to_rest() -> None:
    bench = on_cell()
    await charged(bench)
    limits = {"interval": "10 s", "dv_dt": "20 mV/h", "dv_dt_window": "10 min"}
    result = await go(bench, "open-circuit", duration="10 h", **limits)
    assert result["end"].startswith("dv_dt <")
    assert result["dv_dt_v_per_s"] < 20e-3 / 3600
    assert 600 < result["duration_interpolated_s"] < 36_000
    timed = await go(bench, "open-circuit", duration="30 s", interval="1 s")
    assert (timed["end"], timed["duration_s"]) == ("time >= 30 s", near(30.0))


async def test_a_rest_disconnects_unless_it_must_look() -> None:
    bench = on_cell()
    await charged(bench)
    bench.smu.record.clear()
    result = await go(bench, "rest", duration="1 h")
    assert result["duration_s"] == near(3600.0)
    assert result["disconnected"] is True
    assert not [word for word in bench.smu.record if word.startswith("on")]
    result = await go(bench, "rest", duration="10 h", dv_dt="20 mV/h", interval="10 s")
    assert result["disconnected"] is False
    assert result["dv_dt_v_per_s"] < 20e-3 / 3600


async def test_dc_resistance_is_that_of_the_cell() -> None:
    """130 Ohm cm2 on 10 um2 are 1.3 GOhm (6.5 mV at 5 pA). The step extrapolated to zero is 1.3 GOhm; at a delay of 1 s
    the cell's own charging (1.7 mV/s at 5 pA at 150 s) comes on top, and that is what the number at a delay means."""
    bench = on_cell("fig8a", stray_f=1e-15)
    await charged(bench)
    result = await go(
        bench,
        "dc-resistance",
        current="5 pA",
        area="10 um2",
        interval="20 ms",
        pulse="2 s",
        delays="0.1 s, 1 s",
        stray_f="1 fF",
    )
    assert result["extrapolated_ohm"] == near(1.3e9, rel=0.02)
    assert result["extrapolated_ohm_m2"] == near(130e-4, rel=0.02)
    early, late = result["resistances"]
    assert early["resistance_ohm"] == near(1.3e9, rel=0.08)
    assert early["valid"]
    assert late["resistance_ohm"] > early["resistance_ohm"]
    assert result["delay_s"] == 1.0
    assert result["discharge_ah"] == near(result["charge_ah"], rel=1e-6)


async def test_a_resistance_before_the_lead_has_settled_is_not_valid() -> None:
    """1.3 GOhm and 100 pF: 0.13 s; five of them are needed."""
    bench = on_cell("fig8a")
    await charged(bench)
    result = await go(bench, "dc-resistance", current="5 pA", interval="0.1 s", delays="10 ms, 0.2 s, 3 s")
    none, early, late = result["resistances"]
    assert none["resistance_ohm"] is None
    assert "the first sample comes 0.1 s after the edge" in none["reason"]
    assert not early["valid"]
    assert "need" in early["reason"]
    assert late["valid"]
    assert result["resistance_ohm"] == late["resistance_ohm"]


async def test_a_pulse_beyond_the_window_is_a_fault() -> None:
    bench = on_cell("fig8a")
    await charged(bench)
    with pytest.raises(RunFailed, match=r"voltage >= 3.6 V: the schedule calls this a fault"):
        await go(bench, "dc-resistance", current="50 pA", voltage_max="3.6 V")
    assert not bench.smu.on


async def test_gitt_gives_a_row_a_pulse() -> None:
    bench = on_cell()
    await charged(bench)
    result = await go(
        bench,
        "gitt",
        current_density="50 uA/cm2",
        area="10 um2",
        pulse="120 s",
        rest="1200 s",
        pulses=3,
        thickness="2 um",
    )
    rows = result["pulses"]
    assert len(rows) == 3
    assert [row["charge_after_ah"] for row in rows] == near([5e-12 * 120 * n / 3600 for n in (1, 2, 3)], rel=1e-6)
    for row in rows:
        assert row["voltage_before_v"] < row["voltage_relaxed_v"] < row["voltage_end_v"]
        assert row["resistance_ohm"] > 1.3e9
        assert row["diffusion_time_s"] > 0
        assert row["diffusion_m2_per_s"] == near((2e-6) ** 2 / row["diffusion_time_s"])
    relaxed, following = rows[0]["voltage_relaxed_v"], rows[1]["voltage_before_v"]
    assert following == near(relaxed, abs=1e-3)


def test_gitt_needs_a_sample_at_its_delay() -> None:
    with pytest.raises(InvalidValue, match=r"delay_s is 1 s; from interval_s, 5 s"):
        find("gitt").parse({"current": "5 pA", "interval": "5 s"})


async def test_cyclic_voltammetry_counts_each_sweep() -> None:
    bench = on_cell()
    await charged(bench)
    result = await go(
        bench, "cyclic-voltammetry", vertex1="3.9 V", vertex2="3.0 V", rate="1 mV/s", current_limit="200 pA", cycles=2
    )
    legs = result["sweeps"]
    assert [leg["cycle"] for leg in legs] == [1, 1, 1, 2, 2, 2]
    assert [(leg["from_v"], leg["to_v"]) for leg in legs[1:3]] == [(3.9, 3.0), (3.0, result["begin_v"])]
    assert result["duration_s"] == near(2 * 1.8 / 1e-3, rel=0.01)
    assert legs[0]["charge_ah"] > 0
    assert legs[4]["peak"]["current_a"] < 0
    assert legs[4]["discharge_ah"] == near(legs[1]["discharge_ah"], rel=0.01)


async def test_a_sweep_beyond_its_current_is_no_voltammogram() -> None:
    bench = on_cell()
    bench.smu.change = lambda reading, index: reading._replace(current_a=1e-9) if index == 20 else reading
    with pytest.raises(RunFailed, match="the sweep was ended by current_limit at 1e-09 A"):
        await go(bench, "cyclic-voltammetry", vertex1="3.9 V", vertex2="3.0 V", current_limit="200 pA")


# --- the functions behind them ---------------------------------------------------------------------------------------


def test_resistance_of_a_known_circuit() -> None:
    """1 kOhm, then an RC that adds 500 Ohm; 1 mA; the voltage before drifts by 1 mV/s."""
    rng = np.random.default_rng(3)
    before_t = np.arange(-10, 0, 0.1)
    line = baseline(before_t, 3.6 + 1e-3 * before_t + rng.normal(0, 1e-5, len(before_t)))
    t = np.arange(0.01, 5, 0.01)
    v = 3.6 + 1e-3 * t + 1e-3 * (1000 + 500 * (1 - np.exp(-t / 0.5)))
    ten, second = resistances(line, t, v, 1e-3, (0.01, 1.0), stray_f=1e-9)
    assert line is not None
    assert line.noise == near(1e-5, rel=0.2)
    assert ten.resistance_ohm == near(1000 + 500 * (1 - np.exp(-0.02)), rel=1e-3)
    assert second.resistance_ohm == near(1000 + 500 * (1 - np.exp(-2)), rel=1e-3)
    assert second.uncertainty_ohm is not None
    assert 0 < second.uncertainty_ohm < 0.05
    assert ten.valid
    assert second.valid
    assert not resistances(line, t, v, 1e-3, (0.01,), stray_f=1e-5)[0].valid


def test_the_step_is_extrapolated_through_a_ramp() -> None:
    before_t = np.arange(-10, 0, 0.1)
    line = baseline(before_t, np.full(len(before_t), 3.6))
    t = np.arange(0.02, 2, 0.02)
    found = extrapolated(line, t, 3.6 + 6.5e-3 + 1.7e-3 * t, 5e-12, 1e-15)
    assert found is not None
    assert found.resistance_ohm == near(1.3e9, rel=1e-6)


def test_slope_against_the_square_root_of_time() -> None:
    t = np.arange(1.0, 601.0)
    found = sqrt_slope(t, 3.6 + 2e-3 * np.sqrt(t))
    assert found is not None
    assert found.slope_v_per_sqrt_s == near(2e-3)
    assert found.r2 == near(1.0)
    assert sqrt_slope(t[:3], t[:3]) is None


def test_weppner_and_huggins() -> None:
    """4/(pi tau) (dEs/dEt)^2 = D/L^2: a pulse of 600 s whose relaxed change is half of the change within it."""
    assert diffusion_time(600.0, 5e-3, 10e-3) == near(np.pi * 600 / 4 * 4)
    assert diffusion_time(600.0, 0.0, 10e-3) is None


def test_the_sliding_slope_is_that_of_a_line_through_each_window() -> None:
    rng = np.random.default_rng(1)
    t: Floats = 1e5 + np.arange(300, dtype=np.float64) * 10.0
    v = 3.6 - 1e-6 * t + rng.normal(0, 1e-5, 300)
    slopes, errors = sliding_slope(t, v, 30)
    assert np.isnan(slopes[:29]).all()
    for place in (29, 150, 299):
        part = slice(place - 29, place + 1)
        coefficients, covariance = np.polyfit(t[part] - t[place], v[part], 1, cov=True)
        assert slopes[place] == near(coefficients[0], rel=1e-6)
        assert errors[place] == near(np.sqrt(covariance[0, 0]), rel=1e-4)


def test_a_peak_is_found_where_it_is() -> None:
    """A bell at 3.9 V on a slope, up and down at 1 mV/s between 3.5 and 4.2 V."""
    up = np.arange(3.501, 4.2001, 1e-3)
    volts = np.concatenate((up, up[::-1]))
    time: Floats = np.arange(1, len(volts) + 1, dtype=np.float64)
    bell = 1e-6 * np.exp(-(((volts - 3.9) / 0.02) ** 2))
    current = np.where(np.arange(len(volts)) < len(up), bell, -bell)
    legs = sweeps(
        time,
        volts,
        current,
        begin_v=3.5,
        vertex1_v=4.2,
        vertex2_v=3.5,
        rate_v_per_s=1e-3,
        cycles=1,
        period_s=1.0,
    )
    rising, falling = legs[0], legs[1]
    assert rising.peak is not None
    assert falling.peak is not None
    assert rising.peak.voltage_v == near(3.9, abs=0.003)
    assert falling.peak.voltage_v == near(3.9, abs=0.003)
    assert rising.charge_c == near(1e-6 * 20 * np.sqrt(np.pi), rel=0.01)
    assert falling.discharge_c == near(rising.charge_c, rel=0.01)
