"""Requests and replies: what they hold, and how hostile bytes are kept out.

A request names its sender, its id, when it expires and where the reply goes, in the payload, so that it works from
`mosquitto_pub` and on MQTT 3.1.1; `docs/mqtt.md` has examples.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import InvalidValue, PicobridgeError, RequestExpired

from .plain import Encoded, dumps
from .topics import is_name

#: Of what topics and payloads mean. It grows when somebody who knows only the one before would misunderstand them; new
#: keys and topics are no reason.
CONTRACT = 1
#: A request longer than this is refused before it is decoded.
REQUEST_LIMIT = 64 * 1024
#: A request may expire at most this far ahead: what waits longer than that is not what its sender wants any more.
EXPIRY_LIMIT_S = 60.0
#: A request may have been issued this far ahead of the daemon's clock, and this long ago.
SKEW_S = 2.0
AGE_LIMIT_S = 60.0
#: Objects and lists inside each other, beyond which JSON is refused.
DEPTH_LIMIT = 16

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_FIELDS = ("id", "from", "issued_at", "expires_at", "reply_to", "lease", "fence", "seq", "params")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Times are UTC in seconds since 1970; `sender` is a name as in `topics`.

    `lease` and `fence` name the lease under which it is sent; `seq` grows with each request of a sender and lease.
    """

    method: str
    params: Mapping[str, Any]
    sender: str
    expires_at: float
    reply_to: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    issued_at: float | None = None
    lease: str = ""
    fence: int | None = None
    seq: int | None = None

    def encode(self) -> bytes:
        optional = {
            "issued_at": self.issued_at,
            "lease": self.lease or None,
            "fence": self.fence,
            "seq": self.seq,
        }
        return dumps(
            {
                "id": self.id,
                "from": self.sender,
                "expires_at": self.expires_at,
                "reply_to": self.reply_to,
                **{key: value for key, value in optional.items() if value is not None},
                "params": self.params,
            }
        )

    def content(self) -> bytes:
        """A digest of what is asked for, not of when and where the answer goes."""
        asked = dumps([self.method, self.sender, self.lease, self.fence, self.seq, self.params])
        return hashlib.blake2b(asked, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request of the same id: a result, or the error that it ended in."""

    id: str
    result: Any = None
    error: PicobridgeError | None = None

    def encode(self) -> bytes:
        if self.error is not None:
            return dumps({"id": self.id, "ok": False, "error": self.error.to_dict()})
        if isinstance(self.result, Encoded):
            return b'{"id":%s,"ok":true,"result":%s}' % (dumps(self.id), self.result.text)
        return dumps({"id": self.id, "ok": True, "result": self.result})

    @staticmethod
    def decode(payload: bytes) -> Reply:
        """Raises `InvalidValue` for what is no reply."""
        fields = load_object(payload)
        if not isinstance(fields.get("id"), str) or not isinstance(fields.get("ok"), bool):
            raise InvalidValue("the reply has no id or no ok")
        if fields["ok"]:
            return Reply(fields["id"], result=fields.get("result"))
        error = fields.get("error")
        return Reply(fields["id"], error=PicobridgeError.from_dict(error if isinstance(error, dict) else {}))


def load_object(payload: bytes) -> dict[str, Any]:
    """A JSON object out of bytes that anyone may have written.

    Stricter than Python's own: raises `InvalidValue` for NaN and infinities (1e999 too), the same key twice, nesting
    deeper than `DEPTH_LIMIT`, text that is not UTF-8 or holds lone surrogates, integers beyond 64 bits, and all but
    an object.
    """
    try:
        text = payload.decode("utf-8")
        _check_depth(text)
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates would break whoever writes it out
    except InvalidValue:
        raise
    except UnicodeError as error:
        raise InvalidValue(f"not UTF-8 text: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidValue(f"a JSON {type(value).__name__} where an object is needed")
    return value


def decode_request(method: str, payload: bytes, *, defaults: Mapping[str, Any] | None = None) -> Request:
    """A request as it came; `defaults` are fields known from MQTT 5 properties that the payload may leave out.

    Only its form is judged here, whether it is in time and may be answered by whoever executes it. Raises
    `InvalidValue` naming field, value and what is accepted, and `RequestExpired` if it does not say when it expires.
    """
    if len(payload) > REQUEST_LIMIT:
        raise InvalidValue(f"the request has {len(payload)} bytes; accepted: at most {REQUEST_LIMIT}")
    fields = {**(defaults or {}), **load_object(payload)}
    for key in fields:
        if key not in _FIELDS:
            raise InvalidValue(f"field {key!r:.100} is not known; accepted: {', '.join(_FIELDS)}")
    identifier, sender, reply_to = fields.get("id"), fields.get("from"), fields.get("reply_to", "")
    params, lease = fields.get("params", {}), fields.get("lease")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        raise InvalidValue(f"id is {identifier!r:.100}; accepted: a text of its own for each request, such as a UUID")
    if not is_name(sender):
        raise InvalidValue(f"from is {sender!r:.100}; accepted: who asks, 1 to 32 characters out of a-z, 0-9, _ and -")
    if not isinstance(reply_to, str):
        raise InvalidValue(f"reply_to is {reply_to!r:.100}; accepted: a topic below <prefix>/reply/")
    if not isinstance(params, dict):
        raise InvalidValue(f"params is {params!r:.100}; accepted: an object")
    if lease is not None and (not isinstance(lease, str) or not _ID.fullmatch(lease)):
        raise InvalidValue(f"lease is {lease!r:.100}; accepted: the name of a lease, as it was granted")
    return Request(
        method,
        params,
        str(sender),
        _expiry(fields.get("expires_at")),
        reply_to,
        identifier,
        issued_at=None if fields.get("issued_at") is None else _time("issued_at", fields["issued_at"]),
        lease=lease or "",
        fence=_counter("fence", fields.get("fence")),
        seq=_counter("seq", fields.get("seq")),
    )


def check_time(request: Request, now_s: float) -> None:
    """Raises `RequestExpired` if the request's time is over or too far ahead, or if it was issued too long ago or in
    the future, with the daemon's time in `detail`."""
    ahead = request.expires_at - now_s
    age = 0.0 if request.issued_at is None else now_s - request.issued_at
    if 0 < ahead <= EXPIRY_LIMIT_S and -SKEW_S <= age <= AGE_LIMIT_S:
        return
    if age < -SKEW_S:
        text = f"the request was issued {-age:.3f} s in the future; accepted: at most {SKEW_S:g} s; it was not executed"
    elif ahead <= 0:
        text = f"the request expired {-ahead:.3f} s ago and was not executed"
    elif age > AGE_LIMIT_S:
        text = f"the request was issued {age:.3f} s ago; accepted: at most {AGE_LIMIT_S:g} s; it was not executed"
    else:
        text = f"the request expires {ahead:.3f} s ahead; accepted: at most {EXPIRY_LIMIT_S:g} s; it was not executed"
    raise RequestExpired(
        text,
        hint="Compare the clock of the asking computer with the daemon's (daemon_time_s).",
        daemon_time_s=now_s,
        expires_at=request.expires_at,
        issued_at=request.issued_at,
    )


def _expiry(value: Any) -> float:
    if value is None:
        raise RequestExpired(
            "the request has no expires_at and was not executed",
            hint="Add expires_at: UTC in seconds since 1970, at most 60 s ahead.",
        )
    return _time("expires_at", value)


def _time(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"{key} is {value!r:.100}; accepted: UTC in seconds since 1970, such as 1767225600.0")
    return float(value)


def _counter(key: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise InvalidValue(f"{key} is {value!r:.100}; accepted: a whole number from 0")
    return value


def _check_depth(text: str) -> None:
    """Before the parser recurses. Brackets inside strings do not count."""
    depth = 0
    # a text without an end swallows the rest, or each quotation mark in it would be tried for a beginning
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', text, re.DOTALL):
        if bracket in "[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                raise InvalidValue(f"objects and lists nested deeper than {DEPTH_LIMIT}")
        elif bracket in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen = Counter(key for key, _ in pairs)
        twice = next(key for key, count in seen.items() if count > 1)
        raise InvalidValue(f"key {twice!r:.100} occurs twice in one object")
    return result


def _no_constant(text: str) -> Any:
    raise InvalidValue(f"{text} is no number that can be acted on")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidValue(f"{text:.100} is no number that can be acted on")
    return number


def _bounded(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) >= 1 << 64:
        raise InvalidValue(f"the integer {text:.40} has more than 64 bits")
    return number
