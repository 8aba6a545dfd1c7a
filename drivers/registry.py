"""The one table of drivers. A new driver is one entry here.

`driver` and `mock` are `module:Class`, imported only when used, so that listing the drivers loads none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .clock import SYSTEM_CLOCK, Clock
from .errors import InvalidValue
from .fields import parse_fields
from .interfaces import Device, Options
from .transports import Transport


@dataclass(frozen=True, slots=True)
class DriverEntry:
    """`wires` are the kinds of address that the driver takes, the usual one first; `usual_address` is an example."""

    name: str
    interface: str
    driver: str
    mock: str
    wires: tuple[str, ...]
    usual_address: str
    summary: str


DRIVERS: tuple[DriverEntry, ...] = (
    DriverEntry(
        name="methodscript",
        interface="potentiostat",
        driver="drivers.potentiostats.methodscript:MethodScript",
        mock="mocks.instruments.methodscript:MethodScriptMock",
        wires=("serial", "tcp", "visa"),
        usual_address="serial:/dev/ttyUSB0",
        summary="PalmSens MethodSCRIPT family: EmStat Pico, EmStat4",
    ),
    DriverEntry(
        name="keithley-24xx",
        interface="potentiostat",
        driver="drivers.potentiostats.keithley24xx:Keithley24xx",
        mock="mocks.instruments.keithley24xx:Keithley24xxMock",
        wires=("visa", "tcp", "serial"),
        usual_address="visa:GPIB0::24::INSTR",
        summary="Keithley 2400, 2450 and 6430 source-measure units",
    ),
    DriverEntry(
        name="tdstat",
        interface="potentiostat",
        driver="drivers.potentiostats.tdstat:Tdstat",
        mock="mocks.instruments.tdstat:TdstatMock",
        wires=("usb",),
        usual_address="usb:a0a0:0002",
        summary="open USB thin-film-battery potentiostat: TDstatv3 and MYSTAT",
    ),
    DriverEntry(
        name="zeiss-remcon",
        interface="stage",
        driver="drivers.stages.zeiss_remcon:ZeissRemcon",
        mock="mocks.instruments.zeiss_remcon:ZeissRemconMock",
        wires=("serial", "tcp", "visa"),
        usual_address="serial:/dev/ttyUSB0",
        summary="Zeiss SmartSEM stage through RemCon32",
    ),
    DriverEntry(
        name="newfocus-8742",
        interface="manipulator",
        driver="drivers.manipulators.picomotor8742:Picomotor8742",
        mock="mocks.instruments.picomotor8742:Picomotor8742Mock",
        wires=("usb", "tcp"),
        usual_address="usb:104d:4000",
        summary="New Focus 8742 open-loop picomotor controller",
    ),
    DriverEntry(
        name="modbus-relay",
        interface="feedthrough",
        driver="drivers.feedthroughs.modbus_relay:ModbusRelay",
        mock="mocks.instruments.modbus_relay:ModbusRelayMock",
        wires=("serial", "tcp", "visa"),
        usual_address="serial:/dev/ttyUSB0",
        summary="Modbus RTU relay board that switches the feedthrough's leads",
    ),
    DriverEntry(
        name="pfeiffer-tpg",
        interface="gauge",
        driver="drivers.gauges.pfeiffer_tpg:PfeifferTpg",
        mock="mocks.instruments.pfeiffer_tpg:PfeifferTpgMock",
        wires=("serial", "tcp", "visa"),
        usual_address="serial:/dev/ttyUSB0",
        summary="Pfeiffer TPG 26x and 36x gauge controllers",
    ),
)


def find(name: str) -> DriverEntry:
    """Raises `InvalidValue` naming the drivers there are."""
    for entry in DRIVERS:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in DRIVERS)
    raise InvalidValue(f"driver {name!r} is not known; accepted: {known}", hint="`picobridge drivers` lists them.")


def load(path: str) -> Any:
    """Import `module:Class`."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


def driver_class(name: str) -> type[Device]:
    cls: type[Device] = load(find(name).driver)
    return cls


def create(
    name: str,
    address: str | Transport,
    options: Mapping[str, Any] | None = None,
    *,
    device: str = "",
    clock: Clock = SYSTEM_CLOCK,
) -> Device:
    """A device by its driver's name, not connected yet. Raises `InvalidValue` for a wrong name, wire or option."""
    entry = find(name)
    if isinstance(address, str):
        kind = address.strip().partition(":")[0]
        if kind not in entry.wires:
            accepted = ", ".join(f"{wire}:" for wire in entry.wires)
            raise InvalidValue(
                f"{name} takes no address {address!r}; accepted: {accepted}",
                hint=f"For example {entry.usual_address}",
            )
    cls = driver_class(name)
    return cls(address, parse_options(cls.options_type, options or {}), name=device, clock=clock)


def parse_options(options_type: type[Options], values: Mapping[str, Any]) -> Options:
    """Options out of configuration values; see `drivers.fields.parse_fields`. Raises `InvalidValue`."""
    return parse_fields(options_type, values, noun="option")
