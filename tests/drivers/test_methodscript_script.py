"""Numbers and scripts as they go out, and what is refused before anything is sent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidValue, ProtocolError, Unsupported
from drivers.potentiostats.methodscript.literals import literal
from drivers.potentiostats.methodscript.models import MODELS
from drivers.potentiostats.methodscript.protocol import parse_capabilities, parse_firmware
from drivers.potentiostats.methodscript.script import MAINS, TAPER, Settings, plan
from drivers.techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic, Technique
from mocks.instruments.methodscript.encoding import literal as read_by_the_instrument
from mocks.instruments.methodscript.language import load
from mocks.instruments.methodscript.models import MODELS as MOCK_MODELS
from tests.near import near

#: CM of an EmStat4 LR, firmware 1.500 (maker's documentation of its Python SDK)
CM = 0x3FFFFBFE8FFFFFFFFFFFFFFFFFFFFBFFFFE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1e-12, "1p"), (1.5e-12, "1500f"), (5e-12, "5p"), (-0.5, "-500m"), (4.2, "4200m"), (0.1, "100m"),
        (200e3, "200k"), (58.505, "58505m"), (900.0, "900"), (1e6, "1M"), (2147483647.0, "2147483647"),
        (604800.0, "604800"),
    ],
)  # fmt: skip
def test_literals(value: float, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize("value", [1 / 3, 0.30000000000000004, 4.5e-9 / 5e-12, 4.14159265358979e-12, -1.23456789012e-3])
def test_more_digits_than_fit_are_rounded_below_what_a_converter_sees(value: float) -> None:
    number = read_by_the_instrument(literal(value))
    assert number is not None
    assert float(number[0]) == near(value, rel=1e-6)


@pytest.mark.parametrize("value", [1.5e-18, 1.2345678e-15, float("nan"), float("inf"), 1e30, -1e-30])
def test_numbers_that_cannot_be_written_are_refused_by_name(value: float) -> None:
    with pytest.raises(InvalidValue, match="current_a is"):
        literal(value, "current_a")


@given(mantissa=st.integers(-(2**31) + 1, 2**31 - 1), exponent=st.integers(-6, 6))
def test_what_can_be_written_is_written_exactly(mantissa: int, exponent: int) -> None:
    value = float(Decimal(mantissa).scaleb(3 * exponent))
    number = read_by_the_instrument(literal(value))
    assert number is not None
    assert float(number[0]) == value


def lines_of(technique: Technique, model: str = "es4_hr", **settings: object) -> list[str]:
    return plan(technique, MODELS[model], Settings(**settings)).text()  # type: ignore[arg-type]


def test_the_script_of_a_charge() -> None:
    technique = Galvanostatic(current_a=5e-12, duration_s=3600, interval_s=0.1, voltage_min_v=2.0, voltage_max_v=4.2)
    assert lines_of(technique, "es4_hr", commands=CM) == [
        "var t", "var p", "var c",
        "set_pgstat_chan 0", "set_pgstat_mode 6", "set_max_bandwidth 58500m", "set_acquisition_frac_autoadjust 50",
        "set_range ab 6", "set_autoranging ab 6 6", "set_range db 100n", "set_autoranging db 100n 100n",
        "set_i 0", "cell_on", "timer_start",
        "meas_loop_cp p c 5p 100m 3600",
        "timer_get t", "pck_start", "pck_add t", "pck_add p", "pck_add c", "pck_end",
        "if p >= 4200m", "breakloop", "endif",
        "endloop", "on_finished:", "cell_off",
    ]  # fmt: skip


def test_a_discharge_has_the_lower_limit_and_a_rest_both() -> None:
    both = {"duration_s": 10.0, "voltage_min_v": 2.0, "voltage_max_v": 4.2}
    assert [line for line in lines_of(Galvanostatic(current_a=-1e-9, **both)) if line.startswith("if")] == ["if p <= 2"]
    assert [line for line in lines_of(Galvanostatic(current_a=0.0, **both)) if line.startswith("if")] == [
        "if p >= 4200m",
        "if p <= 2",
    ]


def test_the_charge_limit_shortens_the_script() -> None:
    made = plan(Galvanostatic(current_a=5e-12, duration_s=3600, charge_limit_c=4.5e-9), MODELS["es4_lr"], Settings())
    assert made.capacity_s == near(900.0)
    loop = next(line for line in made.text() if line.startswith("meas_loop_cp"))
    number = read_by_the_instrument(loop.split()[-1])
    assert number is not None
    assert float(number[0]) == near(900.0, rel=1e-9)


def test_taper_and_mains_filter_only_where_the_device_says_it_has_the_commands() -> None:
    technique = Potentiostatic(voltage_v=4.2, duration_s=60, taper_current_a=1e-9, current_limit_a=1e-6)
    with_cm = plan(technique, MODELS["es4_hr"], Settings(commands=CM))
    assert "if a <= 1n" in with_cm.text()
    assert "set_acquisition_frac_autoadjust 50" in with_cm.text()
    assert with_cm.text(frozenset({TAPER, MAINS})) == plan(technique, MODELS["es4_hr"], Settings()).text()
    assert [line for line in with_cm.text(frozenset({TAPER})) if line.split()[0] in ("if", "breakloop", "endif")] == [
        "if c > 1u",
        "breakloop",
        "endif",
        "if c < -1u",
        "breakloop",
        "endif",
    ]


TECHNIQUES: list[Technique] = [
    OpenCircuit(duration_s=1.0),
    Galvanostatic(current_a=1e-9, duration_s=1.0, voltage_max_v=2.0),
    Potentiostatic(voltage_v=0.5, duration_s=1.0, taper_current_a=1e-9, current_limit_a=1e-3),
    CyclicVoltammetry(begin_v=0.0, vertex1_v=0.5, vertex2_v=-0.5, rate_v_per_s=0.1, cycles=3),
    Impedance(),
]


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
@pytest.mark.parametrize("code", MODELS)
def test_every_script_passes_the_instruments_own_check(technique: Technique, code: str) -> None:
    if isinstance(technique, Galvanostatic) and not MODELS[code].galvanostat:
        with pytest.raises(Unsupported, match="constant-current"):
            plan(technique, MODELS[code], Settings())
        return
    for settings in (Settings(), Settings(commands=CM), Settings(current_range_a=1e-6, commands=CM)):
        made = plan(technique, MODELS[code], settings)
        for without in (frozenset[str](), frozenset({MAINS}), frozenset({TAPER, MAINS})):
            script = made.text(without)
            load(script, MOCK_MODELS[code].refused)
            assert script[-2:] == ["on_finished:", "cell_off"]
            assert all(0 < len(line) <= 255 for line in script)


@pytest.mark.parametrize(
    ("technique", "code", "message"),
    [
        (
            Galvanostatic(current_a=1e-9, duration_s=1, voltage_max_v=4.2),
            "es4_lr",
            "voltage_max_v is 4.2 V; EmStat4 LR covers",
        ),
        (Galvanostatic(current_a=0.05, duration_s=1), "es4_lr", "current_a is 0.05 A"),
        (Potentiostatic(voltage_v=4.2, duration_s=1), "es4_lr", "voltage_v is 4.2 V"),
        (Potentiostatic(voltage_v=3.7, duration_s=1), "espico", "voltage_v is 3.7 V"),
        (OpenCircuit(duration_s=1, interval_s=1e-4), "espico", "interval_s is 0.0001 s"),
        (Impedance(frequency_max_hz=1e6), "es4_hr", "frequency_max_hz is 1e\\+06"),
        (Impedance(amplitude_v=0.5), "espico", "amplitude_v is 0.5 V rms"),
        (Impedance(bias_v=7.0), "es4_hr", "bias_v is 7 V"),
        (
            CyclicVoltammetry(begin_v=0, vertex1_v=1.9, vertex2_v=-1.7, rate_v_per_s=0.1),
            "espico",
            "span 3.6 V; EmStat Pico covers 2.6 V",
        ),
    ],
)
def test_values_out_of_reach_are_refused_by_name(technique: Technique, code: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        plan(technique, MODELS[code], Settings())


def test_the_refusal_of_a_full_cell_names_who_can_hold_it() -> None:
    with pytest.raises(InvalidValue) as caught:
        plan(Potentiostatic(voltage_v=4.2, duration_s=1), MODELS["es4_lr"], Settings())
    assert caught.value.hint == "These reach it: EmStat4 HR, MultiEmStat4 HR, Nexus."


def test_a_missing_capability_is_refused_with_its_bit() -> None:
    with pytest.raises(Unsupported, match="bit 67"):
        plan(Galvanostatic(current_a=0.0, duration_s=1), MODELS["es4_hr"], Settings(commands=CM & ~(1 << 67)))


def test_a_pico_takes_the_mode_that_reaches_potential_and_bandwidth() -> None:
    def mode(technique: Technique) -> str:
        return next(line for line in lines_of(technique, "espico") if line.startswith("set_pgstat_mode"))

    assert mode(Potentiostatic(voltage_v=1.0, duration_s=10)) == "set_pgstat_mode 2"
    assert mode(Potentiostatic(voltage_v=-1.5, duration_s=10)) == "set_pgstat_mode 4"
    assert mode(Potentiostatic(voltage_v=1.0, duration_s=10, interval_s=0.01)) == "set_pgstat_mode 3"


def test_a_range_below_the_current_is_refused() -> None:
    with pytest.raises(InvalidValue, match="current_range_a is 1e-09 A, less than the current of 1e-08 A"):
        lines_of(Galvanostatic(current_a=1e-8, duration_s=1), "es4_lr", current_range_a=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "code", "version", "released"),
    [
        ("tes4_lr1500#Mar 12 2026 14:28:01", "R*", "es4_lr", "1.5.00", True),
        ("tes4_hr1100#Jan 28 2022 11:04:43", "R*", "es4_hr", "1.1.00", True),
        ("tespico10#Apr      1 2019 15:48:13", "R*", "espico", "1.0", True),
        ("tespico1304#Oct 22 2021 14:38:26", "B*", "espico", "1.3.04", False),
        ("tnexus11200#Oct 22 2025 14:38:26", "R*", "nexus1", "1.2.00", True),
        ("tespbl10#Oct 22 2021 14:38:26", "R*", "espbl", "1.0", True),
        ("tes5_xx1500#Oct 22 2030 14:38:26", "R*", "es5_xx", "1.5.00", True),
    ],
)
def test_firmware_lines(first: str, second: str, code: str, version: str, released: bool) -> None:
    firmware = parse_firmware([first, second])
    assert (firmware.code, firmware.version, firmware.released) == (code, version, released)


def test_other_replies_to_t_are_no_firmware() -> None:
    for lines in (["tes4_lr1500#Mar 12 2026"], ["KEITHLEY INSTRUMENTS INC.,MODEL 2400", "R*"], ["", "R*"]):
        with pytest.raises(ProtocolError):
            parse_firmware(lines)


def test_capabilities_with_and_without_echo() -> None:
    assert (
        parse_capabilities(f"C{CM:064X}")
        == parse_capabilities(f"{CM:064X}")
        == parse_capabilities(f"CM{CM:064X}")
        == CM
    )
    with pytest.raises(ProtocolError):
        parse_capabilities("Chello")
