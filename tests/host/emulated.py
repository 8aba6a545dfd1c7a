"""USB devices for umockdev: the text that describes them, in the way of `umockdev-record`."""

from __future__ import annotations

from dataclasses import dataclass

HOST = "/devices/pci0000:00/0000:00:14.0"


@dataclass(frozen=True, slots=True)
class Emulated:
    """A device in socket `path` ("1-4"); with `tty` also its serial port (ttyUSB: an adapter, ttyACM: a CDC device)."""

    path: str
    vendor: str
    product: str
    serial: str = ""
    name: str = ""
    tty: str = ""
    interface: int = 0
    number: int = 12
    descriptors: str = ""

    @property
    def sysfs(self) -> str:
        return f"{HOST}/usb1/{self.path}"

    @property
    def node(self) -> str:
        return f"/dev/bus/usb/001/{self.number:03}"

    @property
    def tty_sysfs(self) -> str:
        folder = f"{self.sysfs}/{self.path}:1.{self.interface}"
        return f"{folder}/{self.tty}/tty/{self.tty}" if self.tty.startswith("ttyUSB") else f"{folder}/tty/{self.tty}"

    def text(self) -> str:
        usb = {
            "busnum": "1",
            "devnum": f"{self.number}",
            "idVendor": self.vendor,
            "idProduct": self.product,
            "bConfigurationValue": "1",
            "speed": "12",
            **({"serial": self.serial} if self.serial else {}),
            **({"product": self.name} if self.name else {}),
        }
        blocks = [
            _block(
                self.sysfs,
                {
                    "DEVTYPE": "usb_device",
                    "SUBSYSTEM": "usb",
                    "DEVNAME": self.node,
                    "MAJOR": "189",
                    "MINOR": f"{self.number - 1}",
                    "BUSNUM": "001",
                    "DEVNUM": f"{self.number:03}",
                },
                usb,
                node=f"bus/usb/001/{self.number:03}",
                more=f"H: descriptors={self.descriptors}\n" if self.descriptors else "",
            )
        ]
        if self.tty:
            folder = f"{self.sysfs}/{self.path}:1.{self.interface}"
            blocks.append(
                _block(
                    folder,
                    {"DEVTYPE": "usb_interface", "SUBSYSTEM": "usb"},
                    {"bInterfaceNumber": f"{self.interface:02}", "bInterfaceClass": "ff"},
                )
            )
            if self.tty.startswith("ttyUSB"):
                blocks.append(_block(f"{folder}/{self.tty}", {"SUBSYSTEM": "usb-serial"}, {"port_number": "0"}))
            number = int(self.tty[6:])
            blocks.append(
                _block(
                    self.tty_sysfs,
                    {"SUBSYSTEM": "tty", "DEVNAME": f"/dev/{self.tty}", "MAJOR": "188", "MINOR": f"{number}"},
                    {},
                    node=self.tty,
                )
            )
        return "\n".join(blocks)


def machine(*devices: Emulated) -> str:
    """All of them at one host controller."""
    controller = _block(HOST, {"SUBSYSTEM": "pci"}, {"vendor": "0x8086"})
    hub = _block(f"{HOST}/usb1", {"SUBSYSTEM": "usb", "DEVTYPE": "usb_device"}, {"idVendor": "1d6b"})
    return "\n".join([controller, hub, *(device.text() for device in devices)])


def _block(path: str, properties: dict[str, str], attributes: dict[str, str], *, node: str = "", more: str = "") -> str:
    return (
        f"P: {path}\n"
        + (f"N: {node}\n" if node else "")
        + "".join(f"E: {key}={value}\n" for key, value in properties.items())
        + "".join(f"A: {key}={value}\\n\n" for key, value in attributes.items())
        + more
    )
