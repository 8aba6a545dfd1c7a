"""Two daemons of one name on one broker: which of them is the bridge, and who is told.

Both would execute each request. So a daemon claims its name on the topic `claim` when it connects, before it subscribes
to requests, and hears whoever has it already: of two, the one that has had the name for longer keeps it, and the other
leaves the broker, says so in its log and its audit trail, and tries again. Its runs go on, and its samples stay on its
disk meanwhile. Stops reach both: they have a connection of their own.

The retained `status` says who had the name last. Only where that is somebody else who did not say goodbye is there
anything to wait for: a daemon that is alive objects at once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bridge.transfer.messages import load_object
from bridge.transfer.mqtt import Incoming, Message, Session
from bridge.transfer.plain import dumps
from bridge.transfer.topics import Topics
from drivers.errors import InvalidValue, PicobridgeError, Refused

LOG = logging.getLogger("picobridge.namesakes")

#: So long a broker may take to bring us our own claim.
ECHO_S = 2.0
#: So long whoever had the name last may take to object.
OBJECTION_S = 2.0
#: A daemon that was kept out tries again every few seconds; one that was not heard for so long has given up.
FORGOTTEN_S = 30.0
#: What has had no name yet comes behind all that have.
_NEVER = 1 << 63


@dataclass(frozen=True, slots=True)
class Claim:
    """Who says that it is the bridge. `since_ns` is when it first was, on any broker (UTC), None if it never was."""

    instance: str
    since_ns: int | None
    host: str
    version: str

    @property
    def rank(self) -> tuple[int, str]:
        """The lowest keeps the name."""
        return (_NEVER if self.since_ns is None else self.since_ns), self.instance

    def __str__(self) -> str:
        return f"picobridge {self.version} on {self.host}"


class Namesakes:
    """`leave` is called when we are to leave the broker, with the reason; `told` once for each namesake, with what
    became of it and us; `status` publishes our retained status again."""

    def __init__(self, bridge: str, version: str, topics: Topics) -> None:
        self.leave: Callable[[str], None] = lambda reason: None
        self.told: Callable[[str], None] = lambda text: None
        self.status: Callable[[], None] = lambda: None
        self._bridge = bridge
        self._topics = topics
        self._own = Claim(secrets.token_hex(8), None, socket.gethostname(), version)
        self._session: Session | None = None
        self._admitted = False
        self._echo = asyncio.Event()
        self._opposed = asyncio.Event()
        self._winner: Claim | None = None
        self._others_status = False
        self._kept_out: dict[str, tuple[Claim, float]] = {}
        self._said: set[str] = set()

    @property
    def described(self) -> dict[str, Any]:
        """For `status`: who we are."""
        return {"instance": self._own.instance, "since_ns": self._own.since_ns, "host": self._own.host}

    @property
    def reasons(self) -> list[str]:
        """For `health`: who else wants the name."""
        now = time.monotonic()
        taken = [] if self._winner is None else [self._taken(self._winner).message]
        return taken + [
            f"{claim} also calls itself {self._bridge!r} and is kept out"
            for claim, heard_s in self._kept_out.values()
            if now - heard_s < FORGOTTEN_S
        ]

    async def admit(self, session: Session) -> None:
        """Claim the name on a connection that was just made. Raises `Refused` if somebody else has it."""
        self._session, self._admitted = session, False
        self._winner, self._others_status = None, False
        self._echo.clear()
        self._opposed.clear()
        await session.subscribe(self._topics.claim)
        await session.subscribe(self._topics.status, retained=True)
        try:
            if (published := self._claim()) is not None:
                await published
            await self._heard_within(self._echo, ECHO_S)
        except Refused as error:
            LOG.warning(
                "whether another daemon is %r cannot be asked: %s; `picobridge broker-config` again allows it",
                self._bridge,
                error.message,
            )
        if self._others_status and not self._opposed.is_set():
            await self._heard_within(self._opposed, OBJECTION_S)
        if self._winner is not None:
            raise self._taken(self._winner)
        if self._own.since_ns is None:
            self._own = replace(self._own, since_ns=time.time_ns())
            self.status()
        self._admitted = True

    def receive(self, incoming: Incoming) -> bool:
        """Whether a message was on one of our topics, and so is dealt with. Never raises."""
        if incoming.topic not in (self._topics.claim, self._topics.status):
            return False
        with suppress(PicobridgeError):
            fields = load_object(incoming.payload)
            claim = _claim_of(fields)
            if incoming.topic == self._topics.claim:
                self._hear(claim)
            elif claim.instance != self._own.instance:
                self._hear_status(claim, fields.get("status") == "online")
        return True

    def _hear(self, claim: Claim) -> None:
        if claim.instance == self._own.instance:
            self._echo.set()
        elif claim.rank < self._own.rank:
            self._yield_to(claim)
        else:
            self._keep_out(claim)

    def _hear_status(self, claim: Claim, online: bool) -> None:
        """Of another one, also of one that knows no claims."""
        if not self._admitted:
            self._others_status = self._others_status or online
            return
        if online:
            self._hear(claim)
        if self._winner is None:
            self.status()  # theirs is retained on the broker now, or `offline` as they went

    def _yield_to(self, claim: Claim) -> None:
        self._winner = claim
        self._opposed.set()
        reason = self._taken(claim).message
        if claim.instance not in self._said:
            self._said.add(claim.instance)
            self.told(reason)
        if self._admitted:
            self._admitted = False
            self.leave(reason)

    def _keep_out(self, claim: Claim) -> None:
        self._kept_out[claim.instance] = claim, time.monotonic()
        self._claim()
        if claim.instance not in self._said:
            self._said.add(claim.instance)
            self.told(f"{claim} also calls itself {self._bridge!r} on this broker; it is kept out")

    def _claim(self) -> asyncio.Future[None] | None:
        if self._session is None or self._session.lost.done():
            return None
        fields = {**self.described, "bridge": self._bridge, "version": self._own.version}
        return self._session.send(Message(self._topics.claim, dumps(fields)))

    def _taken(self, claim: Claim) -> Refused:
        return Refused(
            f"{claim} is {self._bridge!r} on this broker already; this daemon keeps away from it, and takes its place "
            "when that one ends",
            hint="Give one of the two another name: [bridge] name in its configuration.",
        )

    async def _heard_within(self, event: asyncio.Event, timeout_s: float) -> None:
        assert self._session is not None
        heard = asyncio.ensure_future(event.wait())
        waits: list[asyncio.Future[Any]] = [heard, self._session.lost]
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            heard.cancel()
            await asyncio.gather(heard, return_exceptions=True)


def _claim_of(fields: Mapping[str, Any]) -> Claim:
    """Raises `InvalidValue`. A daemon from before there were claims has neither instance nor host."""
    instance, since_ns = fields.get("instance", ""), fields.get("since_ns")
    host, version = fields.get("host", "an unknown computer"), fields.get("version", "?")
    texts = all(isinstance(text, str) and len(text) <= 300 for text in (instance, host, version))
    if not texts or not (since_ns is None or (isinstance(since_ns, int) and since_ns >= 0)):
        raise InvalidValue("this is no claim")
    return Claim(instance, since_ns, host, version)
