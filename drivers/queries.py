"""Questions that may be asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import ProtocolError

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
