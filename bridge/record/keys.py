"""Names of columns for formats whose names can hold no blanks and slashes: as on MQTT, with the unit behind."""

from __future__ import annotations

from collections.abc import Mapping

from .bdf import CYCLE

#: By the label of Battery Data Format.
KEYS: Mapping[str, str] = {
    "Test Time / s": "test_time_s",
    "Voltage / V": "voltage_v",
    "Current / A": "current_a",
    "Unix Time / s": "unix_time_s",
    CYCLE: "cycle",
    "Step Count / 1": "step",
    "Sample Index / 1": "sample_index",
    "Flags / 1": "flags",
}
