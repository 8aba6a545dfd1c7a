"""What each page takes for granted: which instruments there are, whether a daemon runs, what a name stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`devices` are those of the simulated rig (`bridge.demo.rig.PLACES`) by name; with `running` there is a daemon
    over them from the start. `world` are options of the simulated world; `touching`: the tip is on the cell's pad.
    `stands_for` is an address on the page to the name of a device, `given` a Python text that stands before each of the
    page's, `before` are commands that somebody has typed by then."""

    devices: tuple[str, ...] = ()
    running: bool = False
    world: Mapping[str, Any] = field(default_factory=dict)
    touching: bool = False
    stands_for: Mapping[str, str] = field(default_factory=dict)
    given: str = ""
    before: tuple[str, ...] = ()


_AT_THE_STAGE = (
    "picobridge state stage.touch_alarm=armed",
    "picobridge call stage move_to x=60mm y=60mm z=10mm",
)
_A_CYCLE = (
    "picobridge cycle --current-density 1.25mA/cm2 --area 10um2 --capacity-limit 5uAh/cm2 --interval 1s --route cell",
    "picobridge export 20261124-095143-1",
)

SETTINGS: Mapping[str, Setting] = {
    "README.md": Setting(
        devices=("pstat", "stage", "relays"),
        touching=True,
        stands_for={
            "visa:GPIB0::24::INSTR": "pstat",
            "serial:/dev/ttyUSB0": "stage",
            "serial:/dev/serial/by-id/usb-FTDI_FT232R_A1B2C3D4-if00-port0?baud=9600": "relays",
        },
    ),
    "docs/adding-a-driver.md": Setting(
        given="from dataclasses import dataclass\n"
        "from drivers.interfaces import Gauge, Identity, Options, option\n"
        "from drivers.transports.link import Link\n"
    ),
    "docs/contact.md": Setting(devices=("pstat", "relays", "stage"), running=True, before=_AT_THE_STAGE),
    "docs/mqtt.md": Setting(devices=("gauge",), running=True),
    "docs/record.md": Setting(devices=("pstat", "relays"), running=True, touching=True, before=_A_CYCLE),
    "docs/tutorial-hardware.md": Setting(
        devices=("pstat", "stage", "relays", "gauge"),
        touching=True,
        stands_for={
            "visa:GPIB0::24::INSTR": "pstat",
            "serial:/dev/ttyUSB0": "stage",
            "serial:/dev/ttyUSB1?baud=9600": "relays",
            "serial:/dev/ttyUSB2": "gauge",
        },
    ),
    "docs/tools.md": Setting(devices=("pstat",), running=True),
}
