"""A serial port: a pseudo-terminal whose other end the client opens like any tty.

What a pty does not have: parity, 7 bits, modem lines, break. Baud rates it carries but ignores, so they are played
here: if the instrument's class says `baud` and the client has set another, both sides get garbage.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import tempfile
import termios
import tty
from pathlib import Path

from ..instrument import Instrument
from .baud import garble
from .wire import Wire

#: ioctl for `struct termios2`, which has the speeds as numbers (asm-generic/ioctls.h): two uint32 after 36 bytes
_TCGETS2 = 0x802C542A
_TERMIOS2_BYTES = 44


class PtyWire(Wire):
    """`address` names a symbolic link that points at the pty of the moment, as udev's by-id links do.

    `link` says where to put it; a new temporary folder otherwise.
    """

    def __init__(self, instrument: Instrument, seed: int = 0, *, link: str | None = None) -> None:
        super().__init__(instrument, seed)
        self._folder = tempfile.mkdtemp(prefix="picobridge-") if link is None else None
        self._link = Path(link) if link is not None else Path(self._folder or "") / instrument.name
        self.address = f"serial:{self._link}"
        self._master = -1
        # kept open while no client is there: a master whose other end nobody has open cannot be waited for
        self._spare = -1
        self._slave_name = ""
        self._unsent = bytearray()
        self._room = asyncio.Event()
        self._room.set()

    async def drain(self) -> None:
        await self._room.wait()

    async def _plug(self) -> None:
        self._master, self._spare = os.openpty()
        self._slave_name = os.ttyname(self._spare)
        tty.setraw(self._spare)
        os.set_blocking(self._master, False)
        self._link.symlink_to(self._slave_name)
        asyncio.get_running_loop().add_reader(self._master, self._on_readable)

    async def _unplug(self) -> None:
        if self._master < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        self._link.unlink()
        master, self._master = self._master, -1
        os.close(master)
        self._unsent.clear()
        self._room.set()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        else:
            self.instrument.client_gone()

    async def _release(self) -> None:
        if self._folder is not None:
            os.rmdir(self._folder)
            self._folder = None

    def _on_readable(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._client_closed()
            return
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
            self.instrument.client_connected()
        self.deliver(self._at_baud(data, to_client=False))

    def _client_closed(self) -> None:
        self._spare = os.open(self._slave_name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        # what it left unread must not reach the next one
        termios.tcflush(self._spare, termios.TCIOFLUSH)
        self._unsent.clear()
        self._room.set()
        self.instrument.client_gone()

    def _transmit(self, data: bytes) -> None:
        if self._master < 0:
            return
        self._unsent += self._at_baud(data, to_client=True)
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            del self._unsent[: os.write(self._master, self._unsent)]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._unsent.clear()
        if self._unsent:
            self._room.clear()
            loop.add_writer(self._master, self._flush)
        elif not self._room.is_set():
            self._room.set()
            loop.remove_writer(self._master)

    def _at_baud(self, data: bytes, *, to_client: bool) -> bytes:
        own = getattr(self.instrument, "baud", None)
        if own is None:
            return data
        state = fcntl.ioctl(self._master, _TCGETS2, bytes(_TERMIOS2_BYTES))
        client: int = struct.unpack_from("I", state, 36)[0]
        if client in (own, 0):
            return data
        return garble(data, own, client) if to_client else garble(data, client, own)
