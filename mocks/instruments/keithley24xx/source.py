"""The source and the meter of the instrument, apart from any command set: ranges, compliance, relay, conversions."""

from __future__ import annotations

from dataclasses import dataclass

from ...world import CurrentDrive, Drive, OpenDrive, Timeline, VoltageDrive, World
from .scpi import ScpiError

_CURRENT_LOW = (1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7)
_CURRENT_MIDDLE = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
OVERRANGE = 1.05


@dataclass(frozen=True)
class Hardware:
    """Ranges in A and V, smallest first. `count`: one count of the meter, as a part of the range, by quantity."""

    current_ranges: tuple[float, ...]
    voltage_ranges: tuple[float, ...]
    count: dict[str, float]
    input_resistance_ohm: float


#: one count as in the specifications: 10 aA on 1 pA and 1 uV on 200 mV (6430, 2400), 10 fA on 10 nA and 10 nV on 20 mV
_COUNT_2400 = {"CURR": 1e-5, "VOLT": 5e-6}
_COUNT_2450 = {"CURR": 1e-6, "VOLT": 5e-7}

HARDWARE = {
    "6430": Hardware(_CURRENT_LOW + _CURRENT_MIDDLE, (0.2, 2.0, 20.0, 200.0), _COUNT_2400, 1e16),
    "6430 without preamplifier": Hardware(_CURRENT_MIDDLE, (0.2, 2.0, 20.0, 200.0), _COUNT_2400, 1e10),
    "2400": Hardware((*_CURRENT_MIDDLE, 1.0), (0.2, 2.0, 20.0, 200.0), _COUNT_2400, 1e10),
    "2450": Hardware((1e-8, 1e-7, *_CURRENT_MIDDLE, 1.0), (0.02, 0.2, 2.0, 20.0, 200.0), _COUNT_2450, 1e10),
}


@dataclass(frozen=True)
class Measured:
    """`None` is an overflow. `real` and `by_range`: which limit held the source."""

    voltage_v: float | None
    current_a: float | None
    real: bool
    by_range: bool


class SourceMeter:
    """Settings are plain attributes; call `apply` after changing one that the circuit can feel.

    `sensed` is the quantity that is not sourced; its compliance is `limit[sensed]`, its range `sense_range[sensed]`.
    """

    def __init__(self, world: World, name: str, hardware: Hardware, timeline: Timeline) -> None:
        self.hardware = hardware
        self.timeline = timeline
        self.terminals = world.terminals(name, hardware.input_resistance_ohm)
        #: what the circuit was given, in order, with the time in ns: for tests to judge by
        self.drives: list[tuple[int, Drive]] = []
        self.reset()

    def reset(self) -> None:
        """As after power-on and `*RST`: output off in the NORMal off state, which is 0 V on the terminals."""
        self.output = False
        self.off_state = {"CURR": "NORM", "VOLT": "NORM"}
        self.function = "VOLT"
        self.level = {"CURR": 0.0, "VOLT": 0.0}
        self.source_range = {"CURR": 1e-4, "VOLT": 20.0}
        self.source_auto = {"CURR": True, "VOLT": True}
        self.limit = {"CURR": 105e-6, "VOLT": 21.0}
        self.sense_range = {"CURR": 1e-4, "VOLT": 20.0}
        self.sense_auto = {"CURR": True, "VOLT": True}
        self.nplc = 1.0
        self.conversions = 1
        self.delay_s = 0.0
        self.mains_hz = 50.0
        self.apply()

    @property
    def sensed(self) -> str:
        return "VOLT" if self.function == "CURR" else "CURR"

    @property
    def cell_is_open(self) -> bool:
        """Whether the output relay is open."""
        return isinstance(self.drives[-1][1], OpenDrive)

    def ranges(self, quantity: str) -> tuple[float, ...]:
        return self.hardware.current_ranges if quantity == "CURR" else self.hardware.voltage_ranges

    def range_for(self, quantity: str, value: float) -> float:
        for candidate in self.ranges(quantity):
            if abs(value) <= OVERRANGE * candidate * (1 + 1e-9):
                return candidate
        raise ScpiError(-222, "Parameter data out of range")

    def set_level(self, quantity: str, value: float) -> None:
        """What the converter makes of it: one step is 1/20000 of the range."""
        fitting = self.range_for(quantity, value)
        if self.source_auto[quantity]:
            self.source_range[quantity] = fitting
        elif fitting > self.source_range[quantity]:
            raise ScpiError(-222, "Parameter data out of range")
        self.level[quantity] = value
        self.apply()

    def set_source_range(self, quantity: str, value: float) -> None:
        self.source_range[quantity] = self.range_for(quantity, value)
        self.source_auto[quantity] = False
        most = OVERRANGE * self.source_range[quantity]
        self.level[quantity] = max(-most, min(most, self.level[quantity]))
        self.apply()

    def programmed(self, quantity: str) -> float:
        step = self.source_range[quantity] / 20000
        return float(round(self.level[quantity] / step) * step)

    def apply(self) -> None:
        drive = self._drive()
        now_ns = self.timeline.now_ns
        if not self.drives or drive != self.drives[-1][1]:
            self.drives.append((now_ns, drive))
        self.terminals.set_drive(now_ns, drive)

    def _drive(self) -> Drive:
        if self.output:
            level = self.programmed(self.function)
            if self.function == "CURR":
                return CurrentDrive(level, self._held_at()[0])
            return VoltageDrive(level, self._held_at()[0])
        state = self.off_state[self.function]
        if state == "HIMP":
            return OpenDrive(connected=False)
        if state == "GUAR":
            return CurrentDrive(0.0, 0.005 * self.source_range["VOLT"])
        if state == "ZERO":
            return VoltageDrive(0.0, max(self.limit["CURR"], 0.005 * self.source_range["CURR"]))
        return VoltageDrive(0.0, 0.005 * self.source_range["CURR"])

    def _held_at(self) -> tuple[float, bool]:
        """Where the source is held, and whether by the end of a fixed measuring range and not by the compliance set."""
        limit = self.limit[self.sensed]
        end = OVERRANGE * self.sense_range[self.sensed]
        if not self.sense_auto[self.sensed] and end < limit:
            return end, True
        return limit, False

    async def measure(self) -> Measured:
        """One source-delay-measure cycle on the instrument's timeline."""
        if self.delay_s:
            await self.timeline.work(round(self.delay_s * 1e9))
        conversion_ns = round(self.nplc / self.mains_hz * 1e9)
        reading = self.terminals.measure(self.timeline.now_ns, conversion_ns)
        await self.timeline.work(conversion_ns * self.conversions)
        by_range = self._held_at()[1]
        return Measured(
            voltage_v=self._counted("VOLT", reading.voltage_v),
            current_a=self._counted("CURR", reading.current_a),
            real=self.output and reading.compliance and not by_range,
            by_range=self.output and reading.compliance and by_range,
        )

    def _counted(self, quantity: str, value: float) -> float | None:
        if quantity == self.function:
            full_scale = self.source_range[quantity]
        elif self.sense_auto[quantity]:
            fitting = (r for r in self.ranges(quantity) if abs(value) <= OVERRANGE * r)
            full_scale = next(fitting, self.ranges(quantity)[-1])
        else:
            full_scale = self.sense_range[quantity]
        if abs(value) > 1.055 * full_scale:
            return None
        count = full_scale * self.hardware.count[quantity]
        return float(round(value / count) * count)
