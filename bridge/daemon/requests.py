"""Requests from the broker: who may have what executed, once, and what they are told."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from bridge.access.caller import CALLER, Caller
from bridge.access.gate import Gate
from bridge.access.options import Access
from bridge.access.permissions import STOPS
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
from bridge.transfer.plain import Encoded
from bridge.transfer.topics import Topics, is_name
from bridge.transfer.uplink import Uplink
from drivers.errors import Busy, Interrupted, InvalidValue, PicobridgeError, Refused, RequestExpired

from .events import Events
from .lanes import Doubles
from .refusals import OnRefused, Refusals

LOG = logging.getLogger("picobridge.requests")

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

#: Where the answer to what is being executed in this task goes, "" for nowhere.
REPLY_TO: ContextVar[str] = ContextVar("reply_to", default="")

#: So many requests may be under way at a time.
AT_ONCE = 64
#: Answers are kept until their request has expired; while there are so many, new requests are refused.
ANSWERS = 20_000
#: So many are looked at each time, whether they can go.
_FORGET_AT_ONCE = 64
#: So many repetitions of a request that is under way are answered one by one.
_AGAIN = 16


@dataclass(slots=True)
class _Answer:
    """`reply` is None while the request is being executed; `content` tells a repetition from another request, and
    `again` are those that came meanwhile."""

    until_s: float
    content: bytes
    again: list[Incoming] = field(default_factory=list)
    reply: Reply | None = None


class Requests:
    """`handlers` are the methods by name. Those of the safe direction (`STOPS`) are executed without a fresh,
    well-formed request, with whatever was sent, and nothing but a retain flag holds them back.

    With `access` only its users' requests are executed. `on_refused` is told of what was refused, not of all in a
    flood; `refused` counts all.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        uplink: Uplink,
        topics: Topics,
        events: Events,
        access: Access | None = None,
        on_refused: OnRefused = lambda user, method, error, left_out: None,
    ) -> None:
        self._handlers = dict(handlers)
        self._uplink = uplink
        self._topics = topics
        self._gate = Gate(access)
        self.doubles = Doubles()
        self._refusals = Refusals(events, on_refused)
        self._answers: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def add(self, handlers: Mapping[str, Handler]) -> None:
        """More methods."""
        self._handlers |= handlers

    def use(self, access: Access | None) -> None:
        """Other users from now on, for every request that comes. Whether there are users at all must not change: they
        have topics of their own."""
        self._gate.use(access)

    @property
    def refused(self) -> int:
        """Requests that were refused since the start."""
        return self._refusals.count

    def receive_stop(self, incoming: Incoming) -> None:
        """As `receive`, from the connection that is for stops only: nothing waits in front of them there."""
        self._receive(incoming, "stops")

    def receive(self, incoming: Incoming) -> None:
        """One message on a request topic. Never raises."""
        self._receive(incoming, "all")

    def _receive(self, incoming: Incoming, lane: str) -> None:
        named = self._topics.request_of(incoming.topic)
        if named is None:
            return
        user, method = named
        try:
            self._admit(user, method, incoming, lane)
        except PicobridgeError as error:
            self._refuse(user, method, incoming, error)

    def refuse_new(self) -> None:
        """The daemon ends: nothing is admitted but stops, and whoever waits for an answer is told why it fails."""
        self._closing = True

    async def close(self) -> None:
        """Refuse what comes, cancel what is under way, and wait for it."""
        self.refuse_new()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admit(self, user: str, method: str, incoming: Incoming, lane: str) -> None:
        if incoming.retain:
            raise RequestExpired(
                f"request/{method} is retained on the broker; it was not executed",
                hint="Publish requests without the retain flag; an empty retained message on its topic removes it.",
            )
        if method in STOPS and method in self._handlers:
            self._stop(user, method, incoming, lane)
            return
        if self._closing:
            raise Refused("the daemon is stopping")
        self._gate.admit(user, method)
        request = decode_request(method, incoming.payload, defaults=self._defaults(user, incoming))
        caller = self._gate.caller(user, request)
        if request.reply_to and not self._topics.may_reply_to(request.reply_to, user):
            raise InvalidValue(
                f"reply_to is {request.reply_to!r:.200}; accepted: a topic below {self._topics.reply('', user)}"
            )
        content = request.content()
        if self._repeated(user, request, content, incoming):
            return
        check_time(request, time.time())
        handler = self._handlers.get(method)
        if handler is None:
            raise InvalidValue(f"method {method!r} is not known; accepted: {', '.join(self._handlers)}")
        if len(self._tasks) >= AT_ONCE or len(self._answers) >= ANSWERS:
            raise Busy("too many requests at a time", hint="Wait for answers, and let requests expire sooner.")
        self._gate.check_order(caller, request.seq)
        answer = _Answer(request.expires_at, content)
        self._answers[user, request.id] = answer
        self._begin(self._execute(request, caller, handler, answer, incoming), method)

    def _stop(self, user: str, method: str, incoming: Incoming, lane: str) -> None:
        """Each one is executed: twice does no harm, and an id used twice must not keep it back. But one message that
        both connections bring is one stop: the second might come when somebody has acknowledged the first."""
        if self.doubles.brought_before((user, method, incoming.correlation, incoming.payload), lane):
            return
        request = self._stop_request(user, method, incoming)
        answer = _Answer(request.expires_at, b"")
        caller = self._gate.stopper(user, request)
        self._begin(self._execute(request, caller, self._handlers[method], answer, incoming), method)

    def _begin(self, execution: Coroutine[Any, Any, None], method: str) -> None:
        task = asyncio.create_task(execution, name=f"request {method}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop_request(self, user: str, method: str, incoming: Incoming) -> Request:
        """A stop is a stop, however it is written; only its answer needs a well-formed request."""
        defaults: dict[str, Any] = {
            "from": "unknown",
            "id": f"stop-{time.time_ns()}",
            **self._defaults(user, incoming),
        }
        defaults.setdefault("expires_at", time.time() + EXPIRY_LIMIT_S)
        try:
            request = decode_request(method, incoming.payload or b"{}", defaults=defaults)
        except PicobridgeError:
            return Request(method, {}, defaults["from"], defaults["expires_at"], id=defaults["id"])
        if not self._may_reply_to(request.reply_to, user):
            return Request(method, {}, request.sender, request.expires_at, id=request.id)
        return request

    def _may_reply_to(self, topic: object, user: str) -> bool:
        """Where users are proven, a request that names none gets no answer: it would land in somebody's branch."""
        return bool(user or not self._gate.proves_users) and self._topics.may_reply_to(topic, user)

    def _defaults(self, user: str, incoming: Incoming) -> dict[str, Any]:
        """What the topic and MQTT 5 properties say, under the same rules as the payload."""
        known: dict[str, Any] = {"from": user} if user else {}
        if incoming.response_topic is not None:
            known["reply_to"] = incoming.response_topic
        if incoming.correlation is not None:
            known["id"] = incoming.correlation.decode("utf-8", "replace")
        if incoming.expiry_s is not None:
            known["expires_at"] = time.time() + min(incoming.expiry_s, EXPIRY_LIMIT_S)
        return known

    def _repeated(self, user: str, request: Request, content: bytes, incoming: Incoming) -> bool:
        """Whether the id was seen before; the answer is then sent again, if there is one already.

        Raises `InvalidValue` if the same id asked for something else before.
        """
        self._forget_answers()
        answer = self._answers.get((user, request.id))
        if answer is None:
            return False
        if answer.content != content:
            raise InvalidValue(
                f"id is {request.id!r}, which another request had before; it was not executed",
                hint="Each request needs an id of its own, such as a UUID; the same id is for the same request again.",
            )
        if answer.reply is not None:
            self._reply(request.reply_to, answer.reply, incoming)
        elif len(answer.again) < _AGAIN:
            answer.again.append(incoming)
        return True

    def _forget_answers(self) -> None:
        now = time.time()
        for name, oldest in list(itertools.islice(self._answers.items(), _FORGET_AT_ONCE)):
            if oldest.until_s > now:
                break
            if oldest.reply is None:  # under way still: the next ones are looked at meanwhile
                self._answers.move_to_end(name)
            else:
                del self._answers[name]

    async def _execute(
        self, request: Request, caller: Caller, handler: Handler, answer: _Answer, incoming: Incoming
    ) -> None:
        CALLER.set(caller)
        REPLY_TO.set(request.reply_to)
        try:
            reply = Reply(request.id, result=await handler(request.params))
            reply.encode()
        except PicobridgeError as error:
            reply = Reply(request.id, error=_cut_off(request, error) if self._closing else error)
        except asyncio.CancelledError:
            reply = Reply(request.id, error=_cut_off(request))
        except Exception as error:
            LOG.exception("request %s from %s broke", request.method, request.sender)
            reply = Reply(request.id, error=PicobridgeError(f"internal error: {error!r}", operation=request.method))
        answer.reply = Reply(request.id, error=_too_long_to_keep()) if isinstance(reply.result, Encoded) else reply
        for asked in (incoming, *answer.again):
            self._reply(request.reply_to, reply, asked)
        answer.again.clear()

    def _reply(self, topic: str, reply: Reply, incoming: Incoming) -> None:
        if topic:
            self._uplink.publish(Message(topic, reply.encode(), correlation=incoming.correlation))

    def _refuse(self, user: str, method: str, incoming: Incoming, error: PicobridgeError) -> None:
        """Answer if the request says where to, else complain to everybody."""
        error.annotate(device="", operation=method)
        error.hint = error.hint or "How a request is written: docs/mqtt.md, Requests."
        if not self._gate.may_answer(user):
            self._refusals.report(user, method, error)
            return
        fields = self._defaults(user, incoming)
        if len(incoming.payload) <= REQUEST_LIMIT:
            try:
                fields |= load_object(incoming.payload)
            except InvalidValue:
                LOG.debug("request/%s is not JSON", method)
        reply_to, identifier, sender = fields.get("reply_to"), fields.get("id"), fields.get("from")
        if self._may_reply_to(reply_to, user):
            known = identifier[:64] if isinstance(identifier, str) else ""
            self._reply(str(reply_to), Reply(known, error=error), incoming)
        else:
            self._refusals.complain(f"request/{method} was refused: {error.message}", error)
        claimed = "" if self._gate.proves_users or not is_name(sender) else str(sender)
        self._refusals.report(user or claimed, method, error)


def _too_long_to_keep() -> PicobridgeError:
    return Refused("this was answered, and the answer is too long to be kept", hint="Ask again with another id.")


def _cut_off(request: Request, error: PicobridgeError | None = None) -> PicobridgeError:
    """What somebody is told whose request was under way as the daemon stopped; `error` is what it failed with, if it
    did before it was cancelled: making safe stops a move, and that ends it too."""
    device, method = request.params.get("device"), request.params.get("method")
    failed = f": {error.message}" if error is not None else ""
    return Interrupted(
        f"the daemon stopped before this was done{failed}",
        device=device if isinstance(device, str) else "",
        operation=method if isinstance(method, str) else request.method,
    )
