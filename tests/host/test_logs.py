"""The daemon's log, as the journal reads it, and against floods."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bridge.daemon.logs import JournalFormatter, NoFlood
from bridge.daemon.systemd import under_journal


def record(text: str, level: int = logging.INFO, *values: object) -> logging.LogRecord:
    return logging.LogRecord("picobridge", level, __file__, 1, text, values, None)


def test_every_line_has_its_priority() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        broken = record("it broke", logging.ERROR)
        broken.exc_info = (type(error), error, error.__traceback__)
    lines = JournalFormatter("%(name)s: %(message)s").format(broken).splitlines()
    assert lines[0] == "<3>picobridge: it broke"
    assert len(lines) > 4
    assert all(line.startswith("<3>") for line in lines)
    assert JournalFormatter("%(message)s").format(record("fine")) == "<6>fine"
    assert JournalFormatter("%(message)s").format(record("hangs", logging.CRITICAL)) == "<2>hangs"


def test_the_journal_is_known_by_its_stream(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert under_journal(stream.fileno(), {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not under_journal(stream.fileno(), {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not under_journal(stream.fileno(), {})
        assert not under_journal(-1, {"JOURNAL_STREAM": "1:2"})


def test_a_flood_is_cut_and_told() -> None:
    now = [0.0]
    flood = NoFlood(burst=3, window_s=60.0, clock=lambda: now[0])
    passed = [flood.filter(record("request %d is too large", logging.WARNING, number)) for number in range(10)]
    assert passed == [True] * 3 + [False] * 7
    assert flood.filter(record("something else"))
    assert flood.filter(record("request 11 is too large", logging.ERROR)), "another level is another message"
    now[0] = 61.0
    after = record("request %d is too large", logging.WARNING, 12)
    assert flood.filter(after)
    assert after.getMessage() == "request 12 is too large (and 7 like it in 61 s)"
    again = record("request %d is too large", logging.WARNING, 13)
    assert flood.filter(again)
    assert again.getMessage() == "request 13 is too large"


def test_what_was_seen_does_not_pile_up() -> None:
    flood = NoFlood(burst=1, window_s=60.0, clock=lambda: 0.0)
    for number in range(3000):
        flood.filter(record("x" * number))
    assert len(flood._seen) <= 1000
