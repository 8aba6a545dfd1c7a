"""What a Keithley says, and what is planned for it, without an instrument."""

from __future__ import annotations

import math

import pytest

from drivers.errors import DeviceError, InvalidValue, ProtocolError, Unsupported, WrongDevice
from drivers.interfaces import Identity
from drivers.potentiostats.keithley24xx import Keithley24xxOptions
from drivers.potentiostats.keithley24xx.dialect import exact
from drivers.potentiostats.keithley24xx.models import MODELS, model_of
from drivers.potentiostats.keithley24xx.plan import plan
from drivers.potentiostats.keithley24xx.readings import DeviceTime, Form, error_of, reading_2400, reading_2450
from drivers.potentiostats.keithley24xx.run import whole_periods
from drivers.potentiostats.keithley24xx.session import identity_of
from drivers.registry import parse_options
from drivers.samples import Flag
from drivers.techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic
from tests.near import near

OPTIONS = Keithley24xxOptions()
BOTH_MEASURED = (1 << 11) | (1 << 12) | (1 << 15)


def line_2400(volts: str = "+3.600000E+00", amperes: str = "+1.000000E-12", status: int = BOTH_MEASURED) -> str:
    return f"{volts},{amperes},+9.910000E+37,+1.234567E+03,{status:+.6E}"


def test_a_reading_is_what_the_text_says_to_the_bit() -> None:
    reading = reading_2400("+3.612345E+00,+1.234567E-12,+9.910000E+37,+1.234567E+03,+3.891200E+04")
    assert (reading.voltage_v, reading.current_a, reading.stamp_s) == (3.612345, 1.234567e-12, 1234.567)
    assert reading.flags == Flag.NONE


@pytest.mark.parametrize(
    ("text", "flag"),
    [("+9.910000E+37", Flag.INVALID), ("+9.900000E+37", Flag.OVERLOAD), ("-9.9E37", Flag.OVERLOAD)],
)
def test_the_markers_of_no_number_become_nan_with_a_flag(text: str, flag: Flag) -> None:
    reading = reading_2400(line_2400(volts=text))
    assert math.isnan(reading.voltage_v)
    assert reading.flags == flag
    assert reading.current_a == 1e-12


@pytest.mark.parametrize(
    ("bit", "flag"),
    [
        (0, Flag.OVERLOAD),
        (3, Flag.COMPLIANCE),
        (4, Flag.COMPLIANCE),
        (16, Flag.RANGE_COMPLIANCE),
        (2, Flag.NONE),
        (22, Flag.NONE),
    ],
)
def test_status_bits_become_flags(bit: int, flag: Flag) -> None:
    assert reading_2400(line_2400(status=BOTH_MEASURED | 1 << bit)).flags == flag


def test_the_manuals_worked_status_word_is_a_clean_reading() -> None:
    """48132 = bits 2, 10, 11, 12, 13 and 15 (2400 manual 18-51)."""
    assert reading_2400(line_2400(status=48132)).flags == Flag.NONE


def test_a_programmed_value_is_not_passed_off_as_a_measured_one() -> None:
    reading = reading_2400(line_2400(status=1 << 11 | 1 << 15))
    assert reading.voltage_v == 3.6
    assert math.isnan(reading.current_a)
    assert reading.flags == Flag.INVALID


@pytest.mark.parametrize("line", ["", "+1.0,+2.0", line_2400() + ",1", line_2400(volts="+3.6x"), line_2400(volts="")])
def test_a_broken_reading_is_refused(line: str) -> None:
    with pytest.raises(ProtocolError):
        reading_2400(line)


def test_a_number_that_lost_its_first_characters_is_not_taken_for_another() -> None:
    form = Form(signed=True)
    form.check(["3.6", "1e-12"])
    form.check(["+3.612345E+00", "-1.234567E-12"])
    for broken in ("612345E+00", ".612345E+00", "3.612345E+00", "+3.612345E+0", "3.6"):
        with pytest.raises(ProtocolError, match="not whole"):
            form.check([broken, "-1.234567E-12"])


