"""What a bridge says of its runs beside their samples: what a recorder elsewhere writes into their folders."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from bridge.transfer.topics import Topics
from drivers.errors import InvalidValue

from .connection import Listener

LOG = logging.getLogger("picobridge.client")

#: Kinds of topics of a run.
KINDS = ("manifest", "state", "result")


def filters(topics: Topics) -> tuple[str, ...]:
    return (*(f"{topics.prefix}/runs/+/{kind}" for kind in KINDS), topics.events)


def decode(payload: bytes) -> dict[str, Any]:
    """What the daemon says of a run. Parts within parts may be nested deeper than a request may.

    Raises `InvalidValue`.
    """
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidValue(f"a JSON {type(content).__name__} where an object is needed")
    return content


class RunNews:
    """Messages as (kind, run, content), in the order in which they came: a manifest, a state, a result, or ("event",
    run, content). What is retained comes first. `arrived` waits for the next."""

    def __init__(self, listener: Listener, topics: Topics) -> None:
        self.malformed = 0
        self._listener = listener
        self._topics = topics
        self.arrived: Callable[[], Any] = listener.wait

    def take(self) -> tuple[str, str, Mapping[str, Any]] | None:
        """The next one if one has come. What is not understood is counted and left out."""
        while (message := self._listener.take()) is not None:
            if not message.payload:  # the daemon keeps it no longer
                continue
            try:
                content = decode(message.payload)
            except InvalidValue as error:
                self.malformed += 1
                LOG.warning("a message on %s is not understood: %s", message.topic, error)
                continue
            if message.topic == self._topics.events:
                return "event", str(content.get("run") or ""), content
            run, _, kind = message.topic.removeprefix(f"{self._topics.prefix}/runs/").rpartition("/")
            return kind, run, content
        return None
