"""`picobridge discover`: what the operating system lists becomes a configuration to paste."""

from __future__ import annotations

import tomllib
from types import SimpleNamespace

import pytest
import serial.tools.list_ports
import usb.core

from drivers import registry

from .test_direct import lines, run


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An EmStat4, a nameless USB serial adapter, an 8742, a mouse, and a UART that leads nowhere."""
    ports = [
        SimpleNamespace(device="/dev/ttyACM0", description="EmStat4", vid=0x2BB5, pid=0x0001, serial_number="ES4HR20"),
        SimpleNamespace(device="/dev/ttyUSB0", description="USB Serial", vid=0x1A86, pid=0x7523, serial_number=None),
        SimpleNamespace(device="/dev/ttyS0", description="n/a", vid=None, pid=None, serial_number=None),
    ]
    devices = [
        SimpleNamespace(idVendor=0x104D, idProduct=0x4000, bus=1, address=7),
        SimpleNamespace(idVendor=0x046D, idProduct=0xC077, bus=1, address=8),
    ]
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: iter(ports_sortable(ports)))
    monkeypatch.setattr(usb.core, "find", lambda find_all: iter(devices))


def ports_sortable(ports: list[SimpleNamespace]) -> list[SimpleNamespace]:
    class Port(SimpleNamespace):
        def __lt__(self, other: SimpleNamespace) -> bool:
            return bool(self.device < other.device)

    return [Port(**vars(port)) for port in ports]


async def test_each_find_names_the_drivers_that_fit(plugged_in: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("discover", "--json") == 0
    (result,) = lines(capsys)
    found = {find["address"]: find["drivers"] for find in result["found"]}  # type: ignore[attr-defined]
    assert found["serial:/dev/ttyACM0"] == ["methodscript"]
    assert found["usb:104d:4000?bus=1&address=7"] == ["newfocus-8742"]
    assert "zeiss-remcon" in found["serial:/dev/ttyUSB0"]
    assert len(found) == 3


async def test_what_is_printed_is_a_configuration(plugged_in: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("discover") == 0
    printed = capsys.readouterr().out
    devices = tomllib.loads(printed[printed.index("[devices.") :])["devices"]
    assert {device["address"] for device in devices.values()} >= {
        "serial:/dev/ttyACM0",
        "usb:104d:4000?bus=1&address=7",
    }
    known = {entry.name for entry in registry.DRIVERS}
    certain = [device["driver"] for device in devices.values() if device["driver"] in known]
    assert sorted(certain) == ["methodscript", "newfocus-8742"]


async def test_nothing_found_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: iter(()))
    monkeypatch.setattr(usb.core, "find", lambda find_all: iter(()))
    assert await run("discover") == 0
    assert "plugged in and switched on" in capsys.readouterr().out


async def test_without_libusb_the_rest_is_listed_and_the_lack_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_backend(find_all: bool) -> None:
        raise usb.core.NoBackendError("No backend available")

    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: iter(()))
    monkeypatch.setattr(usb.core, "find", no_backend)
    assert await run("discover") == 0
    assert "libusb-1.0-0" in capsys.readouterr().out