def test_a_2450_reads_its_source_back() -> None:
    sourcing = reading_2450("3.612345E+00,1.5,1.234567E-12,160,8", current_is_sourced=True)
    assert (sourcing.voltage_v, sourcing.current_a, sourcing.stamp_s) == (3.612345, 1.234567e-12, 1.5)
    assert (sourcing.flags, sourcing.output_on) == (Flag.COMPLIANCE, True)
    holding = reading_2450("1.234567E-12,1.5,3.612345E+00,0,8", current_is_sourced=False)
    assert (holding.voltage_v, holding.current_a) == (3.612345, 1.234567e-12)
    assert holding.output_on is False


def test_a_hot_2450_is_an_error() -> None:
    with pytest.raises(DeviceError, match="too hot"):
        reading_2450("1,1,1,144,8", current_is_sourced=True)


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ('0,"No error"', 0, "No error"),
        ('+803,"Not permitted with OUTPUT off"', 803, "Not permitted with OUTPUT off"),
        ('-113,"Undefined header;1;2026/01/01 10:00:00.000"', -113, "Undefined header"),
        ("+824,Cannot exceed compliance range", 824, "Cannot exceed compliance range"),
    ],
)
def test_entries_of_the_error_queue(line: str, code: int, text: str) -> None:
    assert error_of(line) == (code, text)


def test_a_stamp_that_wraps_goes_on() -> None:
    time = DeviceTime(100_000.0)
    time.start(99_999.9, 5.0)
    assert time.elapsed(99_999.95, 5.05) == (0.05, Flag.NONE)
    assert time.elapsed(0.05, 5.15) == (0.15, Flag.NONE)
    assert time.elapsed(10.0, 15.0) == (10.1, Flag.NONE)


def test_a_stamp_that_goes_back_is_a_restart() -> None:
    time = DeviceTime(100_000.0)
    time.start(812.0, 0.0)
    with pytest.raises(DeviceError, match="restarted"):
        time.elapsed(4.0, 1.0)


def test_a_stamp_too_coarse_to_advance_is_filled_in_by_the_host() -> None:
    time = DeviceTime(100_000.0)
    time.start(20_000.00, 1.0)
    assert time.elapsed(20_000.00, 1.004) == (0.004, Flag.HOST_TIME)
    assert time.elapsed(20_000.01, 1.010) == (0.01, Flag.NONE)


def test_a_buffer_that_starts_over_is_bridged_by_the_host() -> None:
    time = DeviceTime(None)
    time.start(50.0, 100.0)
    assert time.elapsed(51.0, 101.0) == (1.0, Flag.NONE)
    assert time.elapsed(0.0, 102.0) == (2.0, Flag.HOST_TIME)
    assert time.elapsed(1.0, 103.5) == (3.0, Flag.NONE)


def test_identities() -> None:
    assert identity_of("KEITHLEY INSTRUMENTS INC.,MODEL 6430,1141613,C27   Jul 12 2004 15:47:33/A02  /D/B") == Identity(
        "Keithley", "6430", "1141613", "C27   Jul 12 2004 15:47:33/A02  /D/B"
    )
    assert identity_of("Keithley Instruments, Model 2450,04096331,1.6.4c").model == "2450"
    with pytest.raises(WrongDevice, match="RIGOL"):
        identity_of("RIGOL TECHNOLOGIES,DP832,DP8A1,00.01.16")
    with pytest.raises(ProtocolError):
        identity_of("+3.6E+00,+1.0E-12,+9.91E+37,+1.2E+03,+3.9E+04")


def test_models_are_found_with_their_suffixes() -> None:
    assert model_of("MODEL 2400") is MODELS["2400"]
    assert model_of("2400-LV") is MODELS["2400-LV"]
    assert model_of("2420-C") is MODELS["2420"]
    assert model_of("2636B") is None


def test_numbers_go_out_with_all_their_digits() -> None:
    assert float(exact(1e-12)) == 1e-12
    assert float(exact(1.23456789e-13)) == 1.23456789e-13
    assert exact(4.14e-12) == "4.140000000E-12"


