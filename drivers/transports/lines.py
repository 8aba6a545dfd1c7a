"""Lines of text whose end differs from maker to maker: CR, LF or CR LF."""

from __future__ import annotations

import asyncio
import math

from ..errors import DeviceTimeout, ProtocolError
from .link import Conversation

_ENDS = b"\r\n"


async def read_line(
    conversation: Conversation, timeout_s: float, *, gap_s: float = 1.0, rest_s: float = 30.0, limit: int = 512
) -> bytes:
    """One line without its end. Empty lines are skipped, so that the LF of a CR LF is never taken for a line.

    `timeout_s` bounds the wait for the first character, `gap_s` that for each one after it, and `rest_s` all that
    follows the first: a slow sender is no silent one. Raises `DeviceTimeout`, `DeviceLost`, and `ProtocolError` if
    `limit` bytes pass without an end.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    line_deadline = math.inf
    received = conversation.received
    line = bytearray()
    while True:
        try:
            chunk = await conversation.read_some(max(0.0, deadline - loop.time()))
        except DeviceTimeout as error:
            conversation.received = received + bytes(line)
            if line:
                error.message = f"only {bytes(line)!r} of a line came, and no end of it within {gap_s:.3g} s"
            else:
                error.message = conversation.silence(timeout_s)
            raise
        if not line:
            chunk = chunk.lstrip(_ENDS)
            if chunk:
                line_deadline = loop.time() + rest_s
        if chunk:
            deadline = min(loop.time() + gap_s, line_deadline)
        line += chunk
        end = next((index for index, byte in enumerate(line) if byte in _ENDS), None)
        if end is not None and end <= limit:
            conversation.unread(bytes(line[end:]))
            conversation.received = received + bytes(line[: end + 1])
            return bytes(line[:end])
        if len(line) > limit:
            conversation.received = received + bytes(line)
            raise ProtocolError(f"more than {limit} bytes without the end of a line", received=bytes(line[:64]))
