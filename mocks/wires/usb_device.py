"""What a simulated USB device says about itself, and the bytes of its descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BULK = 2
INTERRUPT = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Bit 7 of `address` set means IN (to the host). `transfer` is `BULK` or `INTERRUPT`."""

    address: int
    transfer: int = BULK
    max_packet: int = 64


@dataclass(frozen=True, slots=True)
class UsbDescriptor:
    """One device with one configuration and one interface. `serial` may be empty: many cheap devices have none."""

    vid: int
    pid: int
    manufacturer: str = ""
    product: str = ""
    serial: str = ""
    device_class: int = 0
    interface_class: int = 0xFF
    bcd_device: int = 0x0100
    max_power_ma: int = 100
    endpoints: tuple[Endpoint, ...] = (Endpoint(0x01), Endpoint(0x81))

    def strings(self) -> dict[int, str]:
        """By the index under which the descriptors name them."""
        texts = enumerate((self.manufacturer, self.product, self.serial), start=1)
        return {index: text for index, text in texts if text}

    def device_fields(self, bus: int, address: int) -> dict[str, Any]:
        """The device descriptor (USB 2.0, table 9-8), and where the device is."""
        named = self.strings()
        return {
            "bLength": 18,
            "bDescriptorType": 1,
            "bcdUSB": 0x0200,
            "bDeviceClass": self.device_class,
            "bDeviceSubClass": 0,
            "bDeviceProtocol": 0,
            "bMaxPacketSize0": 64,
            "idVendor": self.vid,
            "idProduct": self.pid,
            "bcdDevice": self.bcd_device,
            "iManufacturer": 1 if 1 in named else 0,
            "iProduct": 2 if 2 in named else 0,
            "iSerialNumber": 3 if 3 in named else 0,
            "bNumConfigurations": 1,
            "bus": bus,
            "address": address,
            "port_number": address,
            "port_numbers": [address],
            "speed": 2,
        }

    def configuration_fields(self) -> dict[str, Any]:
        """Table 9-10."""
        return {
            "bLength": 9,
            "bDescriptorType": 2,
            "wTotalLength": 18 + 7 * len(self.endpoints),
            "bNumInterfaces": 1,
            "bConfigurationValue": 1,
            "iConfiguration": 0,
            "bmAttributes": 0x80,
            "bMaxPower": self.max_power_ma // 2,
            "extra_descriptors": [],
        }

    def interface_fields(self) -> dict[str, Any]:
        """Table 9-12."""
        return {
            "bLength": 9,
            "bDescriptorType": 4,
            "bInterfaceNumber": 0,
            "bAlternateSetting": 0,
            "bNumEndpoints": len(self.endpoints),
            "bInterfaceClass": self.interface_class,
            "bInterfaceSubClass": 0,
            "bInterfaceProtocol": 0,
            "iInterface": 0,
            "extra_descriptors": [],
        }

    def endpoint_fields(self, index: int) -> dict[str, Any]:
        """Table 9-13."""
        endpoint = self.endpoints[index]
        return {
            "bLength": 7,
            "bDescriptorType": 5,
            "bEndpointAddress": endpoint.address,
            "bmAttributes": endpoint.transfer,
            "wMaxPacketSize": endpoint.max_packet,
            "bInterval": 1 if endpoint.transfer == INTERRUPT else 0,
            "bRefresh": 0,
            "bSynchAddress": 0,
            "extra_descriptors": [],
        }

    def string_bytes(self, index: int) -> bytes | None:
        """A string descriptor (9.6.7); number 0 lists the languages. None if there is none."""
        if index == 0:
            body = (0x0409).to_bytes(2, "little")
        elif index in self.strings():
            body = self.strings()[index].encode("utf-16-le")
        else:
            return None
        return bytes((len(body) + 2, 3)) + body
