"""MQTT over a WebSocket, relayed to the broker: each browser has a connection of its own there, and `Policy` between.

A browser that does not take what comes is hung up on: nothing waits for it, and nothing grows. It comes back, and asks
for what it missed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from aiohttp import WSCloseCode, hdrs, web

from .line import Dial, Line
from .packets import PACKET_LIMIT
from .policy import Policy

LOG = logging.getLogger("picobridge.web")

SUBPROTOCOL = "mqtt"
#: Connections at a time, and of one user.
CONNECTIONS, OF_A_USER = 64, 24
#: A browser that does not answer a ping within half of this is gone.
HEARTBEAT_S = 30.0


class Relay:
    """`dial` opens a connection to the broker; `policy(user)` judges a new connection of hers."""

    def __init__(self, dial: Dial, policy: Callable[[str], Policy]) -> None:
        self._dial = dial
        self._policy = policy
        self._lines: dict[Line, str] = {}

    async def serve(self, request: web.Request, user: str) -> web.StreamResponse:
        """One connection, for as long as it lasts. Raises `HTTPException` for what is none."""
        offered = [each.strip() for each in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
        if SUBPROTOCOL not in offered:
            raise web.HTTPBadRequest(reason="accepted: a WebSocket with the subprotocol mqtt")
        if len(self._lines) >= CONNECTIONS or Counter(self._lines.values())[user] >= OF_A_USER:
            raise web.HTTPServiceUnavailable(reason="too many connections")
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            compress=False,
            autoping=False,  # pings count as everything else that comes
            heartbeat=HEARTBEAT_S,
            max_msg_size=2 * PACKET_LIMIT,
            timeout=1.0,
        )
        line = Line(request, socket, self._policy(user))
        self._lines[line] = user
        try:
            await line.run(self._dial)
        finally:
            del self._lines[line]
        return socket

    def hang_up(self, why: str, of: Callable[[str], bool] = lambda user: True) -> None:
        """On those users of whom `of` says so."""
        for line, user in self._lines.items():
            if of(user):
                LOG.info("hung up on %s: %s", user or "a page", why)
                line.end(WSCloseCode.GOING_AWAY, why)
