"""A rig of readings only: what the rules see, with no device behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.safety.acts import Act, act_of_call, act_of_technique
from bridge.safety.default_rules import RigDevice, default_rules
from bridge.safety.engine import Interlocks
from bridge.safety.interlock_options import InterlockOptions, parse_interlocks
from bridge.safety.observations import Observations
from drivers.techniques import Galvanostatic, OpenCircuit, Technique

DEVICES: Mapping[str, str] = {
    "pstat": "potentiostat",
    "stage": "stage",
    "tip": "manipulator",
    "relays": "feedthrough",
    "gauge": "gauge",
}

CHARGE = Galvanostatic(current_a=5e-12, duration_s=10.0)
LOOK = OpenCircuit(duration_s=10.0)

STAGE_LIMITS = {"x_m": (0.0, 0.1), "y_m": (0.0, 0.1), "z_m": (0.0, 0.04), "tilt_deg": (0.0, 60.0)}
STAGE_AT = {"x_m": 0.05, "y_m": 0.05, "z_m": 0.02, "tilt_deg": 0.0, "rotation_deg": 0.0}
TIP_LIMITS = dict.fromkeys(("x_m", "y_m", "z_m"), (-1e-3, 1e-3))
TIP_AT = {"x_m": 0.0, "y_m": 0.0, "z_m": 1e-4}


class Rig:
    """Everything is as it should be, and was read just now; `now` is what the test makes it."""

    def __init__(self, options: Mapping[str, Any] | None = None, devices: Mapping[str, str] = DEVICES) -> None:
        self.now = 1000.0
        self.devices = devices
        self.options: InterlockOptions = parse_interlocks(options or {}, devices)
        self.observations = Observations()
        rules = default_rules([RigDevice(name, interface) for name, interface in devices.items()], self.options)
        self.interlocks = Interlocks(rules, self.observations)
        self.good: dict[str, Any] = {
            "stage.position": STAGE_AT,
            "stage.limits": STAGE_LIMITS,
            "stage.position_known": True,
            "stage.touch_alarm": "armed",
            "tip.position": TIP_AT,
            "tip.limits": TIP_LIMITS,
            "tip.position_known": True,
            "tip.contact": False,
            "relays.route": "open",
            "pstat.cell": "off",
            "gauge.pressure_pa": 5e-4,
        }
        for device in devices:
            self.good |= {f"{device}.connected": True, f"{device}.identity_ok": True}
        for _ in range(3):
            self.read_all()
            self.now += 0.1

    def clock(self) -> float:
        return self.now

    def read_all(self) -> None:
        for name, value in self.good.items():
            self.observations.see(name, value, self.now)

    def read_all_but(self, *names: str) -> None:
        for name, value in self.good.items():
            if name not in names:
                self.observations.see(name, value, self.now)

    def see(self, name: str, value: Any, valid: bool = True) -> None:
        self.observations.see(name, value, self.now, valid)

    def broken(self, act: Act) -> list[str]:
        """The rules that forbid it now."""
        return [violation.rule.id for violation in self.interlocks.check(act, self.now)]

    # --- acts --------------------------------------------------------------------------------------------------------

    def call(self, device: str, method: str, *, mode: str = "", **arguments: Any) -> Act:
        return act_of_call(device, self.devices[device], method, arguments, by="alice", mode=mode)

    def technique(self, technique: Technique = CHARGE) -> Act:
        return act_of_technique("pstat", technique, by="alice")

    def approach(self, z_m: float = -50e-9) -> Act:
        return self.call("tip", "move_by", mode="approach", z_m=z_m)

    def source_on(self, *, current_limit_a: float = 0.0, interval_s: float = 0.1) -> None:
        self.see("pstat.cell", "on")
        self.see("pstat.current_limit_a", current_limit_a)
        self.see("pstat.interval_s", interval_s)
