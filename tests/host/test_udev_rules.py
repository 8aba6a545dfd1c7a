"""The rules, as udev itself applies them to emulated devices (`udevadm test`).

In a mount namespace of its own, where /etc/udev/rules.d holds our rules only, /etc/group has the group picobridge, and
/dev and /run/udev are thrown away afterwards: `udevadm test` makes the links that the rules ask for.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.daemon.config import DeviceConfig
from bridge.host.names import Port, names
from bridge.host.shipped import RULES, shipped
from drivers import discovery
from drivers.errors import InvalidValue

from .emulated import Emulated, machine

pytestmark = pytest.mark.umockdev

_IN_NAMESPACE = r"""
set -eu
mount --bind "$1/rules" /etc/udev/rules.d
mount --bind "$1/group" /etc/group
empty=$(mktemp --directory "$1/empty.XXXXXX")
mkdir -p "$empty/dev/pts" "$empty/run"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$empty/dev/pts"
ln -s pts/ptmx "$empty/dev/ptmx"
for node in null zero full random urandom; do
    touch "$empty/dev/$node"
    mount --bind "/dev/$node" "$empty/dev/$node"
done
mount --rbind "$empty/dev" /dev
mount --rbind "$empty/run" /run
exec umockdev-run --device "$1/devices" -- udevadm test "$2"
"""

PICOMOTOR = Emulated("1-4", "104d", "4000", "11511", "Picomotor Controller")
TDSTAT = Emulated("1-4.2", "a0a0", "0002", "0001", "USB Potentiostat/galvanostat")
SMU = Emulated("1-3", "05e6", "2450", "04412345")
ADAPTER = Emulated("1-2", "0403", "6001", "FT1ABCDE", tty="ttyUSB3")
SECOND_PORT = Emulated("1-2", "0403", "6010", "FT2ABCDE", tty="ttyUSB4", interface=1)
EMSTAT = Emulated("1-5", "2e9c", "0001", "ES4LR20B0008", "EmStat4S LR", tty="ttyACM0")
CP2102 = Emulated("1-6", "10c4", "ea60", "0001", "CP2102", tty="ttyUSB5")
CH340 = Emulated("1-7", "1a86", "7523", "", "USB Serial", tty="ttyUSB6")
FOREIGN = Emulated("1-8", "1234", "5678", "77", "Modem", tty="ttyACM1")
PATH = "pci-0000_00_14_0-usb-0_"


@dataclass(frozen=True, slots=True)
class Said:
    """What udev would do."""

    links: frozenset[str]
    mode: str
    group: str
    properties: dict[str, str]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / RULES).write_text(shipped(RULES))
    lines = [line for line in Path("/etc/group").read_text().splitlines() if not line.startswith("picobridge:")]
    (tmp_path / "group").write_text("\n".join([*lines, "picobridge:x:4711:", ""]))
    return folder


def udev(tmp_path: Path, path: str, *devices: Emulated) -> Said:
    (tmp_path / "devices").write_text(machine(*devices))
    namespace = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]
    argv = [*namespace, "bash", "-c", _IN_NAMESPACE, "bash", str(tmp_path), f"/sys{path}"]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    said = ended.stderr + ended.stdout
    assert ended.returncode == 0, said
    assert "Invalid" not in said
    assert not re.search(r"picobridge.*\.rules:\d+ .*(unknown|fail|ignor)", said, re.IGNORECASE), said
    values = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", said, re.MULTILINE))
    return Said(
        links=frozenset(
            link.removeprefix("/dev/") for link in values.get("DEVLINKS", "").split() if "picobridge" in link
        ),
        mode=["", *re.findall(r" MODE (\d+)", said)][-1],
        group=["", *re.findall(r" GROUP (\d+)", said)][-1],
        properties=values,
    )


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("device", "links"),
    [
        (PICOMOTOR, {"newfocus-8742-11511", f"newfocus-8742-at-{PATH}4"}),
        (SMU, {"keithley-24xx-04412345", f"keithley-24xx-at-{PATH}3"}),
        (TDSTAT, {f"tdstat-at-{PATH}4_2"}),
    ],
    ids=["8742", "2450", "tdstat"],
)
def test_usb_instruments(tmp_path: Path, device: Emulated, links: set[str]) -> None:
    said = udev(tmp_path, device.sysfs, device)
    assert said.links == {f"picobridge/{link}" for link in links}
    assert (said.mode, said.group) == ("0660", "4711")
    assert said.properties["ID_MM_DEVICE_IGNORE"] == "1"


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("device", "links"),
    [
        (ADAPTER, {"serial-0403-6001-FT1ABCDE-if00-port0", f"serial-at-{PATH}2_1_0-port0"}),
        (SECOND_PORT, {"serial-0403-6010-FT2ABCDE-if01-port0", f"serial-at-{PATH}2_1_1-port0"}),
        (EMSTAT, {"serial-2e9c-0001-ES4LR20B0008-if00", "methodscript-ES4LR20B0008", f"serial-at-{PATH}5_1_0"}),
        (CP2102, {f"serial-at-{PATH}6_1_0-port0"}),
        (CH340, {f"serial-at-{PATH}7_1_0-port0"}),
    ],
    ids=["ftdi", "second port", "emstat4", "cp2102 with everybody's serial number", "ch340 without one"],
)
def test_serial_ports(tmp_path: Path, device: Emulated, links: set[str]) -> None:
    said = udev(tmp_path, device.tty_sysfs, device)
    assert said.links == {f"picobridge/{link}" for link in links}
    assert said.properties["ID_MM_DEVICE_IGNORE"] == said.properties["ID_MM_PORT_IGNORE"] == "1"
    assert said.group != "4711", "serial adapters stay everybody's"
    assert udev(tmp_path, device.sysfs, device).properties["ID_MM_DEVICE_IGNORE"] == "1", "where ModemManager looks"


@pytest.mark.usefixtures("rules")
def test_a_foreign_device_is_left_alone(tmp_path: Path) -> None:
    for path in (FOREIGN.tty_sysfs, FOREIGN.sysfs):
        said = udev(tmp_path, path, FOREIGN)
        assert said.links == frozenset()
        assert "ID_MM_DEVICE_IGNORE" not in said.properties


def test_a_misspelt_rule_is_noticed(tmp_path: Path, rules: Path) -> None:
    (rules / RULES).write_text(shipped(RULES).replace('GROUP="picobridge"', 'GRUOP="picobridge"'))
    with pytest.raises(AssertionError):
        udev(tmp_path, PICOMOTOR.sysfs, PICOMOTOR)


def test_the_rules_know_every_device_that_discovery_knows() -> None:
    text = shipped(RULES)
    for (vendor, product), drivers in {**discovery.RAW_USB, **discovery.USBTMC}.items():
        assert f'ATTR{{idVendor}}=="{vendor:04x}", ATTR{{idProduct}}=="{product:04x}"' in text
        assert f'ENV{{PICOBRIDGE_DRIVER}}="{drivers[0]}"' in text


def configured(**addresses: str) -> dict[str, DeviceConfig]:
    return {name: DeviceConfig(name=name, driver="", address=address) for name, address in addresses.items()}


PORTS = [
    Port("/dev/ttyUSB3", 0x0403, 0x6001, "FT1ABCDE", "1-2", "00"),
    Port("/dev/ttyUSB4", 0x0403, 0x6010, "FT2ABCDE", "1-2", "01"),
    Port("/dev/ttyUSB6", 0x1A86, 0x7523, "", "1-7", "00"),
]


@pytest.mark.parametrize(
    ("address", "device", "other"),
    [
        ("serial:/dev/ttyUSB3?baud=9600", ADAPTER, SECOND_PORT),
        ("serial:?serial=FT1ABCDE", ADAPTER, SECOND_PORT),
        ("serial:/dev/ttyUSB4", SECOND_PORT, ADAPTER),
        ("serial:/dev/ttyUSB6", CH340, CP2102),
        ("usb:104d:4000:11511", PICOMOTOR, SMU),
    ],
)
def test_a_device_gets_the_name_of_the_configuration(
    tmp_path: Path, rules: Path, address: str, device: Emulated, other: Emulated
) -> None:
    text, left_out = names(configured(arm=address), "lab.toml", lambda: PORTS)
    assert left_out == []
    (rules / "71-picobridge-names.rules").write_text(text)
    assert "picobridge/arm" in udev(tmp_path, device.tty_sysfs if device.tty else device.sysfs, device).links
    assert "picobridge/arm" not in udev(tmp_path, other.tty_sysfs if other.tty else other.sysfs, other).links


def _reasons(address: str, ports: Sequence[Port] = PORTS) -> list[str]:
    return names(configured(arm=address), "lab.toml", lambda: ports)[1]


def test_what_cannot_be_named_is_said() -> None:
    assert _reasons("usb:a0a0:0002") == [
        "arm: usb:a0a0:0002 has no serial number; its unit keeps the name /dev/picobridge/<driver>-at-<USB path>"
    ]
    assert _reasons("serial:/dev/ttyUSB9") == ["arm: /dev/ttyUSB9 is not plugged in; plug it in and try again"]
    assert "is on every unit" in _reasons("serial:?serial=0001")[0]
    assert "would not take" in _reasons('serial:?serial=F"T')[0]
    assert _reasons("serial:/dev/picobridge/arm") == []
    assert _reasons("tcp:192.168.0.7:23") == []
    with pytest.raises(InvalidValue):
        _reasons("nonsense")
