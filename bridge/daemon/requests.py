"""Requests from the broker: who may have what executed, once, and what they are told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from bridge.transfer.messages import (
    EXPIRY_LIMIT_S,
    REQUEST_LIMIT,
    Reply,
    Request,
    check_time,
    decode_request,
    load_object,
)
from bridge.transfer.mqtt import Incoming, Message
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import Busy, InvalidValue, PicobridgeError, Refused, RequestExpired

from .events import Events

LOG = logging.getLogger("picobridge.requests")

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

#: Who asked for what is being executed in this task.
SENDER: ContextVar[str] = ContextVar("sender", default="")

#: Executed without a fresh, well-formed request: the safe direction is always open.
STOP = "stop"
#: So many requests may be under way at a time.
AT_ONCE = 64
#: Answers are kept until their request has expired; while there are so many, new requests are refused.
ANSWERS = 20_000
#: Refused requests that cannot be answered become events, but not more than this many a second.
_COMPLAINTS_PER_S = 5


@dataclass(slots=True)
class _Answer:
    """`reply` is None while the request is being executed."""

    until_s: float
    reply: Reply | None = None


class Requests:
    """`handlers` are the methods by name; `stop` is among them and is called with whatever was sent."""

    def __init__(self, handlers: Mapping[str, Handler], uplink: Uplink, topics: Topics, events: Events) -> None:
        self._handlers = handlers
        self._uplink = uplink
        self._topics = topics
        self._events = events
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._complaints: list[float] = []
        self._closing = False

    def receive(self, incoming: Incoming) -> None:
        """One message on a request topic. Never raises."""
        method = self._topics.method_of(incoming.topic)
        if method is None:
            return
        try:
            self._admit(method, incoming)
        except PicobridgeError as error:
            self._refuse(method, incoming, error)

    async def close(self) -> None:
        """Refuse what comes, cancel what is under way, and wait for it."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admit(self, method: str, incoming: Incoming) -> None:
        if incoming.retain:
            raise RequestExpired(
                f"request/{method} is retained on the broker; it was not executed",
                hint="Publish requests without the retain flag; an empty retained message on its topic removes it.",
            )
        if self._closing:
            raise Refused("the daemon is stopping")
        if method == STOP:
            request = self._stop_request(incoming)
        else:
            request = decode_request(method, incoming.payload, defaults=self._defaults(incoming))
            check_time(request, time.time())
        if request.reply_to and not self._topics.may_reply_to(request.reply_to):
            raise InvalidValue(
                f"reply_to is {request.reply_to!r:.200}; accepted: a topic below {self._topics.reply('')}"
            )
        if method != STOP and self._repeated(request, incoming):
            return  # a stop is executed each time: twice does no harm, and an id used twice must not keep it back
        handler = self._handlers.get(method)
        if handler is None:
            raise InvalidValue(f"method {method!r} is not known; accepted: {', '.join(self._handlers)}")
        if (len(self._tasks) >= AT_ONCE or len(self._answers) >= ANSWERS) and method != STOP:
            raise Busy("too many requests at a time", hint="Wait for answers, and let requests expire sooner.")
        now = time.time()
        answer = _Answer(max(request.expires_at, now + EXPIRY_LIMIT_S) if method == STOP else request.expires_at)
        self._answers[request.id] = answer
        task = asyncio.create_task(self._execute(request, handler, answer, incoming), name=f"request {method}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop_request(self, incoming: Incoming) -> Request:
        """A stop is a stop, however it is written; only its answer needs a well-formed request."""
        defaults: dict[str, Any] = {"from": "unknown", "id": f"stop-{time.time_ns()}", **self._defaults(incoming)}
        defaults["expires_at"] = defaults.get("expires_at", time.time() + EXPIRY_LIMIT_S)
        try:
            request = decode_request(STOP, incoming.payload or b"{}", defaults=defaults)
        except PicobridgeError:
            return Request(STOP, {}, "unknown", defaults["expires_at"], id=defaults["id"])
        if not self._topics.may_reply_to(request.reply_to):
            return Request(STOP, {}, request.sender, request.expires_at, id=request.id)
        return request

    def _defaults(self, incoming: Incoming) -> dict[str, Any]:
        """What MQTT 5 properties say, under the same rules as the payload."""
        known: dict[str, Any] = {}
        if incoming.response_topic is not None:
            known["reply_to"] = incoming.response_topic
        if incoming.correlation is not None:
            known["id"] = incoming.correlation.decode("utf-8", "replace")
        if incoming.expiry_s is not None:
            known["expires_at"] = time.time() + min(incoming.expiry_s, EXPIRY_LIMIT_S)
        return known

    def _repeated(self, request: Request, incoming: Incoming) -> bool:
        """Whether the id was seen before; the answer is then sent again, if there is one already."""
        self._forget_answers()
        answer = self._answers.get(request.id)
        if answer is None:
            return False
        if answer.reply is not None:
            self._reply(request.reply_to, answer.reply, incoming)
        return True

    def _forget_answers(self) -> None:
        now = time.time()
        while self._answers:
            name, oldest = next(iter(self._answers.items()))
            if oldest.until_s > now or oldest.reply is None:
                break
            del self._answers[name]

    async def _execute(self, request: Request, handler: Handler, answer: _Answer, incoming: Incoming) -> None:
        SENDER.set(request.sender)
        try:
            reply = Reply(request.id, result=await handler(request.params))
            reply.encode()
        except PicobridgeError as error:
            reply = Reply(request.id, error=error)
        except asyncio.CancelledError:
            reply = Reply(request.id, error=PicobridgeError("the daemon is stopping", operation=request.method))
        except Exception as error:
            LOG.exception("request %s from %s broke", request.method, request.sender)
            reply = Reply(request.id, error=PicobridgeError(f"internal error: {error!r}", operation=request.method))
        answer.reply = reply
        self._reply(request.reply_to, reply, incoming)

    def _reply(self, topic: str, reply: Reply, incoming: Incoming) -> None:
        if topic:
            self._uplink.publish(Message(topic, reply.encode(), correlation=incoming.correlation))

    def _refuse(self, method: str, incoming: Incoming, error: PicobridgeError) -> None:
        """Answer if the request says where to, else complain to everybody."""
        error.annotate(device="", operation=method)
        fields = self._defaults(incoming)
        if len(incoming.payload) <= REQUEST_LIMIT:
            try:
                fields |= load_object(incoming.payload)
            except InvalidValue:
                LOG.debug("request/%s is not JSON", method)
        reply_to, identifier = fields.get("reply_to"), fields.get("id")
        if isinstance(reply_to, str) and self._topics.may_reply_to(reply_to):
            known = identifier[:64] if isinstance(identifier, str) else ""
            self._reply(reply_to, Reply(known, error=error), incoming)
        else:
            self._complain(f"request/{method} was refused: {error.message}", error)

    def _complain(self, text: str, error: PicobridgeError) -> None:
        now = time.monotonic()
        self._complaints = [at for at in self._complaints if now - at < 1.0]
        if len(self._complaints) < _COMPLAINTS_PER_S:
            self._complaints.append(now)
            self._events.publish("request", text, severity="warning", error=error)
