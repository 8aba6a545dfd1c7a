"""The two sockets of a source-measure instrument, as the circuit sees them."""

from __future__ import annotations

from .drives import CurrentDrive, Drive, OpenDrive, Reading, VoltageDrive


class Terminals:
    def __init__(self, world: "World", device: str, input_resistance_ohm: float, bias_current_a: float) -> None:  # noqa: UP037, F821
        self._world = world
        self.device = device
        self.drive: Drive = OpenDrive()

    def set_drive(self, now_ns: int, drive: Drive) -> None:
        self.drive = drive

    def measure(self, start_ns: int, duration_ns: int) -> Reading:
        wiring, tip = self._world.wiring, self._world.tip
        route = wiring.route
        emf, resistance = 0.0, 1e9
        if route == "open" or (route == "cell" and not tip.touching):
            resistance = 1e15
        elif route == "cell":
            emf, resistance = 2.5, 1.3e9
        if isinstance(self.drive, VoltageDrive):
            current = (self.drive.voltage_v - emf) / resistance
            if abs(current) > self.drive.limit_a:
                current = self.drive.limit_a if current > 0 else -self.drive.limit_a
                return Reading(emf + current * resistance, current, emf + current * resistance, True)
            return Reading(self.drive.voltage_v, current, self.drive.voltage_v, False)
        current = self.drive.current_a if isinstance(self.drive, CurrentDrive) else 0.0
        voltage = emf + current * resistance
        if isinstance(self.drive, CurrentDrive) and abs(voltage) > self.drive.limit_v:
            voltage = self.drive.limit_v if voltage > 0 else -self.drive.limit_v
            return Reading(voltage, (voltage - emf) / resistance, voltage, True)
        return Reading(voltage, current, voltage, False)

    def impedance(self, frequency_hz: float) -> complex:
        return 1.0 / (1.0 / 1e9 + 2j * 3.141592653589793 * frequency_hz * 100e-12)
