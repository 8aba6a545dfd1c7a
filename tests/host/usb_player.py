"""Plays a USB device below libusb: the kernel's side of usbdevfs, by umockdev.

    umockdev-wrapper /usr/bin/python3 usb_player.py DEVICES NODE PORT CLIENT...

Run by the system's Python, which alone has umockdev's bindings. `DEVICES` describes the machine; transfers on `NODE`
are passed to the simulated instrument whose `mocks.wires.usb.UsbWire` listens on `PORT`. The client is started as a
child and finds the device as it would find a real one. Ends with the client's status.
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import GLib, UMockdev  # noqa: E402

# linux/usbdevice_fs.h
SETCONFIGURATION, CLAIM, RELEASE, CLEAR_HALT = 0x80045505, 0x8004550F, 0x80045510, 0x80045515
SUBMIT, DISCARD, REAP, REAP_NDELAY = 0x8038550A, 0x550B, 0x4008550C, 0x4008550D
GET_DRIVER = 0x41045508
CONTROL = 2
URB_BYTES = 56


class Wire:
    """The instrument's side: one JSON object a line, each way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._file = None

    def ask(self, operation: str, **values):
        if self._file is None:
            self._file = socket.create_connection(("127.0.0.1", self._port)).makefile("rwb")
        try:
            self._file.write(json.dumps({"operation": operation, **values}).encode() + b"\n")
            self._file.flush()
            line = self._file.readline()
        except OSError:
            line = b""
        if not line:  # unplugged: the instrument has hung up
            self._file = None
            return {"errno": errno.ENODEV}
        return json.loads(line)


class Player:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._waiting = deque()
        self._done = deque()

    def handle(self, _, client) -> bool:
        request = client.get_request()
        if request == SETCONFIGURATION:
            client.complete(0, 0)
        elif request in (CLAIM, RELEASE):
            self._answer(client, self._wire.ask("claim" if request == CLAIM else "release")["errno"])
        elif request == CLEAR_HALT:
            number = client.get_arg().resolve(0, 4).retrieve()[0]
            self._answer(client, self._wire.ask("clear_halt", endpoint=number)["errno"])
        elif request == SUBMIT:
            self._submit(client)
        elif request == DISCARD:
            self._discard(client)
        elif request in (REAP, REAP_NDELAY):
            self._reap(client)
        elif request == GET_DRIVER:
            self._answer(client, errno.ENODATA)
        else:
            self._answer(client, errno.ENOTTY)
        return True

    def _answer(self, client, number: int) -> None:
        client.complete(-1 if number else 0, number)

    def _submit(self, client) -> None:
        urb = client.get_arg().resolve(0, URB_BYTES)
        content = bytes(urb.retrieve())
        length = int.from_bytes(content[24:28], "little")
        buffer = urb.resolve(16, length)
        number = 0
        if content[0] == CONTROL:
            number = self._control(urb, buffer, bytes(buffer.retrieve()))
        elif content[1] & 0x80:
            self._waiting.append((urb, buffer, content[1], length))
        else:
            said = self._wire.ask("write", endpoint=content[1], data=bytes(buffer.retrieve()).hex())
            number = self._accept(urb, said["errno"], length)
        self._answer(client, number)

    def _control(self, urb, buffer, data: bytes) -> int:
        setup = [data[0], data[1], *(int.from_bytes(data[i : i + 2], "little") for i in (2, 4, 6))]
        said = self._wire.ask("control", setup=setup, data=data[8:].hex() if not data[0] & 0x80 else "")
        reply = bytes.fromhex(said.get("data", ""))
        if reply:
            buffer.update(8, list(reply))
        return self._accept(urb, said["errno"], len(reply))

    def _accept(self, urb, number: int, length: int) -> int:
        """The errno of the call itself: a device that is gone takes nothing; a stall is the transfer's status."""
        if number == errno.ENODEV:
            return number
        self._finish(urb, number, length)
        return 0

    def _finish(self, urb, number: int, length: int) -> None:
        urb.update(4, list((-number).to_bytes(4, "little", signed=True)))
        urb.update(28, list((0 if number else length).to_bytes(4, "little")))
        self._done.append(urb)

    def _discard(self, client) -> None:
        if self._waiting:
            urb = self._waiting.popleft()[0]
            self._finish(urb, errno.ENOENT, 0)
        client.complete(0, 0)

    def _look(self) -> None:
        urb, buffer, endpoint, length = self._waiting[0]
        said = self._wire.ask("read", endpoint=endpoint, size=length, timeout_ms=1)
        if said["errno"] == errno.ETIMEDOUT:
            return
        self._waiting.popleft()
        data = bytes.fromhex(said.get("data", ""))
        if data:
            buffer.update(0, list(data))
        self._finish(urb, said["errno"], len(data))

    def _reap(self, client) -> None:
        if self._waiting and not self._done:
            self._look()
        if self._done:
            client.get_arg().resolve(0, 8).set_ptr(0, self._done.popleft())
            client.complete(0, 0)
        else:
            client.complete(-1, errno.EAGAIN)


def main() -> int:
    devices, node, port, *client = sys.argv[1:]
    testbed = UMockdev.Testbed.new()
    testbed.add_from_string(Path(devices).read_text())
    handler = UMockdev.IoctlBase()
    player = Player(Wire(int(port)))
    handler.connect("handle-ioctl", player.handle)
    testbed.attach_ioctl(node, handler)
    loop = GLib.MainLoop()
    status = []

    def run() -> None:
        status.append(subprocess.run(client, check=False).returncode)
        loop.quit()

    threading.Thread(target=run, daemon=True).start()
    loop.run()
    return status[0]


if __name__ == "__main__":
    sys.exit(main())