@pytest.mark.parametrize(
    ("model", "current_a", "full_scale_a"),
    [
        ("6430", 1e-12, 10e-12),
        ("6430", 0.3e-12, 1e-12),
        ("6430", -5e-12, 100e-12),
        ("6430", 10e-12, 100e-12),
        ("6430", 5e-9, 10e-9),
        ("6430", 125e-12, 1e-9),
        ("2400", 1e-6, 10e-6),
        ("2450", 1e-12, 10e-9),
    ],
)
def test_the_range_holds_the_current_with_room_for_noise(model: str, current_a: float, full_scale_a: float) -> None:
    planned = plan(Galvanostatic(current_a=current_a, duration_s=1), MODELS[model], OPTIONS, None)
    assert planned.source_range == full_scale_a


def test_a_current_below_the_step_of_the_source_is_refused() -> None:
    with pytest.raises(InvalidValue, match="steps of 5e-11 A"):
        plan(Galvanostatic(current_a=1e-12, duration_s=1), MODELS["2400"], OPTIONS, None)


@pytest.mark.parametrize(
    "technique",
    [
        Galvanostatic(current_a=0.2, duration_s=1),
        Galvanostatic(current_a=1e-12, duration_s=1, interval_s=1e-4),
        Galvanostatic(current_a=1e-12, duration_s=1, voltage_max_v=500),
        Potentiostatic(voltage_v=300, duration_s=1),
        Potentiostatic(voltage_v=3, duration_s=1, current_limit_a=1),
        CyclicVoltammetry(begin_v=0, vertex1_v=1, vertex2_v=-1, rate_v_per_s=100),
    ],
)
def test_what_the_instrument_cannot_do_is_refused(technique: Galvanostatic) -> None:
    with pytest.raises(InvalidValue):
        plan(technique, MODELS["6430"], OPTIONS, None)


def test_impedance_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="6430"):
        plan(Impedance(), MODELS["6430"], OPTIONS, None)


def test_charging_narrows_the_compliance_and_discharging_does_not() -> None:
    window = {"voltage_min_v": 2.0, "voltage_max_v": 4.2}
    charge = plan(Galvanostatic(current_a=5e-12, duration_s=1, **window), MODELS["6430"], OPTIONS, None)
    assert charge.limit_first == 5.0
    assert charge.limit == near(4.3)
    discharge = plan(Galvanostatic(current_a=-5e-12, duration_s=1, **window), MODELS["6430"], OPTIONS, None)
    assert (discharge.limit_first, discharge.limit) == (5.0, 5.0)


def test_open_circuit_takes_the_range_used_last() -> None:
    technique = OpenCircuit(duration_s=1)
    model = MODELS["6430"]
    assert plan(technique, model, OPTIONS, None).source_range == 100e-12
    assert plan(technique, model, OPTIONS, model.current_ranges[0]).source_range == 1e-12
    named = Keithley24xxOptions(open_circuit_range=1e-9)
    planned = plan(technique, model, named, model.current_ranges[0])
    assert planned.source_range == 1e-9
    assert "2e-13 A" in planned.notes[0]


def test_integration_is_whole_mains_periods_where_it_can_be() -> None:
    assert [whole_periods(x) for x in (5.0, 4.09, 0.5, 0.001, 25.0)] == [5.0, 4.0, 0.5, 0.01, 10.0]


def test_options_take_text_with_units() -> None:
    options = parse_options(Keithley24xxOptions, {"current_range": "1 nA", "compliance": "4.5 V", "timeout": "500 ms"})
    assert options == Keithley24xxOptions(current_range=1e-9, compliance=4.5, timeout=0.5)


@pytest.mark.parametrize(
    "values", [{"nplc": 20}, {"terminals": "side"}, {"terminator": "etx"}, {"compliance": 0}, {"timeout": "-1 s"}]
)
def test_wrong_options_name_themselves(values: dict[str, object]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(values))):
        parse_options(Keithley24xxOptions, values)
