"""A bridge that was found, as a `Lab` that hears what its daemon says."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from .connection import Connection
from .finding import Found
from .lab import Lab


@contextlib.asynccontextmanager
async def follow(connection: Connection, found: Found, label: str) -> AsyncIterator[Lab]:
    """Until left. `label` is who asks. Raises `InvalidValue` if the bridge has users and the address names none."""
    user = found.user_for(connection.address)
    topics = found.topics
    own_name = f"{(f'{user}-{label}' if user else label)[:25]}-{secrets.token_hex(3)}"
    lab = Lab(connection, topics, own_name, found.status, user)
    filters = (lab.reply_topic, topics.status, f"{topics.prefix}/runs/+/state", f"{topics.prefix}/runs/+/result")
    try:
        async with connection.listen(*filters) as listener:
            serving = asyncio.create_task(lab.serve(listener), name="picobridge-lab")
            try:
                yield lab
            finally:
                await lab.give_back()
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
    finally:
        lab.close()
