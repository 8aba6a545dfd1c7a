"""A device, asked line by line: `usb_client.py DRIVER ADDRESS`, then names of methods on standard input."""

from __future__ import annotations

import asyncio
import sys

from drivers import registry
from drivers.errors import PicobridgeError


async def main() -> None:
    device = registry.create(sys.argv[1], sys.argv[2])
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            print("ok", await getattr(device, line.strip())(), flush=True)
        except PicobridgeError as error:
            print(type(error).__name__, error.message, flush=True)


asyncio.run(main())
