"""Questions that may be asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import DeviceTimeout, ProtocolError

Answer = TypeVar("Answer")


async def ask_again(query: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask; if the answer came but was garbled, once more, after the link has put itself in step.

    Only for questions that change nothing. Silence is not asked again: a device that does not answer is to be told of
    at once. Raises what the second answer raises.
    """
    try:
        return await query()
    except ProtocolError:
        return await query()


async def ask_patiently(query: Callable[[], Awaitable[Answer]]) -> Answer:
    """As `ask_again`, and once more after silence too: where deadlines are short, an answer may be lost or late."""
    try:
        return await query()
    except (DeviceTimeout, ProtocolError):
        return await query()
