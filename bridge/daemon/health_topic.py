"""How the daemon is, on a retained topic: again whenever that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bridge.transfer.plain import dumps

#: How often it is looked at.
LOOK_S = 1.0


async def publish_health(read: Callable[[], Mapping[str, Any]], publish: Callable[[bytes], None]) -> None:
    """Until cancelled."""
    said = b""
    while True:
        now = dumps(read())
        if now != said:
            said = now
            publish(now)
        await asyncio.sleep(LOOK_S)
