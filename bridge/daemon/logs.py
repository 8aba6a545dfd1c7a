"""The daemon's log: lines with priorities for systemd's journal, plain lines elsewhere; no message floods it."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable

from .systemd import under_journal

#: So often the same message (whatever its numbers) is written in a window; how many were left out is told afterwards.
BURST = 20
WINDOW_S = 60.0

_NUMBERS = re.compile(r"[0-9]+")
_KIND_LENGTH = 200
#: Kinds that are remembered; with more, counting starts again.
_MOST_KINDS = 1000
#: syslog(3): the number before a line, which the journal takes off
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


def configure(*, verbose: bool) -> None:
    """Log to stderr, as suits whoever reads it."""
    handler = logging.StreamHandler(sys.stderr)
    if under_journal(sys.stderr.fileno()):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))  # it has the time already
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(NoFlood())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])


def prefix(level: int) -> str:
    """ "<3>" for `logging.ERROR`."""
    return f"<{_PRIORITIES.get(level, 5)}>"


class JournalFormatter(logging.Formatter):
    """Each line with its priority: the journal makes an entry of each, and would file a traceback as harmless."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "\n".join(prefix(record.levelno) + line for line in text.splitlines() or [""])


class NoFlood(logging.Filter):
    """Lets `burst` records of one kind (logger, level, message without its numbers) pass in `window_s`."""

    def __init__(
        self, burst: int = BURST, window_s: float = WINDOW_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._burst = burst
        self._window_s = window_s
        self._clock = clock
        #: of each kind: when its window began, how many passed, how many did not
        self._seen: dict[tuple[str, int, str], tuple[float, int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        kind = (record.name, record.levelno, _NUMBERS.sub("#", record.getMessage())[:_KIND_LENGTH])
        began, passed, left_out = self._seen.get(kind, (now, 0, 0))
        if now - began >= self._window_s:
            if left_out:
                record.msg = f"{record.getMessage()} (and {left_out} like it in {now - began:.0f} s)"
                record.args = None
            began, passed, left_out = now, 0, 0
        if len(self._seen) >= _MOST_KINDS:
            self._seen.clear()
        if passed >= self._burst:
            self._seen[kind] = (began, passed, left_out + 1)
            return False
        self._seen[kind] = (began, passed + 1, left_out)
        return True
