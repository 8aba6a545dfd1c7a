"""The instruments of the MethodSCRIPT family by device code: ranges, limits, what they refuse.

Sources: range indices and labels from PalmSens MethodSCRIPT_Examples at bd1a44a (Example_Python/palmsens/mscript.py);
potential and current limits from appendix B of the MethodSCRIPT manual v1.8 as two third-party drivers quote it, which
agree; "Applies to" lines of the maker's examples MSLoopExample009 and 013 (no constant current on EmStat Pico and
Sensit). Resolutions are recalled, not read (0.006 % of a Pico range, 0.009 % of an EmStat4 one): they serve to refuse
hopeless tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...interfaces import CurrentRange, PotentiostatCapabilities
from ...techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic

BOOTLOADER = "espbl"

#: bits of the reply to CM (palmsens-sdk, comm_registry.py)
CM_ADD_VAR = 5
CM_EIS = 31
CM_CP = 67
CM_SET_I = 68
CM_MAINS_FILTER = 91
CM_OF_TECHNIQUE = {
    OpenCircuit.name: (30,),
    Potentiostatic.name: (28,),
    CyclicVoltammetry.name: (24,),
    Impedance.name: (CM_EIS,),
    Galvanostatic.name: (CM_CP, CM_SET_I),
}
#: bits of the reply to CC
CC_LOAD = 36
CC_RUN = 37


@dataclass(frozen=True, slots=True)
class PotentialMode:
    """A potentiostat mode: its potentials, the widest span within one measurement, and the bandwidth it goes up to."""

    mode: int
    lowest_v: float
    highest_v: float
    window_v: float
    bandwidth_hz: float


@dataclass(frozen=True, slots=True)
class Model:
    """`ranges` by index of the range metadata; those that `galvanostatic` may use come first in `current_ranges`."""

    name: str
    modes: tuple[PotentialMode, ...]
    current_max_a: float
    current_ranges: tuple[CurrentRange, ...]
    range_labels: dict[int, str]
    galvanostat: bool
    frequency_max_hz: float
    amplitude_max_v: float
    interval_min_s: float
    notes: tuple[str, ...] = field(default=())

    @property
    def lowest_v(self) -> float:
        return min(mode.lowest_v for mode in self.modes)

    @property
    def highest_v(self) -> float:
        return max(mode.highest_v for mode in self.modes)

    @property
    def eis_mode(self) -> PotentialMode:
        return next(mode for mode in self.modes if mode.mode == 3)

    def capabilities(self) -> PotentiostatCapabilities:
        techniques = {OpenCircuit.name, Potentiostatic.name, CyclicVoltammetry.name, Impedance.name}
        if self.galvanostat:
            techniques.add(Galvanostatic.name)
        return PotentiostatCapabilities(
            techniques=frozenset(techniques),
            current_ranges=self.current_ranges,
            voltage_min_v=self.lowest_v,
            voltage_max_v=self.highest_v,
            interval_min_s=self.interval_min_s,
            device_clock=True,
            notes=(
                "The cell is proven off by a script with nothing but cell_off that ends without an error.",
                "The device's time has 1 us resolution up to 134 s, 1 ms up to 37 h, then 1 s (28-bit numbers).",
                *self.notes,
            ),
        )


def _unit(amperes: float) -> str:
    for prefix, factor in (("A", 1.0), ("mA", 1e-3), ("uA", 1e-6), ("nA", 1e-9), ("pA", 1e-12)):
        if amperes >= factor * 0.999:
            return f"{amperes / factor:g} {prefix}"
    return f"{amperes:g} A"


def _decades(lowest: int, highest: int, resolution: float | None) -> tuple[CurrentRange, ...]:
    """Ranges 10^lowest .. 10^highest amperes. `resolution` is a fraction of the range."""
    scales = [float(f"1e{exponent}") for exponent in range(lowest, highest + 1)]
    return tuple(
        CurrentRange(_unit(scale), scale, resolution_a=None if resolution is None else scale * resolution)
        for scale in scales
    )


_PICO_LOW_SPEED = {
    0: ("100 nA", 60e-9), 1: ("2 uA", 1.17e-6), 2: ("4 uA", 2.34e-6), 3: ("8 uA", 4.68e-6), 4: ("16 uA", 9.38e-6),
    5: ("32 uA", 18.7e-6), 6: ("63 uA", 37.5e-6), 7: ("125 uA", 75e-6), 8: ("250 uA", 150e-6), 9: ("500 uA", 300e-6),
    10: ("1 mA", 600e-6), 11: ("5 mA", 3e-3),
}  # fmt: skip
_PICO_HIGH_SPEED = {
    128: "100 nA", 129: "1 uA", 130: "6 uA", 131: "13 uA", 132: "25 uA", 133: "50 uA", 134: "100 uA", 135: "200 uA",
    136: "1 mA", 137: "5 mA",
}  # fmt: skip
_EMSTAT4_LABELS = {
    3: "1 nA", 6: "10 nA", 9: "100 nA", 12: "1 uA", 15: "10 uA", 18: "100 uA", 21: "1 mA", 24: "10 mA", 27: "100 mA",
}  # fmt: skip
_NEXUS_LABELS = {
    16: "100 pA", 0: "1 nA", 1: "10 nA", 2: "100 nA", 3: "1 uA", 4: "10 uA", 5: "100 uA", 6: "1 mA (tia)",
    7: "10 mA (tia)", 8: "1 mA", 9: "10 mA", 10: "100 mA", 11: "1 A", 32: "1 nA", 33: "10 nA", 34: "100 nA",
    35: "1 uA", 36: "10 uA", 37: "100 uA", 38: "1 mA (tia)", 39: "10 mA (tia)", 40: "1 mA", 41: "10 mA",
    42: "100 mA", 43: "1 A",
}  # fmt: skip


def _pico(name: str) -> Model:
    return Model(
        name=name,
        modes=(
            PotentialMode(2, -1.25, 2.0, 2.2, 100.0),
            PotentialMode(4, -1.7, 2.0, 2.6, 100.0),
            PotentialMode(3, -1.7, 2.0, 1.214, 200e3),
        ),
        current_max_a=3e-3,
        current_ranges=tuple(
            CurrentRange(label, scale, resolution_a=scale * 6e-5) for label, scale in _PICO_LOW_SPEED.values()
        ),
        range_labels={
            **{index: label for index, (label, _) in _PICO_LOW_SPEED.items()},
            **{index: f"{label} (high speed)" for index, label in _PICO_HIGH_SPEED.items()},
        },
        galvanostat=False,
        frequency_max_hz=200e3,
        amplitude_max_v=0.429,
        interval_min_s=2e-3,
        notes=(
            "A potentiostat only: it has no constant-current mode.",
            "Ranges carry the maker's names; full scale is the largest current of each.",
        ),
    )


def _emstat4(name: str, volts: float, lowest: int, highest: int, current_max_a: float) -> Model:
    return Model(
        name=name,
        modes=tuple(PotentialMode(mode, -volts, volts, 2 * volts, 200e3) for mode in (2, 3)),
        current_max_a=current_max_a,
        current_ranges=_decades(lowest, highest, 9.2e-5),
        range_labels=_EMSTAT4_LABELS,
        galvanostat=True,
        frequency_max_hz=200e3,
        amplitude_max_v=0.9,
        interval_min_s=1e-3,
    )


MODELS: dict[str, Model] = {
    "espico": _pico("EmStat Pico"),
    "senswb": _pico("Sensit Wearable"),
    "es4_lr": _emstat4("EmStat4 LR", 3.0, -9, -2, 30e-3),
    "es4_hr": _emstat4("EmStat4 HR", 6.0, -7, -1, 200e-3),
    "mes4lr": _emstat4("MultiEmStat4 LR", 3.0, -9, -2, 30e-3),
    "mes4hr": _emstat4("MultiEmStat4 HR", 6.0, -7, -1, 200e-3),
    "nexus1": Model(
        name="Nexus",
        modes=tuple(PotentialMode(mode, -10.0, 10.0, 20.0, 1e6) for mode in (2, 3)),
        current_max_a=1.0,
        current_ranges=_decades(-9, 0, None),
        range_labels=_NEXUS_LABELS,
        galvanostat=True,
        frequency_max_hz=1e6,
        amplitude_max_v=0.3,
        interval_min_s=1e-3,
        notes=("As a potentiostat it also has a 100 pA range; as a galvanostat 1 nA is the lowest.",),
    ),
}


def family_capabilities() -> PotentiostatCapabilities:
    """Before the model is known: the widest of all."""
    models = MODELS.values()
    return PotentiostatCapabilities(
        techniques=frozenset(CM_OF_TECHNIQUE),
        current_ranges=(),
        voltage_min_v=min(model.lowest_v for model in models),
        voltage_max_v=max(model.highest_v for model in models),
        interval_min_s=min(model.interval_min_s for model in models),
        notes=("Of the whole family; the connected model has fewer.",),
    )
