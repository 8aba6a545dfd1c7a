"""What a person should read, on one topic and in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from bridge.transfer.mqtt import Message
from bridge.transfer.plain import dumps, to_plain
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import PicobridgeError

LOG = logging.getLogger("picobridge")

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Events:
    """`kind` is daemon, device, run, request or safety; `severity` is info, warning or error."""

    def __init__(self, uplink: Uplink, topics: Topics) -> None:
        #: told each event, for those who keep them
        self.heard: Callable[[Mapping[str, Any]], None] = lambda event: None
        self._uplink = uplink
        self._topic = topics.events

    def publish(
        self,
        kind: str,
        text: str,
        *,
        severity: str = "info",
        device: str = "",
        run: str = "",
        error: PicobridgeError | None = None,
        **values: Any,
    ) -> None:
        LOG.log(_LEVELS[severity], "%s", text.encode("unicode_escape").decode("ascii"))
        event = {
            "time_ns": time.time_ns(),
            "kind": kind,
            "severity": severity,
            "text": text,
            "device": device,
            "run": run,
            "error": None if error is None else error.to_dict(),
            "values": values,
        }
        self._uplink.publish(Message(self._topic, dumps(event)))
        self.heard(to_plain(event))
