"""Every table and key of the daemon's configuration, as its parser reads them.

Where keys are read one by one, the parser is run over a table that takes down what it asks for (`Listing`); where
they are fields of a dataclass, the fields say it. The remarks are those of the modules' docstrings.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bridge.access import options as access_options
from bridge.access.options import COUNT_ACCEPTED, NAME_ACCEPTED, Access
from bridge.access.permissions import Role
from bridge.daemon import config, spool_config, web_config
from bridge.daemon.problems import Problems, Table
from bridge.daemon.spool_config import SpoolNumbers
from bridge.daemon.watch_options import WatchOptions
from bridge.safety import interlock_options
from bridge.safety.interlock_options import LISTS, InterlockOptions, Thresholds

from .examples import named, remarks
from .fields import HEAD, options_table, worded
from .markdown import code, plain, table

_INTRODUCTION = """\
# Configuration

The daemon's configuration is one [TOML](https://toml.io) file. `picobridge check lab.toml` checks it to the last key
and touches no hardware: what is wrong is told with file, key, value and what is accepted. Everything may be left out
but a device's `driver` and `address`. Names of files are relative to the file that they stand in. Where a key ends in a
unit, text with a unit is accepted (`contact_grace_s = "2 s"`), and the key may be written without it.

After a change: [what is in force at once, what waits, and what needs a
restart](../host.md#another-configuration-while-runs-go-on).

"""

#: Read with these, the parser comes by every key.
_SAMPLES: tuple[Mapping[str, Any], ...] = (
    {
        "metrics": {"port": 9464},
        "web": {"port": 8765},
        "devices": {"pstat": {"driver": "tdstat", "address": "usb:a0a0:0002"}},
    },
    {"broker": {"url": "mqtt://localhost"}},
)

Row = tuple[str, str, str, str, str]


class _Notes(Problems):
    """What was asked for: (table, key) to (type, default, accepted)."""

    def __init__(self) -> None:
        super().__init__("")
        self.asked: dict[tuple[str, str], tuple[str, str, str]] = {}
        self.known: dict[str, tuple[str, ...]] = {}


class Listing(Table):
    """Takes down each question in its `_Notes`."""

    def __init__(
        self, problems: Problems, path: str, values: Mapping[str, Any], accepted: tuple[str, ...] | None
    ) -> None:
        super().__init__(problems, path, values, accepted)
        assert isinstance(problems, _Notes)
        self._notes = problems
        if accepted is not None:
            problems.known[path] = accepted

    def table(self, key: str, accepted: tuple[str, ...] | None) -> Table:
        self._note(key, "table")
        return super().table(key, accepted)

    def text(self, key: str, default: str | None) -> str:
        self._note(key, "text", "needed" if default is None else default and code(default))
        return super().text(key, default)

    def texts(self, key: str, what: str) -> tuple[str, ...]:
        self._note(key, f"list of {what}")
        return super().texts(key, what)

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        self._note(key, "whole number", code(str(default)), f"{low} to {high}")
        return super().integer(key, default, low, high)

    def boolean(self, key: str, default: bool) -> bool:
        self._note(key, "true, false", code(worded(default)))
        return super().boolean(key, default)

    def choice(self, key: str, default: str | None, accepted: tuple[str, ...]) -> str:
        value = super().choice(key, default, accepted)
        self._note(key, "text", "needed" if default is None else code(default), ", ".join(map(code, accepted)))
        return value

    def checked(self, key: str, default: str, check: Callable[[Any], str]) -> str:
        self._note(key, "text", default and code(default))
        return super().checked(key, default, check)

    def path(self, key: str, folder: Path) -> Path | None:
        path = super().path(key, folder)
        self._note(key, "path")
        return path

    def file(self, key: str, folder: Path) -> Path | None:
        path = super().file(key, folder)
        self._note(key, "file that can be read")
        return path

    def _note(self, key: str, kind: str, default: str = "", accepted: str = "") -> None:
        self._notes.asked[named(self._path), key] = (kind, default, accepted)


def text() -> str:
    notes = _read()
    said = remarks(spool_config, access_options, interlock_options, web_config, config)
    parts = [_INTRODUCTION]
    for name, heading in _tables(notes):
        parts.append(f"## {heading}\n\n")
        parts.append(_SPECIAL[name](said) if name in _SPECIAL else table(HEAD, _rows(name, notes, said)))
    return "".join(parts)


def _read() -> _Notes:
    notes = _Notes()
    with tempfile.TemporaryDirectory() as folder:
        for sample in _SAMPLES:
            config.parse(sample, notes, Path(folder), table=Listing)
    assert not notes.lines, notes.lines
    return notes


def _tables(notes: _Notes) -> Iterator[tuple[str, str]]:
    for key in notes.known[""]:
        if key == "devices":
            yield "devices.NAME", "`[devices.NAME]`"
        else:
            yield key, f"`[{key}]`"


def _rows(name: str, notes: _Notes, said: Mapping[tuple[str, str], str]) -> list[Row]:
    """Of a table whose keys are read one by one. A key that the samples do not reach would be missing: it is told."""
    asked = {key: how for (table, key), how in notes.asked.items() if table == name}
    known = next(keys for path, keys in notes.known.items() if named(path) == name)
    assert set(known) == set(asked), f"[{name}]: {set(known) ^ set(asked)} is not read with _SAMPLES"
    rows = []
    for key in known:
        kind, default, accepted = asked[key]
        remark = said[name, key]
        rows.append((code(key), kind, "" if remark.startswith("absent") else default, accepted, plain(remark)))
    return rows


def _access(said: Mapping[tuple[str, str], str]) -> str:
    default = Access()
    rows = [
        _listed("daemon", "text", default.daemon, NAME_ACCEPTED, said["access", "daemon"]),
        *(
            _listed(key, "whole number", getattr(default, key), COUNT_ACCEPTED, said["access", key])
            for key in ("requests_per_s", "burst")
        ),
    ]
    user = [("`role`", "text", "needed", ", ".join(code(str(role)) for role in Role), "")]
    return (
        "[Who may ask for what](../access.md). Needs a broker that proves who asks.\n\n"
        f"{table(HEAD, rows)}## `[access.users.NAME]`\n\nNAME is {said['access.users.NAME', '']}.\n\n"
        f"{table(HEAD, user)}"
    )


def _spool(said: Mapping[tuple[str, str], str]) -> str:
    recorders = _listed("recorders", "list of names", "", "", said["spool", "recorders"])
    return "How long samples are kept for those who ask for them again.\n\n" + options_table(SpoolNumbers, [recorders])


def _interlocks(said: Mapping[tuple[str, str], str]) -> str:
    lists = [
        _listed(key, "list of names", getattr(InterlockOptions(), key), "", said["interlocks", key]) for key in LISTS
    ]
    example = inspect.cleandoc((interlock_options.__doc__ or "").partition("\n\n")[2].partition("\n\nNumbers")[0])
    return (
        "What may move or be switched on, and when: [safety.md](../safety.md), also for `requires` and `with` of a "
        f"rule of one's own.\n\n{options_table(Thresholds, lists)}```toml\n{example}\n```\n\n"
        "Numbers in `with` are in the SI unit of the input.\n\n"
    )


def _watch(said: Mapping[tuple[str, str], str]) -> str:
    return (
        "What [the health watch](../health-watch.md) does about what it finds in a run. For one run: "
        "`--watch short=mark`.\n\n" + options_table(WatchOptions)
    )


def _hil(said: Mapping[tuple[str, str], str]) -> str:
    return (
        "A table for each device that `make hil` may move or energise, which alone reads them: "
        "[hardware in the loop](../hardware-in-the-loop.md).\n\n"
    )


_SPECIAL = {"access": _access, "spool": _spool, "interlocks": _interlocks, "watch": _watch, "hil": _hil}


def _listed(key: str, kind: str, default: object, accepted: str, remark: str) -> Row:
    shown = code(worded(default)) if default else ""
    return code(key), kind, shown, accepted, plain(remark.removesuffix(" (the default)"))
