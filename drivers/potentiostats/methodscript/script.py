"""The scripts that measure, one for each technique, in the order of the maker's examples.

Source: PalmSens MethodSCRIPT_Examples at bd1a44a, MethodSCRIPTs/Measurement_Loops (CA, CP, OCP, CV, EIS), MSExample029
and 034 (limits by `if` and `breakloop` within the loop); palmsens-sdk templates/battery_cycling.mscr (`>=`, the
bandwidth of 5.85 / interval). Only commands that appear there are used. `on_finished:` runs at the normal end and after
an abort, not after a runtime error: that the cell is off then is the driver's to ensure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...errors import InvalidValue, Unsupported
from ...techniques import (
    CurrentSequence,
    CyclicVoltammetry,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
    VoltageSequence,
)
from ..limits import TAPER_SAMPLES
from .literals import literal
from .models import CM_MAINS_FILTER, CM_OF_TECHNIQUE, MODELS, Model, PotentialMode

LINE_LIMIT = 255

#: groups of lines that a device may do without; the host's own checks remain
MAINS = "mains filter"
TAPER = "taper limit"

#: store_var copy_var add_var mul_var if else endif: what the taper limit needs of CM
_ARITHMETIC = (3, 4, 5, 7, 16, 17, 19)


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A technique made ready for one device.

    `silence_s` is how long the device may say nothing; `interval_s` the time between samples (0: irregular);
    `capacity_s` the time at which the charge limit is reached, where that is what ends the script; `attributes` what is
    said of it with the samples.
    """

    technique: Technique
    lines: tuple[Line, ...]
    silence_s: float
    interval_s: float = 0.0
    capacity_s: float | None = None
    attributes: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def point_s(self) -> float:
        """The longest that one point takes."""
        return self.interval_s + 5.0 if self.interval_s else self.silence_s

    def text(self, without: frozenset[str] = frozenset()) -> list[str]:
        """The script's lines, those of the groups `without` left out."""
        return [line.text for line in self.lines if line.group not in without]

    def group_of(self, number: int, without: frozenset[str]) -> str:
        """The group of line `number` (from 1) of `text(without)`."""
        kept = [line for line in self.lines if line.group not in without]
        return kept[number - 1].group if 1 <= number <= len(kept) else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user set beside the technique. `commands`: bits of CM, None if the device does not tell.

    `current_range_max_a` is where autoranging ends if neither a fixed range nor the technique's limit says so: a cell
    of pA to nA has no use for 100 mA.
    """

    current_range_a: float | None = None
    current_range_max_a: float = 1e-3
    autorange: bool = True
    mains_hz: int = 50
    bandwidth_hz: float | None = None
    commands: int | None = None

    def has(self, *bits: int) -> bool:
        return self.commands is not None and all(self.commands >> bit & 1 for bit in bits)


def plan(technique: Technique, model: Model, settings: Settings) -> Plan:
    """Raises `Unsupported` if this instrument cannot do it at all, `InvalidValue` if not with these values.

    An impedance without a bias can be checked, but its script is only for checking: the bias is to be filled in.
    """
    _check_supported(technique, model, settings)
    if isinstance(technique, OpenCircuit):
        made = _open_circuit(technique, model, settings)
    elif isinstance(technique, Galvanostatic):
        made = _galvanostatic(technique, model, settings)
    elif isinstance(technique, Potentiostatic):
        made = _potentiostatic(technique, model, settings)
    elif isinstance(technique, CyclicVoltammetry):
        made = _cyclic_voltammetry(technique, model, settings)
    else:
        assert isinstance(technique, Impedance)
        made = _impedance(technique, model, settings)
    for line in made.lines:
        if len(line.text) > LINE_LIMIT or not line.text:
            raise InvalidValue(
                f"script line {line.text!r} has {len(line.text)} characters; 1 to {LINE_LIMIT} are accepted"
            )
    return made


def _check_supported(technique: Technique, model: Model, settings: Settings) -> None:
    if isinstance(technique, CurrentSequence | VoltageSequence):
        raise Unsupported(
            f"this driver has no script for a {technique.name}",
            hint="These instruments measure impedance and sweep by themselves: use impedance or cyclic_voltammetry.",
        )
    if isinstance(technique, Galvanostatic) and not model.galvanostat:
        raise Unsupported(
            f"{model.name} has no constant-current mode: it is a potentiostat only",
            hint="EmStat4 and Nexus can do it.",
        )
    missing = [
        bit for bit in CM_OF_TECHNIQUE[technique.name] if settings.commands is not None and not settings.has(bit)
    ]
    if missing:
        raise Unsupported(
            f"this {model.name} does not support {technique.name}: bit {missing[0]} of its capabilities (CM) is 0",
            hint="A newer firmware or a licence of the maker may add it.",
        )


def _open_circuit(technique: OpenCircuit, model: Model, settings: Settings) -> Plan:
    _check_interval(technique.interval_s, model)
    volts = literal(model.highest_v)
    interval, duration = literal(technique.interval_s, "interval_s"), literal(technique.duration_s, "duration_s")
    return Plan(
        technique,
        _lines(
            ("t", "p"),
            _setup(3, _bandwidth(technique.interval_s, model.eis_mode, settings), settings),
            [f"set_range ab {volts}", f"set_autoranging ab {volts} {volts}", "cell_off"],
            f"meas_loop_ocp p {interval} {duration}",
        ),
        silence_s=_silence(technique.interval_s),
        interval_s=technique.interval_s,
    )


def _galvanostatic(technique: Galvanostatic, model: Model, settings: Settings) -> Plan:
    _check_interval(technique.interval_s, model)
    for field, volts in (("voltage_min_v", technique.voltage_min_v), ("voltage_max_v", technique.voltage_max_v)):
        if volts is not None:
            _check_potential(field, volts, model.lowest_v, model.highest_v, model)
    amperes = abs(technique.current_a)
    if amperes > model.current_max_a:
        raise InvalidValue(
            f"current_a is {technique.current_a:g} A; {model.name} goes up to {model.current_max_a:g} A either way"
        )
    if settings.current_range_a is not None and settings.current_range_a < amperes:
        raise InvalidValue(f"current_range_a is {settings.current_range_a:g} A, less than the current of {amperes:g} A")
    full_scale = literal(settings.current_range_a or _range_for(amperes, model), "current_range_a")
    current = literal(technique.current_a, "current_a")
    run_s, capacity_s = technique.duration_s, None
    if technique.charge_limit_c is not None and amperes and technique.charge_limit_c / amperes <= run_s:
        run_s = capacity_s = technique.charge_limit_c / amperes
    limits = []
    if technique.voltage_max_v is not None and technique.current_a >= 0:
        limits += ["if p >= " + literal(technique.voltage_max_v, "voltage_max_v"), "breakloop", "endif"]
    if technique.voltage_min_v is not None and technique.current_a <= 0:
        limits += ["if p <= " + literal(technique.voltage_min_v, "voltage_min_v"), "breakloop", "endif"]
    volts_text = literal(model.highest_v)
    interval = literal(technique.interval_s, "interval_s")
    return Plan(
        technique,
        _lines(
            ("t", "p", "c"),
            _setup(6, _bandwidth(technique.interval_s, model.eis_mode, settings), settings),
            [
                f"set_range ab {volts_text}",
                f"set_autoranging ab {volts_text} {volts_text}",
                f"set_range db {full_scale}",
                f"set_autoranging db {full_scale} {full_scale}",
                "set_i 0",
                "cell_on",
            ],
            f"meas_loop_cp p c {current} {interval} {literal(run_s, 'duration_s')}",
            limits,
        ),
        silence_s=_silence(technique.interval_s),
        interval_s=technique.interval_s,
        capacity_s=capacity_s,
    )


def _potentiostatic(technique: Potentiostatic, model: Model, settings: Settings) -> Plan:
    _check_interval(technique.interval_s, model)
    volts = technique.voltage_v
    bandwidth = settings.bandwidth_hz or _natural_bandwidth(technique.interval_s)
    mode = _mode_for({"voltage_v": volts}, bandwidth, model)
    potential = literal(volts, "voltage_v")
    interval, duration = literal(technique.interval_s, "interval_s"), literal(technique.duration_s, "duration_s")
    taper = technique.taper_current_a
    counts_taper = taper is not None and settings.has(*_ARITHMETIC)
    return Plan(
        technique,
        _lines(
            ("t", "p", "c"),
            _setup(mode.mode, _bandwidth(technique.interval_s, mode, settings), settings),
            [
                f"set_range_minmax da {potential} {potential}",
                *_current_ranging(technique.current_limit_a, model, settings),
                f"set_e {potential}",
                "cell_on",
            ],
            f"meas_loop_ca p c {potential} {interval} {duration}",
            _current_limit(technique.current_limit_a),
            _taper(literal(taper, "taper_current_a")) if taper is not None and counts_taper else None,
        ),
        silence_s=_silence(technique.interval_s),
        interval_s=technique.interval_s,
    )


def _cyclic_voltammetry(technique: CyclicVoltammetry, model: Model, settings: Settings) -> Plan:
    interval_s = technique.step_v / technique.rate_v_per_s
    _check_interval(interval_s, model, "step_v / rate_v_per_s")
    potentials = {name: getattr(technique, name) for name in ("begin_v", "vertex1_v", "vertex2_v")}
    mode = _mode_for(potentials, settings.bandwidth_hz or _natural_bandwidth(interval_s), model)
    begin, vertex1, vertex2 = (literal(volts, name) for name, volts in potentials.items())
    low, high = literal(min(potentials.values())), literal(max(potentials.values()))
    scans = f" nscans({technique.cycles})" if technique.cycles > 1 else ""
    return Plan(
        technique,
        _lines(
            ("t", "p", "c"),
            _setup(mode.mode, _bandwidth(interval_s, mode, settings), settings),
            [
                f"set_range_minmax da {low} {high}",
                *_current_ranging(technique.current_limit_a, model, settings),
                f"set_e {begin}",
                "cell_on",
            ],
            f"meas_loop_cv p c {begin} {vertex1} {vertex2} {literal(technique.step_v, 'step_v')}"
            f" {literal(technique.rate_v_per_s, 'rate_v_per_s')}{scans}",
            _current_limit(technique.current_limit_a),
        ),
        silence_s=_silence(interval_s),
        interval_s=interval_s,
    )


def _impedance(technique: Impedance, model: Model, settings: Settings) -> Plan:
    mode = model.eis_mode
    bias_v = technique.bias_v if technique.bias_v is not None else 0.0
    _check_potential("bias_v", bias_v, mode.lowest_v, mode.highest_v, model)
    if technique.frequency_max_hz > model.frequency_max_hz:
        raise InvalidValue(
            f"frequency_max_hz is {technique.frequency_max_hz:g}; {model.name} goes up to {model.frequency_max_hz:g} Hz"
        )
    if technique.amplitude_v > model.amplitude_max_v:
        raise InvalidValue(
            f"amplitude_v is {technique.amplitude_v:g} V rms; {model.name} goes up to {model.amplitude_max_v:g} V rms"
        )
    bias, volts = literal(bias_v, "bias_v"), literal(model.highest_v)
    return Plan(
        technique,
        _lines(
            ("t", "f", "r", "j"),
            _setup(mode.mode, literal(settings.bandwidth_hz or 1e6, "bandwidth_hz"), Settings(mains_hz=0)),
            [
                f"set_range_minmax da {bias} {bias}",
                *_current_ranging(None, model, settings),
                f"set_range ab {volts}",
                f"set_autoranging ab {volts} {volts}",
                f"set_e {bias}",
                "cell_on",
            ],
            f"meas_loop_eis f r j {literal(technique.amplitude_v, 'amplitude_v')}"
            f" {literal(technique.frequency_max_hz, 'frequency_max_hz')}"
            f" {literal(technique.frequency_min_hz, 'frequency_min_hz')} {technique.points}i {bias}",
        ),
        silence_s=15.0 + 30.0 / technique.frequency_min_hz,
        attributes={"bias_v": bias_v},
    )


def _lines(
    variables: tuple[str, ...],
    setup: Iterable[Line],
    ready: Iterable[str],
    loop: str,
    limits: Iterable[str] = (),
    taper: tuple[list[str], list[str], list[str]] | None = None,
) -> tuple[Line, ...]:
    """Variables, setup, the loop with one packet a point, the cell off at the end. `taper`: (declare, set, check)."""
    declare, preset, check = taper or ([], [], [])
    return (
        *(Line(f"var {name}") for name in variables),
        *(Line(text, TAPER) for text in declare),
        *setup,
        *map(Line, ready),
        *(Line(text, TAPER) for text in preset),
        Line("timer_start"),
        Line(loop),
        Line("timer_get t"),
        Line("pck_start"),
        *(Line(f"pck_add {name}") for name in variables),
        Line("pck_end"),
        *map(Line, limits),
        *(Line(text, TAPER) for text in check),
        Line("endloop"),
        Line("on_finished:"),
        Line("cell_off"),
    )


def _setup(mode: int, bandwidth: str, settings: Settings) -> list[Line]:
    lines = [Line("set_pgstat_chan 0"), Line(f"set_pgstat_mode {mode}"), Line(f"set_max_bandwidth {bandwidth}")]
    if settings.mains_hz and settings.has(CM_MAINS_FILTER):
        lines.append(Line(f"set_acquisition_frac_autoadjust {settings.mains_hz}", MAINS))
    return lines


def _current_ranging(current_limit_a: float | None, model: Model, settings: Settings) -> list[str]:
    """Fixed if asked for; else from the lowest range to the one that holds the limit, beginning at the top."""
    if settings.current_range_a is not None:
        lowest = highest = literal(settings.current_range_a, "current_range_a")
    else:
        largest = min(settings.current_range_max_a, model.current_ranges[-1].full_scale_a)
        highest = literal(_range_for(current_limit_a or largest, model))
        lowest = literal(model.current_ranges[0].full_scale_a) if settings.autorange else highest
    return [f"set_range ba {highest}", f"set_autoranging ba {lowest} {highest}"]


def _current_limit(current_limit_a: float | None) -> list[str]:
    if current_limit_a is None:
        return []
    limit = literal(current_limit_a, "current_limit_a")
    return [f"if c > {limit}", "breakloop", "endif", f"if c < -{limit}", "breakloop", "endif"]


def _taper(limit: str) -> tuple[list[str], list[str], list[str]]:
    check = [
        "copy_var c a", "if a < 0", "mul_var a -1", "endif",
        f"if a <= {limit}", "add_var n 1i", "else", "store_var n 0i ja", "endif",
        f"if n >= {TAPER_SAMPLES}i", "breakloop", "endif",
    ]  # fmt: skip
    return ["var a", "var n"], ["store_var n 0i ja"], check


def _range_for(amperes: float, model: Model) -> float:
    """Full scale of the smallest range that holds `amperes`; beyond the largest: `amperes`, which the device judges."""
    return next((r.full_scale_a for r in model.current_ranges if r.full_scale_a >= amperes), amperes)


def _mode_for(potentials: dict[str, float], bandwidth_hz: float, model: Model) -> PotentialMode:
    """The first mode that reaches all potentials at this bandwidth."""
    for name, volts in potentials.items():
        _check_potential(name, volts, model.lowest_v, model.highest_v, model)
    low, high = min(potentials.values()), max(potentials.values())
    fitting = [m for m in model.modes if m.lowest_v <= low and high <= m.highest_v and high - low <= m.window_v]
    if not fitting:
        widest = max(mode.window_v for mode in model.modes)
        raise InvalidValue(
            f"{' and '.join(potentials)} span {high - low:g} V; {model.name} covers {widest:g} V in one measurement"
        )
    return next((mode for mode in fitting if mode.bandwidth_hz >= bandwidth_hz), fitting[-1])


def _check_potential(field: str, volts: float, lowest: float, highest: float, model: Model) -> None:
    if lowest <= volts <= highest:
        return
    able = ", ".join(dict.fromkeys(m.name for m in MODELS.values() if m.lowest_v <= volts <= m.highest_v))
    raise InvalidValue(
        f"{field} is {volts:g} V; {model.name} covers {lowest:g} V to {highest:g} V",
        hint=f"These reach it: {able}." if able else "No instrument of this family reaches it.",
    )


def _check_interval(interval_s: float, model: Model, field: str = "interval_s") -> None:
    if interval_s < model.interval_min_s:
        raise InvalidValue(
            f"{field} is {interval_s:g} s; {model.name} sends a sample every {model.interval_min_s:g} s at most"
        )


def _natural_bandwidth(interval_s: float) -> float:
    return 5.85 / interval_s


def _bandwidth(interval_s: float, mode: PotentialMode, settings: Settings) -> str:
    """As the maker sets it unless the user says otherwise; three digits, within the mode's."""
    wanted = settings.bandwidth_hz or _natural_bandwidth(interval_s)
    return literal(float(f"{min(wanted, mode.bandwidth_hz):.3g}"), "bandwidth_hz")


def _silence(interval_s: float) -> float:
    return max(3 * interval_s, interval_s + 5.0)
